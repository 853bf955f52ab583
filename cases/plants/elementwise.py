"""Operations on each entry by itself, each with an operand from its domain."""

from __future__ import annotations

from functools import partial

import numpy as np

from cases.operands import (
    Growing,
    bounded,
    clear_of_kinks,
    divisor,
    logits,
    operand,
    partner,
    positive,
    unsaturated,
)
from cases.plants.planting import Planting


def _unary(operation: str, b: Growing) -> str:
    return b.apply(operation, operand(b))


def _saturating(operation: str, b: Growing) -> str:
    return b.apply(operation, logits(b, operand(b)))


def _exponential(operation: str, b: Growing) -> str:
    return b.apply(operation, bounded(b, operand(b), 3.0))


def _positive(operation: str, b: Growing) -> str:
    return b.apply(operation, positive(b, operand(b)))


def _reciprocal(b: Growing) -> str:
    return b.apply("reciprocal", divisor(b, operand(b)))


def _log1p(b: Growing) -> str:
    a = operand(b)
    if b.shape(a) and b.choices.boolean():
        a = b.apply("multiply", b.apply("tanh", unsaturated(b, a)), b.constant(0.5))  # either sign
    value = b.values[a]
    return b.apply("log1p", positive(b, a) if value.size and value.min() < -0.7 else a)


def _kinked(operation: str, b: Growing) -> str:
    return clear_of_kinks(b, operation, operand(b))


def _leaky_relu(b: Growing) -> str:
    slope = b.choices.one_of((0.01, 0.2, 0.5))
    return clear_of_kinks(b, "leaky_relu", operand(b), negative_slope=slope)


def _elu(b: Growing) -> str:
    a = operand(b)
    a = logits(b, a) if b.edges else a
    return clear_of_kinks(b, "elu", a, alpha=b.choices.one_of((1.0, 0.5, 2.0)))


def _clip(b: Growing) -> str:
    bounds = b.choices.one_of(((-0.5, 0.5), (None, 0.75), (-0.25, None), (-1.5, 0.25)))
    return clear_of_kinks(b, "clip", operand(b), minimum=bounds[0], maximum=bounds[1])


def _binary(operation: str, b: Growing) -> str:
    a = operand(b)
    return b.apply(operation, *_either_order(b, a, partner(b, a)))


def _extremum(operation: str, b: Growing) -> str:
    a = operand(b)
    return clear_of_kinks(b, operation, a, partner(b, a))


def _divide(b: Growing) -> str:
    a = operand(b)
    other = partner(b, a)
    above, below = _either_order(b, a, other)
    return b.apply("divide", above, divisor(b, below))


def _power(b: Growing) -> str:
    a = operand(b)
    base, exponent = _either_order(b, a, partner(b, a))
    base = positive(b, bounded(b, base, 3.0))
    return b.apply("power", base, bounded(b, exponent, 2.5))


def _where(b: Growing) -> str:
    a = operand(b)
    first, second = _either_order(b, a, partner(b, a))
    shape = np.broadcast_shapes(b.shape(first), b.shape(second))
    condition = b.choices.integers(shape, 0, 1).astype(bool)
    return b.apply("where", first, second, condition=condition)


def _either_order(b: Growing, first: str, second: str) -> tuple[str, str]:
    return (second, first) if b.choices.boolean() else (first, second)


_SATURATING = ("tanh", "sigmoid", "softplus", "silu", "gelu")

ELEMENTWISE: dict[str, Planting] = {
    **{name: partial(_binary, name) for name in ("add", "subtract", "multiply")},
    **{name: partial(_unary, name) for name in ("negative", "square", "sin", "cos")},
    **{name: partial(_saturating, name) for name in _SATURATING},
    **{name: partial(_exponential, name) for name in ("exp", "expm1")},
    **{name: partial(_positive, name) for name in ("sqrt", "log")},
    **{name: partial(_kinked, name) for name in ("relu", "abs")},
    **{name: partial(_extremum, name) for name in ("maximum", "minimum")},
    "reciprocal": _reciprocal,
    "log1p": _log1p,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "clip": _clip,
    "divide": _divide,
    "power": _power,
    "where": _where,
}
