"""Going back through broadcasting and reduction: what one does to the axes, the other undoes.

Where the forward pass repeats a value along an axis, the paths from its copies to the loss all count, and
the cotangents are summed over that axis (the distributed chain rule). Where it sums over an axis, every
entry receives the same cotangent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference_impl.rules.rule import Array

Axis = int | tuple[int, ...] | None

# The reductions themselves, without the Python wrappers that np.sum and the others put around them.
add_up: Callable[..., Array] = np.add.reduce
multiply_up: Callable[..., Array] = np.multiply.reduce
largest: Callable[..., Array] = np.maximum.reduce
smallest: Callable[..., Array] = np.minimum.reduce


def unbroadcast(cotangent: Array, shape: tuple[int, ...]) -> Array:
    """Sum a cotangent over the axes along which a value of ``shape`` was repeated."""
    if cotangent.shape == shape:
        return cotangent
    new = cotangent.ndim - len(shape)
    stretched = [i for i, n in enumerate(shape, new) if n == 1]
    return add_up(cotangent, axis=(*range(new), *stretched)).reshape(shape)


def positions(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes meant by None (all), a number or several, counted from the front, ascending.

    Raises:
        numpy.exceptions.AxisError: where an axis does not exist (a ``ValueError``).
        ValueError: where an axis is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    named = (axis,) if isinstance(axis, int) else axis
    for i in named:
        if not -ndim <= i < ndim:
            raise np.exceptions.AxisError(i, ndim)
    found = tuple(sorted(i % ndim for i in named))
    if len(set(found)) < len(found):
        raise ValueError(f"Expected each axis once but got axis={axis!r}")
    return found


def keep_axes(reduced: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """View what is left of ``shape`` after a reduction over ``axis`` with those axes kept, of size 1."""
    axes = positions(axis, len(shape))
    return reduced.reshape([1 if i in axes else n for i, n in enumerate(shape)])


def spread(cotangent: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """Give every entry of ``shape`` the cotangent of the sum over ``axis`` that it went into."""
    if axis is not None:
        cotangent = keep_axes(cotangent, shape, axis)
    elif cotangent.ndim:  # every axis kept, of size 1
        cotangent = cotangent.reshape(())
    everywhere = np.empty(shape, cotangent.dtype)
    everywhere[...] = cotangent
    return everywhere
