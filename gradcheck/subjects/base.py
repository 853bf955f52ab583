"""The one shape that everything under verification is brought into; the pipeline knows nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

Array = Any  # an array of any library


class Subject(Protocol):
    """A forward computation at a point, together with its claimed gradients.

    ``variables`` are the leaves under verification, by name, at the base point. ``evaluate`` and
    ``pull_back`` leave every one of them, and all state behind them, as they were.
    """

    @property
    def name(self) -> str:
        """What reports call the subject."""
        ...

    @property
    def variables(self) -> Mapping[str, Array]:
        """The leaves under verification at the base point: floating-point or complex arrays."""
        ...

    @property
    def epsilon(self) -> float:
        """The spacing of the numbers that the forward pass computes in, relative to 1."""
        ...

    @property
    def precision(self) -> float:
        """The spacing of the numbers that the claimed gradients are computed in, relative to 1."""
        ...

    @property
    def fixed_cotangent(self) -> bool:
        """Whether the claimed gradient is that of a scalar loss, and takes no cotangent."""
        ...

    @property
    def is_linear(self) -> bool:
        """Whether the backward pass is known to be linear in the cotangent; False says nothing."""
        ...

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        """Return the differentiable outputs with the named leaves replaced; the others keep their value."""
        ...

    def pull_back(self, cotangents: Sequence[Array | None] | None) -> dict[str, Array | None]:
        """Return the claimed gradient of <cotangents, outputs> for each leaf; None where there is none."""
        ...


@runtime_checkable
class KnowsRounding(Protocol):
    """A subject that can tell, when in doubt, what rounding does to a right backward pass at its point."""

    def rounding(self) -> Mapping[str, np.ndarray]:
        """Return for each leaf how far one rounding of every cotangent on the way moves its gradient."""
        ...
