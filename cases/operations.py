"""One operation of the table by itself, several times over, where its rule is easily got wrong.

A rule has more cases than a program uses: operands that broadcast either way, axes counted from the back,
axes of size 1 and 0, numbers so large that their exponential overflows. In a graph of many operations most
of them are rare. Here the operations take turns, and each is applied again and again to leaves of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cases.builder import Unsuitable
from cases.choices import Array, Choices
from cases.dags import scalar, together
from cases.operands import Growing
from cases.plants import OPERATIONS, plant
from cases.record import Case
from reference_impl import RULES

FEWEST, MOST = 4, 8  # times that the operation is applied
ANALYTIC = tuple(name for name in OPERATIONS if RULES[name].analytic)
_ATTEMPTS = 100
# Of the imaginary parts: small enough that no operand is turned to where its operation has a pole or a cut.
_LARGEST = 0.4


def operation(choices: Choices) -> Case:
    """Return a case of the operation whose turn it is."""
    return operation_of(choices.in_turn(OPERATIONS), choices)


def complex_operation(choices: Choices) -> Case:
    """Return a case in complex numbers, of the operation whose turn it is among those that have them."""
    return complex_operation_of(choices.in_turn(ANALYTIC), choices)


def operation_of(name: str, choices: Choices) -> Case:
    """Return a case of one operation, applied several times, the results weighted and added up."""
    return _grown(Growing(choices, edges=True), name, "operation")


def complex_operation_of(name: str, choices: Choices) -> Case:
    """Return the same with complex leaves, for one of the ``ANALYTIC`` operations."""
    case = _grown(Growing(choices, edges=True, analytic=True), name, "complex")
    turned = {leaf: _turned(choices, value) for leaf, value in case.values.items()}
    return replace(case, name=f"complex {name}", values=turned)


def _turned(choices: Choices, value: Array) -> Array:
    """Return the numbers with imaginary parts, small ones where they are small themselves."""
    turned: Array = value + 1j * np.minimum(np.abs(value), _LARGEST) * choices.array(value.shape, -1.0, 1.0)
    return turned


def _grown(b: Growing, name: str, family: str) -> Case:
    scalars = [_applied(b, name) for _ in b.choices.repeat(FEWEST, MOST)]
    return b.case(name, together(b, scalars), family)


def _applied(b: Growing, name: str) -> str:
    for _ in range(_ATTEMPTS):
        b.start_anew()
        try:
            with b.taken_back():
                return scalar(b, plant(b, name))
        except Unsuitable:
            continue
    raise AssertionError(f"No operands were found for {name}; its planting asks for too much.")
