"""A loss and its hand-written gradient in NumPy: what every checker can take, each in its own way.

The programs of ``cases.programs`` with a mistake planted are such pairs, and so is a generated graph with
one wrong rule: its value is the loss, what the rules give is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import gradcheck
from cases import Case
from cases.faults import Fault, exposing, rule_faults
from cases.programs import MISTAKES, Mistake, Program, program
from gradcheck.engines.reference import ReferenceEngine
from reference_impl import RULES, Rule, value, value_and_gradients

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """``loss(*arrays)`` is a number, ``gradient(*arrays)`` an array for each.

    ``verify`` asks gradcheck in its own documented way. ``source`` is the same for pairs with the same
    right twin. ``kind`` and ``at`` are the mistake to be named, and the parameter where; ``guilty`` is
    the operation to be blamed.
    """

    family: str
    name: str
    arrays: tuple[Array, ...]
    loss: Callable[..., Any]
    gradient: Callable[..., Any]
    verify: Callable[[], gradcheck.Report] = field(repr=False)
    source: str = ""
    needs: str = ""
    kind: str = ""
    at: str = ""
    guilty: str = ""

    @property
    def size(self) -> int:
        """How many numbers the gradient has."""
        return sum(array.size for array in self.arrays)


def mistakes() -> Iterator[tuple[Pair, Callable[[], Pair]]]:
    """Yield every planted mistake, afresh, with what makes its right twin."""
    for mistake in MISTAKES:
        yield of_program(mistake.plant(), mistake), lambda m=mistake: of_program(program(m.program))  # type: ignore[misc]


def of_program(made: Program, mistake: Mistake | None = None) -> Pair:
    """Return a program with a hand-written gradient as a pair over its parameters' arrays."""
    leaves = list(_leaves(made.params))

    def structured(arrays: tuple[Array, ...]) -> Any:
        return _filled(made.params, iter(arrays))

    return Pair(
        mistake.kind if mistake else "right",
        f"{made.name}, {mistake.at}: {mistake.old} becomes {mistake.new}" if mistake else made.name,
        tuple(np.array(leaf, dtype=np.float64, order="C") for leaf in leaves),
        lambda *arrays: float(made.loss(structured(arrays))),
        lambda *arrays: _matching(made.params, made.gradient(structured(arrays))),
        lambda: gradcheck.verify(made.loss, made.params, gradient=made.gradient),
        source=made.name,
        kind=mistake.kind if mistake else "",
        at=mistake.at if mistake else "",
    )


def _leaves(params: Any) -> Iterator[Any]:
    if isinstance(params, Mapping):
        for entry in params.values():
            yield from _leaves(entry)
    elif isinstance(params, list | tuple):
        for entry in params:
            yield from _leaves(entry)
    else:
        yield params


def _filled(params: Any, arrays: Iterator[Array]) -> Any:
    if isinstance(params, Mapping):
        return {name: _filled(entry, arrays) for name, entry in params.items()}
    if isinstance(params, list | tuple):
        return type(params)(_filled(entry, arrays) for entry in params)
    return next(arrays)


def _matching(params: Any, gradient: Any) -> list[Array]:
    """Return the gradient's arrays in the order of the parameters; whatever is missing raises."""
    if isinstance(params, Mapping):
        return [a for name, entry in params.items() for a in _matching(entry, gradient[name])]
    if isinstance(params, list | tuple):
        return [a for entry, own in zip(params, gradient, strict=True) for a in _matching(entry, own)]
    return [np.asarray(gradient, dtype=np.float64)]


def of_case(case: Case, rules: Mapping[str, Rule] = RULES, fault: Fault | None = None) -> Pair:
    """Return a graph with a table of rules as a pair over its leaves."""
    names = list(case.graph.leaves)

    def loss(*arrays: Array) -> float:
        with np.errstate(all="ignore"):
            return float(value(case.graph, dict(zip(names, arrays, strict=True))).sum())

    def gradient(*arrays: Array) -> list[Array]:
        with np.errstate(all="ignore"):
            _, found = value_and_gradients(case.graph, dict(zip(names, arrays, strict=True)), rules=rules)
        return [found[name] for name in names]

    engine = ReferenceEngine(rules, "rules")
    return Pair(
        fault.kind if fault else "right",
        fault.name if fault else case.name,
        tuple(np.array(case.values[name], dtype=np.float64, order="C") for name in names),
        loss,
        gradient,
        lambda: gradcheck.verify_case(case, engine),
        source=case.name,
        needs=fault.needs if fault else "",
        kind=fault.diagnosis if fault else "",
        guilty=fault.operation if fault else "",
    )


@cache
def exposed() -> tuple[tuple[Fault, Case], ...]:
    """Return every planted fault of a rule with the first case on which it shows."""
    return tuple((fault, next(exposing(fault))) for fault in rule_faults())


def faulty_rules() -> Iterator[tuple[Pair, Callable[[], Pair]]]:
    """Yield every planted fault of a rule on a case that shows it, with what makes its right twin."""
    for fault, case in exposed():
        yield of_case(case, fault.rules, fault), lambda c=case: of_case(c)  # type: ignore[misc]
