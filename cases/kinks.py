"""Cases that lie exactly at kinks and ties, where a derivative is a choice and a mistake is easily made.

Each is one operation with a kink, applied to leaves, and summed. A sum of convex (or of concave) functions
has a property that compositions of kinks lack: what the chain rule gives from subgradients is a subgradient,
so it lies between the one-sided derivatives in every direction. A right engine therefore passes on each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.builder import Builder
from cases.choices import Array, Choices, Shape
from cases.record import Case

# Finite differences look at every entry of an operand at a kink by itself, which takes its time.
MOST_ENTRIES = 16

# Operands at a kink, and the attributes with which they are at one.
Touching = Callable[[Choices], tuple[list[Array], dict[str, Any]]]


def kink(choices: Choices) -> Case:
    """Return a case at a kink of one of the operations that have any."""
    return kink_of(choices.in_turn(tuple(TOUCHING)), choices)


def kink_of(operation: str, choices: Choices) -> Case:
    """Return a case at a kink of the given operation, one of ``TOUCHING``."""
    b = Builder(choices, clear=False)
    operands, attributes = TOUCHING[operation](choices)
    y = b.apply(operation, *(b.parameter(value) for value in operands), **attributes)
    total = b.apply("sum", y) if b.shape(y) else y
    factor = b.input(choices.one_of((1.0, 1.5, -0.5)), "c")
    return b.case(f"kink of {operation}", b.apply("multiply", total, factor), "kink")


def _shape(choices: Choices, least: int = 0) -> Shape:
    shape = tuple(choices.integer(1, 4) for _ in range(choices.integer(least, 3)))
    return shape if math.prod(shape) <= MOST_ENTRIES else (*(1 for _ in shape[1:]), shape[0])


def _some(choices: Choices, shape: Shape, value: float | Array) -> Array:
    """Return an array in which about half of the entries, the first among them, have the given value."""
    chosen = choices.integers(shape, 0, 1) == 0
    chosen.flat[0] = True
    return np.where(chosen, value, choices.array(shape))


def _ties(choices: Choices, shape: Shape) -> Array:
    """Return an array of so few different numbers that many tie."""
    return choices.integers(shape, 0, 1) * 1.0


def _at_zero(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    return [_some(choices, _shape(choices), 0.0)], {}


def _elu(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    return [_some(choices, _shape(choices), 0.0)], {"alpha": choices.one_of((0.5, 1.0, 2.0))}


def _clip(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    bound = choices.one_of((0.5, -0.5))
    return [_some(choices, _shape(choices), bound)], {choices.one_of(("minimum", "maximum")): bound}


def _pair(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices)
    b = choices.array(shape)
    return [_some(choices, shape, b), b], {}


def _pair_broadcast(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    if choices.boolean(0.7):
        return _pair(choices)
    shape = _shape(choices, 1)
    b = choices.array(shape[1:])
    return [_some(choices, shape, b), b], {}


def _groups(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices, 1)
    axis = choices.one_of((None, *range(len(shape))))
    return [_ties(choices, shape)], {"axis": axis, "keepdims": choices.boolean()}


def _norm(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices, 1)
    a = choices.array(shape)
    a[0 if len(shape) > 1 else ...] = 0.0
    return [a], {"axis": -1} if len(shape) > 1 else {}


def _windows(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = (1, choices.integer(1, 2), choices.integer(2, 3), choices.integer(2, 4))
    return [_ties(choices, shape)], {"size": 2, "stride": choices.integer(1, 2)}


def _loss(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    operands, _ = _pair(choices)
    return operands, {"reduction": choices.one_of(("mean", "sum", "none"))}


def _hinge(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices)
    t = choices.integers(shape, 0, 1) * 2.0 - 1.0
    return [_some(choices, shape, t), t], {"reduction": choices.one_of(("mean", "sum", "none"))}


def _huber(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices)
    t = choices.integers(shape, -4, 4) / 4
    return [_some(choices, shape, t + 0.5), t], {"delta": 0.5}


def _power(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    """Bases of 0, where a^b log a is 0 times infinity, to powers from 1 upwards; there the domain ends."""
    shape = _shape(choices)
    base = np.abs(_some(choices, shape, 0.0))
    exponent = np.asarray(choices.integers(shape, 2, 5) / 2)
    exponent.flat[0] = 1.0
    return [base, exponent], {}


def _zeros(choices: Choices) -> tuple[list[Array], dict[str, Any]]:
    shape = _shape(choices, 1)
    return [_some(choices, shape, 0.0)], {"axis": choices.one_of((None, -1))}


TOUCHING: Mapping[str, Touching] = MappingProxyType(
    {
        "relu": _at_zero,
        "leaky_relu": _at_zero,
        "elu": _elu,
        "abs": _at_zero,
        "clip": _clip,
        "maximum": _pair_broadcast,
        "minimum": _pair_broadcast,
        "max": _groups,
        "min": _groups,
        "norm": _norm,
        "max_pool2d": _windows,
        "absolute_error": _loss,
        "hinge": _hinge,
        # Smooth, but a mistake is easily made there: where two branches meet, and where a factor is 0.
        "huber": _huber,
        "prod": _zeros,
        "power": _power,
    }
)
