"""What is run: a graph, the values of its leaves, and how it was made. The same record for every origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.choices import Array
from reference_impl import Graph

# The dtypes that a leaf may have. longdouble is what the platform makes of it: 80 bits on x86.
DTYPES = ("float16", "float32", "float64", "longdouble", "complex64", "complex128")
_NAMES = dict(zip("efdgFD", DTYPES, strict=True))  # by NumPy's one-letter code


class CaseError(ValueError):
    """A case, or the file that should hold one, cannot be used. One sentence: where, what, what to do."""


@dataclass(frozen=True, eq=False)
class Case:
    """A graph with the values of its leaves.

    Attributes:
        name: what reports call it.
        graph: the computation.
        values: leaf name -> array of that leaf's shape; finite, read-only, one of ``DTYPES``.
        family: what generated it, or "lecture", or "file".
        seed: with the family, what reproduces it; None where it came from elsewhere.
        known: name -> true gradient of the output (of its sum, where it is no scalar) with respect to that
            leaf or node, where it is known by other means than by running an engine.

    Raises:
        CaseError: where a value is missing, superfluous, of another shape or dtype, or not finite.
    """

    name: str
    graph: Graph
    values: Mapping[str, Array]
    family: str = "file"
    seed: int | None = None
    known: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        leaves = self.graph.leaves
        for name in leaves:
            if name not in self.values:
                raise CaseError(
                    f"Case {self.name!r} has no value for the leaf {name!r}; add one to its values."
                )
        for name in self.values:
            if name not in leaves:
                raise CaseError(f"Case {self.name!r} has a value for {name!r}, which is no leaf; remove it.")
        for name in self.known:
            if name not in self.graph.shapes:
                raise CaseError(
                    f"Case {self.name!r} knows the gradient of {name!r}, which it lacks; remove it."
                )
        shapes = self.graph.shapes
        values = {name: self._frozen(name, self.values[name], shapes[name]) for name in leaves}
        known = {name: self._frozen(name, value, shapes[name]) for name, value in self.known.items()}
        object.__setattr__(self, "values", MappingProxyType(values))
        object.__setattr__(self, "known", MappingProxyType(known))

    def __reduce__(self) -> tuple[Any, ...]:
        known = dict(self.known)
        return Case, (self.name, self.graph, dict(self.values), self.family, self.seed, known)

    def _frozen(self, name: str, value: object, shape: tuple[int, ...]) -> Array:
        array = np.array(value)
        if array.dtype.kind in "iu":
            array = array.astype(np.float64)
        if dtype_name(array) not in DTYPES:
            raise CaseError(
                f"Case {self.name!r}: expected {name!r} to be one of {', '.join(DTYPES)} "
                f"but got dtype={array.dtype}; convert it."
            )
        if array.shape != shape:
            raise CaseError(
                f"Case {self.name!r}: expected {name!r} of shape {shape} but got shape={array.shape}; "
                "give it the shape that the graph states."
            )
        if not np.isfinite(array).all():
            raise CaseError(
                f"Case {self.name!r}: {name!r} is not finite everywhere; replace NaN and infinity."
            )
        array.setflags(write=False)
        return array


def dtype_name(array: Array) -> str:
    """Return a dtype's name as cases write it: ``longdouble`` whatever its width on this platform."""
    return _NAMES.get(array.dtype.char) or array.dtype.name
