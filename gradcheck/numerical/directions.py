"""Random directions in which every parameter, of whatever size, is seen equally well.

Each leaf's direction is Gaussian, scaled to that leaf's own magnitude: then the step sizes of the ladder
are relative changes. For a Gaussian direction an error e hides below a resolution r with probability
about 0.8 r / |e| (the density of a standard normal at 0, twice), for k directions with its k-th power. The
resolution is what the error bar becomes where the claimed value is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from gradcheck.numerical.line import HUGE, TINY, scaled_root, squared
from gradcheck.subjects.base import Array

# How wide the error bar becomes where a claim is wrong, in units of the bar with which a right one was
# confirmed, each with its share. A bar from two rungs is kept only where the claimed value lies within it; a
# wrong claim sends the estimate down the longer road, and has to lie beyond the bar that comes of that: for
# rounding alone up to 8 noise over the step, of three rungs, instead of 3. The shares are those of generated
# cases: of errors of 1.1 to 1.5 bars 0.54 go unseen, to 2 bars 0.38, to 3 0.17, to 6 0.03, then none.
_WIDENED = ((1.0, 0.4), (2.0, 0.35), (3.0, 0.2), (5.0, 0.05))
# The share of errors far larger than a bar that hides in it, times their size in bars.
_HIDES = math.sqrt(2 / math.pi) * sum(times * share for times, share in _WIDENED)
# Beyond so many directions each of them may hide so much that the share is no straight line any more.
_STRAIGHT, _BISECTIONS = 2, 30
# Entries of one leaf that span more than this are each moved by their own magnitude.
_SPAN = 1e8
# Entries that are multiplied at once.
_PART = 2**16


def like(template: Array, values: np.ndarray) -> Array:
    """Return NumPy values as an array of the template's library, dtype and device; it may share memory."""
    if type(template).__module__.startswith("torch"):
        import torch

        dense = torch.from_numpy(np.asarray(values, order="C"))
        if dense.dtype is not template.dtype or not template.is_cpu:
            dense = dense.to(template.device, template.dtype)
        return dense if template.layout is torch.strided else _stored(template, dense)
    if isinstance(template, np.ndarray):
        return values.astype(template.dtype, copy=False)
    from array_api_compat import array_namespace

    return array_namespace(template).asarray(values, dtype=template.dtype)


def _stored(template: Array, dense: Array) -> Array:
    """Return the entries that a sparse tensor stores: those it does not store are no variables."""
    import torch

    if template.layout is not torch.sparse_coo:
        return dense.sparse_mask(template.detach())
    indices = template.detach().coalesce().indices()
    return torch.sparse_coo_tensor(
        indices, dense[tuple(indices)], template.shape, is_coalesced=True, check_invariants=False
    )


def to_numpy(array: Array) -> np.ndarray:
    """Return a NumPy array in float64, longdouble or complex128 with the same values."""
    if type(array) is np.ndarray and array.dtype == np.float64:
        return array
    if type(array).__module__.startswith("torch"):
        import torch

        if array.dtype is torch.float64 and array.device.type == "cpu" and array.layout is torch.strided:
            plain: np.ndarray = array.numpy(force=True)
            return plain
        wide = torch.complex128 if array.is_complex() else torch.float64
        tensor = array.detach()
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        result: np.ndarray = tensor.resolve_conj().resolve_neg().to(dtype=wide).numpy(force=True)
        return result
    values = np.asarray(array)
    if values.dtype.kind == "c":
        return values.astype(np.complex128, copy=False)
    return values if values.dtype == np.longdouble else values.astype(np.float64, copy=False)


@cache
def is_complex(dtype: Any) -> bool:
    """Whether a format of any library holds complex numbers."""
    return "complex" in str(dtype)


def gaussian(shape: tuple[int, ...], is_complex: bool, generator: np.random.Generator) -> np.ndarray:
    """Return a standard normal array; complex ones have independent real and imaginary parts."""
    real = generator.standard_normal(shape)
    return np.asarray(real + 1j * generator.standard_normal(shape) if is_complex else real)


def scale(value: np.ndarray) -> np.ndarray | float:
    """Return how far to move a leaf: its root mean square; each entry's own size where these span too much.

    Zeros then move by the median: beside 1e-9, moving a zero by as little would drown in rounding.
    """
    return extent(value)[0]


def extent(value: np.ndarray) -> tuple[np.ndarray | float, float]:
    """Return a leaf's ``scale`` and its ``largest`` magnitude."""
    return _plain_extent(value) or (_scale(value), largest(value))


def _plain_extent(value: np.ndarray) -> tuple[float, float] | None:
    """Return the same of few real entries of similar size, None of others."""
    if not 0 < value.size <= _PART or value.dtype.kind == "c":
        return None
    magnitude, squares = np.abs(value), squared(value)
    most = float(magnitude.max())
    alike = most <= _SPAN * float(magnitude.min()) and TINY < squares < HUGE
    return (math.sqrt(squares / value.size), most) if alike else None


def _scale(value: np.ndarray) -> np.ndarray | float:
    extents = [(float(part.min()), float(part.max())) for part in _magnitudes(value)]
    if not extents:
        return 1.0
    least, most = min(low for low, _ in extents), max(high for _, high in extents)
    if most / least > _SPAN:
        magnitude = np.abs(value)
        median = float(np.median(np.concatenate(list(_magnitudes(value)))))
        return np.where(magnitude > 0, magnitude, median)
    sums = [(float(np.sum((part / most) ** 2)), part.size) for part in _magnitudes(value)]
    return most * math.sqrt(sum(squares for squares, _ in sums) / sum(count for _, count in sums))


def largest(value: np.ndarray) -> float:
    """Return the largest magnitude among finite or other entries, 0 of none."""
    if value.dtype.kind == "c":
        return float(np.abs(value).max(initial=0))
    return max(float(value.max(initial=0)), -float(value.min(initial=0)))


def _magnitudes(value: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the magnitudes of the entries that are finite and not zero, in parts, none of them empty."""
    for (part,) in _parts(value):
        magnitude = np.abs(part)
        usable = np.isfinite(magnitude) & (magnitude > 0)
        found = magnitude if usable.all() else magnitude[usable]
        if found.size:
            yield found


def direction(
    variables: Mapping[str, Array],
    names: Sequence[str],
    generator: np.random.Generator,
    scales: Mapping[str, np.ndarray | float] | None = None,
) -> dict[str, Array]:
    """Return a random direction over the named leaves, each scaled to its leaf (``scales``, where known)."""
    result = {}
    for name in names:
        variable = variables[name]
        noise = gaussian(tuple(variable.shape), is_complex(variable.dtype), generator)
        size = scales[name] if scales is not None else scale(to_numpy(variable))
        noise *= size
        result[name] = like(variable, noise)
    return result


def moved(value: Array, v: Array, t: float) -> Array:
    """Return value + t v."""
    if type(value).__module__.startswith("torch"):
        import torch

        if value.layout is torch.strided:
            return torch.add(value, v, alpha=t)
        if value.layout is not torch.sparse_coo and v.layout is value.layout:
            return _compressed(value, value.values() + t * v.values())
    return value + t * v


def mover(value: Array, v: Array) -> Callable[[float], Array]:
    """Return t -> value + t v, in one pass over the memory, and always the same, where the library can do so.

    Fresh memory takes ten times as long as what is done with it.
    """
    if type(value).__module__.startswith("torch"):
        import torch

        if value.layout is torch.strided and not value.requires_grad:
            room = torch.empty_like(value)
            return lambda t: torch.add(value, v, alpha=t, out=room)
    return partial(moved, value, v)


def _compressed(template: Array, values: Array) -> Array:
    """Return the values stored as in a sparse tensor that is compressed by rows or columns.

    Adding such tensors is not defined for all of these layouts.
    """
    import torch

    rows = template.layout in (torch.sparse_csr, torch.sparse_bsr)
    outer, inner = (
        (template.crow_indices(), template.col_indices())
        if rows
        else (template.ccol_indices(), template.row_indices())
    )
    return torch.sparse_compressed_tensor(
        outer, inner, values, template.shape, layout=template.layout, check_invariants=False
    )


def inner(gradient: Array, direction: Array) -> tuple[float, float]:
    """Return Re <gradient, direction> and the root of the sum of squared products, its typical size."""
    g, v = to_numpy(gradient), to_numpy(direction)
    total = squares = 0.0
    for part in _parts(g, v):
        product = _products(*part)
        total += float(np.add.reduce(product))
        squares += squared(product)
    return total, math.sqrt(squares) if TINY < squares < HUGE else scaled_root(
        abs(_products(g, v)).reshape(-1)
    )


def norm(gradient: np.ndarray, weight: np.ndarray | float) -> float:
    """Return the root of the sum of squared products, over what is finite."""
    squares = 0.0
    if isinstance(weight, np.ndarray):
        for g, w in _parts(gradient, weight):
            product = g * w
            squares += squared(product)
    else:
        for (g,) in _parts(gradient):
            squares += squared(g) * weight * weight
    if TINY < squares < HUGE:
        return math.sqrt(squares)
    products = gradient * weight
    return scaled_root(abs(products[np.isfinite(products)]))


def _parts(*arrays: np.ndarray) -> Iterable[tuple[np.ndarray, ...]]:
    """Return arrays of one shape in flat parts that stay in the cache, so that no product is as large."""
    flat = tuple([array.reshape(-1) for array in arrays])
    size = flat[0].size
    if size <= _PART:
        return (flat,)
    return (tuple([array[k : k + _PART] for array in flat]) for k in range(0, size, _PART))


def _products(g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return Re conj(g) v, entry by entry."""
    if g.dtype.kind == "c" or v.dtype.kind == "c":
        return np.asarray((np.conj(g) * v).real)
    product: np.ndarray = g * v
    return product


def hidden(bar: float, error: float) -> float:
    """Return the probability that a Gaussian direction does not show an error of this size.

    ``bar`` is the error bar of the directional derivative, made with a claimed value that it confirms.
    """
    if bar <= 0 or error <= 0:
        return float(error <= 0)
    return sum(share * math.erf(times * bar / (math.sqrt(2) * error)) for times, share in _WIDENED)


def see(bars: Sequence[float], error: float, probability: float = 0.999) -> bool:
    """Whether Gaussian directions of these error bars together see an error with the given probability."""
    return math.prod(hidden(bar, error) for bar in bars) <= 1 - probability


def detectable(bar: float, scale: float, count: int, probability: float = 0.999) -> float | None:
    """Return the relative error that ``count`` Gaussian directions see with the given probability.

    ``scale`` is the norm of the gradient weighted by the direction. See ``hidden``.
    """
    return detectable_by([bar] * count, scale, probability)


def detectable_by(bars: Sequence[float], scale: float, probability: float = 0.999) -> float | None:
    """Return the same for directions of several error bars.

    An error hides from all with the product of the shares, a few times bar / error each. A direction too
    coarse to add anything is left out: there a share would count more than a probability of one.
    """
    if scale == 0 or not bars or not all(map(math.isfinite, bars)):
        return None
    logarithm, found = 0.0, math.inf
    for count, bar in enumerate(sorted(bars), 1):
        if bar <= 0:
            return 0.0
        logarithm += math.log(bar)
        found = min(found, _HIDES * math.exp(logarithm / count) / (1 - probability) ** (1 / count))
    if len(bars) > _STRAIGHT:
        found = _least(bars, found, probability)
    return found / scale


def _least(bars: Sequence[float], enough: float, probability: float) -> float:
    """Return the least error that the directions see, not above one that they do."""
    least = 0.0
    for _ in range(_BISECTIONS):
        middle = (least + enough) / 2
        least, enough = (least, middle) if see(bars, middle, probability) else (middle, enough)
    return enough


def needed(bar: float, scale: float, error: float, probability: float = 0.999) -> float:
    """Return how many directions see a relative error with the given probability; infinity: none do."""
    hides = hidden(bar, scale * error)
    if hides >= 1:
        return math.inf
    return 1 if hides <= 0 else math.ceil(math.log(1 - probability) / math.log(hides))
