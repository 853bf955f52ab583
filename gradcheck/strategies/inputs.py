"""The strategies themselves: a shape, a dtype, values and a layout make an array or a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.strategies.layouts import Layout, Library, contiguous, possible
from gradcheck.strategies.shapes import shapes
from gradcheck.strategies.values import Domain, values

if TYPE_CHECKING:
    import torch

Shape: TypeAlias = int | tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None
_DTYPES = ("float64", "float32", "float16", "bfloat16", "complex128", "complex64")
# NumPy lacks bfloat16; its values are drawn as float32 and rounded by PyTorch.
_STORED = {"bfloat16": "float32"}


def arrays(
    shape: Shape = None,
    dtype: Any = "float64",
    *,
    min_value: float | None = None,
    max_value: float | None = None,
    special: bool = True,
    layouts: bool = True,
) -> st.SearchStrategy[NDArray[Any]]:
    """Return a strategy for NumPy arrays.

    Args:
        shape: a shape, a strategy for shapes, or None for ``shapes()``.
        dtype: a floating or complex dtype or its name, or a list of those to choose from.
        min_value: no value is below it; for complex dtypes, no real or imaginary part.
        max_value: nor above this.
        special: also draw zeros, ties, large and tiny magnitudes, where the bounds allow.
        layouts: also draw arrays that are not contiguous: transposed, strided, offset, expanded (which
            NumPy makes read-only).

    Raises:
        UsageError: where an argument cannot be used.
    """
    numpy = Library(np.transpose, np.broadcast_to)
    dtypes = _domains(_names(dtype, without=("bfloat16",)), min_value, max_value)
    drawn = _layouts(_shape(shape), dtypes, special, layouts)
    return drawn.map(lambda pair: pair[0].view(pair[0].memory, numpy))


def tensors(
    shape: Shape = None,
    dtype: Any = "float64",
    *,
    min_value: float | None = None,
    max_value: float | None = None,
    special: bool = True,
    layouts: bool = True,
    requires_grad: bool = True,
    device: Any = "cpu",
) -> st.SearchStrategy[torch.Tensor]:
    """Return a strategy for PyTorch tensors: leaves that require grad.

    Args:
        shape: as for ``arrays``, like all that follows.
        dtype: ``torch.float32``, "float32", or a list of such; bfloat16 is one of them.
        min_value: see ``arrays``.
        max_value: see ``arrays``.
        special: see ``arrays``.
        layouts: see ``arrays``.
        requires_grad: whether the tensors require grad.
        device: where they are.

    Raises:
        UsageError: where an argument cannot be used.
    """
    drawn = _layouts(_shape(shape), _domains(_names(dtype), min_value, max_value), special, layouts)
    return drawn.map(lambda pair: _tensor(*pair, device).requires_grad_(requires_grad))


def _tensor(layout: Layout, dtype: str, device: Any) -> torch.Tensor:
    import torch

    library = Library(lambda tensor, axes: tensor.permute(*axes), lambda tensor, shape: tensor.expand(shape))
    memory = torch.from_numpy(layout.memory).to(dtype=getattr(torch, dtype), device=device)
    tensor: torch.Tensor = layout.view(memory, library)
    return tensor.detach()


@st.composite
def _layouts(
    draw: st.DrawFn,
    shape: st.SearchStrategy[tuple[int, ...]],
    domains: Mapping[str, Domain],
    special: bool,
    layouts: bool,
) -> tuple[Layout, str]:
    """Draw values in a layout, and the name of their dtype."""
    wanted = draw(shape)
    dtype = draw(st.sampled_from(list(domains)))
    parts = values(wanted, domains[dtype], special=special)
    drawn = draw(parts) + 1j * draw(parts) if dtype.startswith("complex") else draw(parts)
    arrange = draw(st.sampled_from(possible(wanted))) if layouts else contiguous
    return arrange(np.asarray(drawn).astype(_STORED.get(dtype, dtype))), dtype


def _shape(shape: Shape) -> st.SearchStrategy[tuple[int, ...]]:
    if shape is None:
        return shapes()
    if isinstance(shape, st.SearchStrategy):
        return shape
    sides = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(side, int) and side >= 0 for side in sides):
        raise UsageError(f"Expected a shape but got {shape!r}; use for example (3, 4).")
    return st.just(sides)


def _domains(dtypes: Sequence[str], low: float | None, high: float | None) -> Mapping[str, Domain]:
    return {dtype: Domain.of(low, high, dtype) for dtype in dtypes}


def _names(dtype: Any, without: Sequence[str] = ()) -> tuple[str, ...]:
    several = dtype if isinstance(dtype, list | tuple | set | frozenset) else [dtype]
    return tuple(_name(each, without) for each in several)


def _name(dtype: Any, without: Sequence[str]) -> str:
    text = str(dtype).removeprefix("torch.")
    try:
        name = text if text in _DTYPES else np.dtype(dtype).name
    except TypeError:
        name = text
    if name not in _DTYPES or name in without:
        known = ", ".join(known for known in _DTYPES if known not in without)
        raise UsageError(f"Expected a floating or complex dtype but got dtype={dtype!r}; use one of {known}.")
    return name
