"""One operation and its derivative: all that backpropagation has to know about it.

Backpropagation never forms a Jacobian. Where an operation computes y = f(a, b, ...), it receives the
cotangent dL/dy and hands each input its own: dL/da = J^T_{f|a} dL/dy, the vector-Jacobian product. So an
operation is two plain functions, and a table of them is a whole automatic-differentiation engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Inputs = Sequence[Any]  # arrays, or Like where the rule does not read them
Cotangents = tuple[Array, ...]


class Like(NamedTuple):
    """What is left of an array that no vjp reads: its shape and dtype, without its memory."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Rule:
    """An operation, forward and backward.

    ``forward(*inputs, **attributes)`` returns the output. Arrays meet as NumPy broadcasts them, and the
    output keeps the inputs' dtype. An output without axes may be a NumPy scalar; it may also share memory
    with an input, so neither is to be written into. Inputs of the wrong shape raise ``ValueError``.

    ``vjp(cotangent, output, inputs, **attributes)`` returns one cotangent per input, each of exactly that
    input's shape. ``cotangent`` has the shape of the output. What is returned may be ``cotangent`` itself
    or share its memory: add to it out of place. In complex arithmetic the result is PyTorch's,
    ``cotangent * conj(derivative)``.

    Neither silences floating-point warnings: outside its domain an operation warns as NumPy does.

    Attributes:
        name: as in a graph's nodes.
        forward: see above.
        vjp: see above.
        arity: the least and the most inputs; None where there is no most.
        keeps_inputs: positions of the inputs whose values vjp reads, None where it reads all of them.
            The others may reach it as ``Like``.
        keeps_output: whether vjp reads the output's values; where not, it may reach it as ``Like``.
        kink: which subgradient is taken where one-sided derivatives differ; "" where there is no such point.
        analytic: whether it is complex differentiable, and so works in complex128 too.
    """

    name: str
    forward: Callable[..., Any]
    vjp: Callable[..., Cotangents]
    arity: tuple[int, int | None] = (1, 1)
    keeps_inputs: tuple[int, ...] | None = None
    keeps_output: bool = False
    kink: str = ""
    analytic: bool = False
