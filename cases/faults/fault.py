"""What a planted fault is, and how to find a case on which it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from cases.choices import SeededChoices
from cases.dags import focused
from cases.kinks import TOUCHING, kink_of
from cases.record import Case
from reference_impl import RULES, Rule, value_and_gradients


@dataclass(frozen=True)
class Fault:
    """A table of rules with one wrong backward pass in it: hand it to a pass as ``rules=``.

    Attributes:
        name: "operation: what is wrong with it".
        operation: whose vjp is wrong.
        kind: "sign", "factor", "unreduced", "path", "tie", "almost" or "term".
        rules: the table.
        diagnosis: the kind of mistake that a report should name.
        needs: what a case must have for the fault to show, beyond the operation itself; "" for nothing.
    """

    name: str
    operation: str
    kind: str
    rules: Mapping[str, Rule] = field(repr=False)
    diagnosis: str
    needs: str = ""


def wrong_rules(rule: Rule) -> Mapping[str, Rule]:
    """Return the table with this rule in the place of the right one; its vjp may read all values."""
    return MappingProxyType({**RULES, rule.name: replace(rule, keeps_inputs=None, keeps_output=True)})


def shows(fault: Fault, case: Case, tolerance: float = 1e-6) -> bool:
    """Return whether the fault makes a gradient of the case wrong, by more than a share of its norm."""
    if all(node.operation != fault.operation for node in case.graph.nodes):
        return False
    _, right = value_and_gradients(case.graph, case.values)
    with np.errstate(all="ignore"):
        _, wrong = value_and_gradients(case.graph, case.values, rules=fault.rules)
    return any(_differ(wrong[name], right[name], tolerance) for name in right)


def _differ(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return not np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b) + 1e-12


def exposing(fault: Fault, seed: int = 0, attempts: int = 200) -> Iterator[Case]:
    """Yield cases on which the fault shows: small ones around its operation, at a kink where it needs one."""
    at_kinks = fault.kind == "tie"
    for attempt in range(seed, seed + attempts):
        choices = SeededChoices(f"fault in {fault.operation}", attempt)
        at_kink = at_kinks and fault.operation in TOUCHING
        case = kink_of(fault.operation, choices) if at_kink else focused(fault.operation, choices)
        if shows(fault, case):
            yield replace(case, name=f"{fault.name} {attempt}")
