"""Random directions in which every parameter, of whatever size, is seen equally well.

Each leaf's direction is Gaussian, scaled to that leaf's own magnitude: then the step sizes of the ladder
are relative changes. For a Gaussian direction an error e hides below a resolution r with probability
about 0.8 r / |e| (the density of a standard normal at 0, twice), for k directions with its k-th power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.subjects.base import Array

_HIDES = math.sqrt(2 / math.pi)
# Entries of one leaf that span more than this are each moved by their own magnitude.
_SPAN = 1e8
# Sums of squares between these have neither overflowed nor lost their small terms.
_TINY, _HUGE = 1e-280, 1e280


def like(template: Array, values: np.ndarray) -> Array:
    """Return NumPy values as an array of the template's library, dtype and device."""
    if type(template).__module__.startswith("torch"):
        import torch

        dense = torch.from_numpy(np.array(values, order="C")).to(dtype=template.dtype, device=template.device)
        return dense if template.layout is torch.strided else _stored(template, dense)
    if isinstance(template, np.ndarray):
        return values.astype(template.dtype)
    from array_api_compat import array_namespace

    return array_namespace(template).asarray(values, dtype=template.dtype)


def _stored(template: Array, dense: Array) -> Array:
    """Return the entries that a sparse tensor stores: those it does not store are no variables."""
    import torch

    if template.layout is not torch.sparse_coo:
        return dense.sparse_mask(template.detach())
    indices = template.detach().coalesce().indices()
    return torch.sparse_coo_tensor(indices, dense[tuple(indices)], template.shape, is_coalesced=True)


def to_numpy(array: Array) -> np.ndarray:
    """Return a NumPy array in float64, longdouble or complex128 with the same values."""
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
        return values.astype(np.complex128)
    return values if values.dtype == np.longdouble else values.astype(np.float64)


def gaussian(shape: tuple[int, ...], is_complex: bool, generator: np.random.Generator) -> np.ndarray:
    """Return a standard normal array; complex ones have independent real and imaginary parts."""
    if not is_complex:
        return generator.standard_normal(shape)
    return generator.standard_normal(shape) + 1j * generator.standard_normal(shape)


def scale(value: np.ndarray) -> np.ndarray | float:
    """Return how far to move a leaf: its root mean square; each entry's own size where these span too much.

    Zeros then move by the median: beside 1e-9, moving a zero by as little would drown in rounding.
    """
    magnitude = np.abs(value)
    usable = np.isfinite(magnitude) & (magnitude > 0)
    positive = magnitude if usable.all() else magnitude[usable]
    if positive.size == 0:
        return 1.0
    smallest, largest = float(positive.min()), float(positive.max())
    if largest / smallest > _SPAN:
        return np.where(magnitude > 0, magnitude, float(np.median(positive)))
    return largest * math.sqrt(float(np.mean((positive / largest) ** 2)))


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
        noise = gaussian(tuple(variable.shape), "complex" in str(variable.dtype), generator)
        size = scales[name] if scales is not None else scale(to_numpy(variable))
        result[name] = like(variable, noise * size)
    return result


def moved(value: Array, v: Array, t: float) -> Array:
    """Return value + t v, in one pass over the memory where the library has it."""
    if type(value).__module__.startswith("torch"):
        import torch

        if value.layout is torch.strided:
            return torch.add(value, v, alpha=t)
        if value.layout is not torch.sparse_coo and v.layout is value.layout:
            return _compressed(value, value.values() + t * v.values())
    return value + t * v


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
    return torch.sparse_compressed_tensor(outer, inner, values, template.shape, layout=template.layout)


def inner(gradient: Array, direction: Array) -> tuple[float, float]:
    """Return Re <gradient, direction> and the root of the sum of squared products, its typical size."""
    product = products(gradient, direction).reshape(-1)
    with np.errstate(over="ignore"):  # the squares may overflow: then they are scaled
        total, squares = float(product.sum()), float(product @ product)
    if _TINY < squares < _HUGE or not product.size:
        return total, math.sqrt(squares)
    size = float(abs(product).max())
    if not math.isfinite(size) or size == 0:
        return total, size
    return total, size * math.sqrt(float(((product / size) ** 2).sum()))


def products(gradient: Array, direction: Array) -> Any:
    """Return Re conj(gradient) direction, entry by entry, in NumPy."""
    g, v = to_numpy(gradient), to_numpy(direction)
    if g.dtype.kind == "c" or v.dtype.kind == "c":
        return (np.conj(g) * v).real
    return g * v


def detectable(resolution: float, scale: float, count: int, probability: float = 0.999) -> float | None:
    """Return the relative error that ``count`` Gaussian directions see with the given probability.

    ``resolution`` is the smallest visible change of the directional derivative, ``scale`` the norm of the
    gradient weighted by the direction.
    """
    return detectable_by([resolution] * count, scale, probability)


def detectable_by(resolutions: Sequence[float], scale: float, probability: float = 0.999) -> float | None:
    """Return the same for directions of several resolutions.

    An error e hides from all with the product of their 0.8 r / e. A direction too coarse to add anything is
    left out: there the product would count more than a probability of one.
    """
    if scale == 0 or not all(map(math.isfinite, resolutions)):
        return None
    logarithm, found = 0.0, None
    for count, resolution in enumerate(sorted(resolutions), 1):
        if resolution <= 0:
            return 0.0
        logarithm += math.log(resolution)
        seen = _HIDES / scale * math.exp(logarithm / count) / (1 - probability) ** (1 / count)
        found = seen if found is None else min(found, seen)
    return found


def needed(resolution: float, scale: float, error: float, probability: float = 0.999) -> float:
    """Return how many directions see a relative error with the given probability; infinity: none do."""
    hides = _HIDES * resolution / (scale * error) if scale * error > 0 else 1.0
    if hides >= 1:
        return math.inf
    return 1 if hides <= 0 else math.ceil(math.log(1 - probability) / math.log(hides))
