"""A wrong twin of every rule, for every systematic way of getting a vjp wrong, and the classical ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from cases.choices import Array
from cases.faults.fault import Fault, wrong_rules
from cases.faults.terms import TERMS
from cases.faults.ties import TIES
from cases.faults.unreduced import BROADCASTING, first_copy
from reference_impl import RULES, Rule

Change = Callable[[Array], Array]
ORDINALS = ("first", "second", "third", "last")

# What is done to the cotangent of one input: kind, words, diagnosis.
CHANGES: tuple[tuple[str, str, str, Change], ...] = (
    ("sign", "sign flipped", "sign", np.negative),
    ("factor", "half of it", "scale", lambda share: share / 2),
    ("path", "missing", "severed", np.zeros_like),
    ("almost", "too large by 1e-4", "scale", lambda share: share * (1 + 1e-4)),
)


@cache
def rule_faults() -> tuple[Fault, ...]:
    """Return every planted fault of the rules, in the order of the table of operations."""
    return tuple(fault for rule in RULES.values() for fault in _faults_of(rule))


def _faults_of(rule: Rule) -> Iterator[Fault]:
    for position in _positions(rule):
        of_input = f"cotangent of its {ORDINALS[position]} input " if rule.arity != (1, 1) else ""
        for kind, words, diagnosis, change in CHANGES:
            wrong = replace(rule, vjp=_changed(rule, position, change))
            name = f"{rule.name}: {of_input}{words}".replace(" missing", " is missing")
            yield Fault(name, rule.name, kind, wrong_rules(wrong), diagnosis, _needs(rule, position))
        if (rule.name, position) in BROADCASTING:
            wrong = replace(rule, vjp=first_copy(rule, position))
            name = f"{rule.name}: {of_input}not summed over the copies"
            yield Fault(name, rule.name, "unreduced", wrong_rules(wrong), "unreduced", "broadcasting")
    for kind, table in (("tie", TIES), ("term", TERMS)):
        for words, diagnosis, needs, vjp in table.get(rule.name, ()):
            wrong = replace(rule, vjp=vjp)
            yield Fault(f"{rule.name}: {words}", rule.name, kind, wrong_rules(wrong), diagnosis, needs)


def _positions(rule: Rule) -> tuple[int, ...]:
    """Return the inputs that are tampered with: each, or where there may be any number the first and last."""
    most = rule.arity[1]
    return (0, -1) if most is None else tuple(range(most))


def _needs(rule: Rule, position: int) -> str:
    least = rule.arity[0]
    return f"{ORDINALS[position]} input" if position == -1 or position >= least else ""


def _changed(rule: Rule, position: int, change: Change) -> Callable[..., tuple[Array, ...]]:
    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
        shares = list(rule.vjp(cotangent, output, inputs, **attributes))
        if position < len(shares) and not (position == -1 and len(shares) == 1):
            shares[position] = change(shares[position])
        return tuple(shares)

    return vjp
