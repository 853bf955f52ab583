"""Every planted fault before every checker, once: what power, alarms and explanation share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from benchmarks.pairs import Pair, faulty_rules, mistakes
from benchmarks.peers import PEERS, Answer, ask
from benchmarks.power import Row
from benchmarks.power import measure as measure_torch
from cases.faults.torch import TORCH_FAULTS

QUICK = 12  # one of so many faults


@dataclass(frozen=True)
class Tried:
    """A pair with a fault and its right twin, as every peer sees them."""

    suite: str
    pair: Pair
    wrong: dict[str, Answer]
    right: dict[str, Answer] = field(repr=False)

    @property
    def twin(self) -> tuple[str, str]:
        """What the right twin is identified by: faults of one program share theirs."""
        return self.suite, self.pair.source


@cache
def torch_faults(quick: bool) -> tuple[Row, ...]:
    """Return the faults in PyTorch code, before the checkers that take PyTorch code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(measure_torch(islice(TORCH_FAULTS, 0, None, QUICK if quick else 1)))


@cache
def numpy_faults(quick: bool) -> tuple[Tried, ...]:
    """Return the mistakes in NumPy programs and the faults in rules, before every checker."""
    twins: dict[tuple[str, str], dict[str, Answer]] = {}
    found = []
    for suite, pair, twin in _pairs(quick):
        wrong = {peer.name: ask(peer, pair) for peer in PEERS}
        key = suite, pair.source
        if key not in twins:
            right = twin()
            twins[key] = {peer.name: ask(peer, right) for peer in PEERS}
        found.append(Tried(suite, pair, wrong, twins[key]))
    return tuple(found)


def _pairs(quick: bool) -> Iterator[tuple[str, Pair, Callable[[], Pair]]]:
    for suite, source in ((NUMPY, mistakes), (RULES, faulty_rules)):
        for pair, twin in islice(source(), 0, None, QUICK if quick else 1):
            yield suite, pair, twin


NUMPY, RULES = "NumPy programs", "graph rules"
