"""From a failing case to a small one that still fails, by trying simpler ones in a fixed order.

Delta debugging (Zeller and Hildebrandt 2002) on graphs. What makes it quick is that every inner value is
known: the graph may end early, at any node, and a node may be replaced by a leaf that holds its value. So
the operation that is wrong is soon alone with its operands, and then sizes and values are simplified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cases.clearance import is_clear
from cases.record import Case
from cases.simplify import (
    alone,
    complexity,
    ending_early,
    fewer_inputs,
    held,
    shortcuts,
    simpler_values,
    smaller_axes,
    without_unread,
)
from reference_impl import evaluate_all

StillFails = Callable[[Case], bool]
Step = Callable[[Case], Iterator[Case]]

# In this order: what removes most comes first.
STEPS: tuple[Step, ...] = (
    alone,
    ending_early,
    held,
    shortcuts,
    without_unread,
    fewer_inputs,
    smaller_axes,
    simpler_values,
)


def shrink(case: Case, still_fails: StillFails, budget: int = 500) -> Case:
    """Return a case that fails and that no single simplification makes simpler while it still fails.

    Args:
        case: one for which ``still_fails`` is true; it is not asked again.
        still_fails: whether a smaller case shows the failure too. Should always answer the same.
        budget: how many times it is asked at most; then the smallest found so far is returned.

    Cases that are not finite, or that come to lie at a kink or a pole where the given one does not, are
    not tried: they could fail for another reason.
    """
    search = _Search(still_fails, budget, _is_sound(case, keep_clear=True))
    smallest = case
    while True:
        before = smallest
        for step in STEPS:
            smallest = search.exhaust(step, smallest)
        if smallest is before or search.budget <= 0:
            return smallest


class _Search:
    def __init__(self, still_fails: StillFails, budget: int, keep_clear: bool) -> None:
        self.still_fails, self.budget, self.keep_clear = still_fails, budget, keep_clear

    def exhaust(self, step: Step, case: Case) -> Case:
        """Take a step again and again, from the simplified case each time, until nothing simpler fails."""
        while self.budget > 0:
            now = complexity(case)
            simpler = next((c for c in step(case) if complexity(c) < now and self._fails(c)), None)
            if simpler is None:
                return case
            case = simpler
        return case

    def _fails(self, case: Case) -> bool:
        if self.budget <= 0 or not _is_sound(case, self.keep_clear):
            return False
        self.budget -= 1
        return self.still_fails(case)


def _is_sound(case: Case, keep_clear: bool) -> bool:
    """Return whether all values are finite and, where that is asked, clear of kinks and poles."""
    with np.errstate(all="ignore"):
        values = evaluate_all(case.graph, case.values)
        if not all(bool(np.isfinite(value).all()) for value in values.values()):
            return False
        return not keep_clear or all(
            is_clear(node.operation, [values[i] for i in node.inputs], node.attributes)
            for node in case.graph.nodes
        )
