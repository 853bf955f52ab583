"""Layouts: the same values lying differently in memory.

The gaps of a layout are filled with NaN, so that code which reads past the strides cannot go unnoticed. Each
function returns the memory, and how to see the values in it, which is written once for NumPy and PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Memory = NDArray[Any]


@dataclass(frozen=True)
class Library:
    """What a view needs of an array library: exchanging axes, and repeating an axis without a copy."""

    permute: Callable[[Any, Sequence[int]], Any]
    expand: Callable[[Any, tuple[int, ...]], Any]


@dataclass(frozen=True)
class Layout:
    """``memory`` holds the values; ``view`` shows them in ``library``'s array of that memory."""

    memory: Memory
    view: Callable[[Any, Library], Any]


def contiguous(values: Memory) -> Layout:
    """Lay out row by row."""
    return Layout(np.ascontiguousarray(values).reshape(values.shape), lambda array, _: array)


def transposed(values: Memory) -> Layout:
    """Lay out column by column."""
    axes = tuple(reversed(range(values.ndim)))
    memory = np.array(values.transpose(axes), order="C")
    return Layout(memory, lambda array, library: library.permute(array, axes))


def strided(values: Memory) -> Layout:
    """Take every second entry of a wider array."""
    memory = np.full((*values.shape[:-1], 2 * values.shape[-1]), np.nan, values.dtype)
    memory[..., ::2] = values
    return Layout(memory, lambda array, _: array[..., ::2])


def offset(values: Memory) -> Layout:
    """Take what follows the first row of a taller array."""
    memory = np.concatenate([np.full((1, *values.shape[1:]), np.nan, values.dtype), values])
    return Layout(memory, lambda array, _: array[1:])


def expanded(values: Memory) -> Layout:
    """Repeat the first row without a copy: the stride is 0."""
    return Layout(np.array(values[:1]), lambda array, library: library.expand(array, values.shape))


# The first is what an input shrinks to.
LAYOUTS: tuple[Callable[[Memory], Layout], ...] = (contiguous, transposed, strided, offset, expanded)


def possible(shape: tuple[int, ...]) -> tuple[Callable[[Memory], Layout], ...]:
    """Return the layouts that differ for a shape: none of the others where there is at most one entry."""
    return LAYOUTS if shape and np.prod(shape) > 1 else LAYOUTS[:1]
