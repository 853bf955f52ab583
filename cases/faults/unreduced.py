"""Broadcasting forgotten: where a value was copied, only the first copy's cotangent arrives, not the sum.

That keeps the shape right, so that nothing but the numbers gives it away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.choices import Array, Shape
from reference_impl import Rule

Index = tuple[slice, ...]
ONE, ALL = slice(0, 1), slice(None)


def first_copy(rule: Rule, position: int) -> Callable[..., tuple[Array, ...]]:
    """Return the rule's vjp, for one input fed with the cotangent of its first copy alone."""
    index_of = BROADCASTING[rule.name, position]

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
        shares = list(rule.vjp(cotangent, output, inputs, **attributes))
        if position < len(shares):
            index = index_of(inputs[position].shape, output.shape)
            alone = np.zeros_like(cotangent)
            alone[index] = cotangent[index]
            shares[position] = rule.vjp(alone, output, inputs, **attributes)[position]
        return tuple(shares)

    return vjp


def _broadcast(shape: Shape, output: Shape) -> Index:
    new = len(output) - len(shape)
    return (*[ONE] * new, *(ONE if n == 1 else ALL for n in shape))


def _batch(shape: Shape, output: Shape) -> Index:
    """Matrices of a batch; a vector has no batch of its own, and what it meets is left alone."""
    if len(shape) < 2 or len(output) < 2:
        return ()
    return (*_broadcast(shape[:-2], output[:-2]), ALL, ALL)


def _leading(shape: Shape, output: Shape) -> Index:
    return (ONE,) * (len(output) - len(shape))


def _all_but_channels(shape: Shape, output: Shape) -> Index:
    return (ONE, ALL, *[ONE] * (len(output) - 2))


_ELEMENTWISE = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where")

# By operation and input: which part of the output's cotangent belongs to the first copy.
BROADCASTING: Mapping[tuple[str, int], Callable[[Shape, Shape], Index]] = MappingProxyType(
    {
        **{(name, position): _broadcast for name in _ELEMENTWISE for position in (0, 1)},
        ("broadcast_to", 0): _broadcast,
        **{("matmul", position): _batch for position in (0, 1)},
        **{("layer_norm", position): _leading for position in (1, 2)},
        **{("batch_norm", position): _all_but_channels for position in (1, 2)},
        **{(name, 2): _all_but_channels for name in ("conv1d", "conv2d")},
    }
)
