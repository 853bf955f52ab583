"""What an examination finds: claimed gradients under a cotangent, and what a direction tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Vector
from gradcheck.subjects.base import Array


@dataclass(slots=True)
class Pulled:
    """A cotangent u and the claimed gradients of <u, outputs>, in NumPy.

    ``missing`` leaves got no gradient (taken as zeros), ``misshapen`` ones a wrong shape (left out),
    ``finite`` masks the finite entries of those that hold others (taken as zeros and never moved). ``raw``
    has the gradients of misshapen and not finite leaves as they were given. ``sizes`` are kept by
    ``Examination.size``.
    """

    cotangents: list[Array]
    flat: Vector
    gradients: dict[str, np.ndarray]
    missing: frozenset[str] = frozenset()
    misshapen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    finite: Mapping[str, np.ndarray] = field(default_factory=dict)
    raw: Mapping[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Probe:
    """A claimed directional derivative beside its estimate.

    ``parts`` holds, per leaf, its share of the claimed value and the share's typical size.
    ``noise`` bounds the rounding error of the claimed value. The direction itself is not kept: it is as large
    as the leaves. ``direction`` draws it again, for suspect probes of whole leaves.

    ``uncertainty`` is what the two numbers may differ by without either being wrong, ``discrepancy`` how far
    the claimed value lies outside what the estimate admits, and ``suspect`` says that this is more. ``size``
    is the typical size of the claimed value: the root of the summed squares of its terms.
    """

    claimed: float
    estimate: Estimate
    noise: float
    parts: Mapping[str, tuple[float, float]]
    pulled: Pulled
    direction: Callable[[], Mapping[str, Array]] | None = None

    uncertainty: float = field(init=False)
    discrepancy: float = field(init=False)
    size: float = field(init=False)
    suspect: bool = field(init=False)

    def __post_init__(self) -> None:
        self.uncertainty = self.estimate.uncertainty + self.noise
        self.discrepancy = self.estimate.distance(self.claimed)
        self.size = math.hypot(*[size for _, size in self.parts.values()])
        self.suspect = not self.estimate.resolved or self.discrepancy > self.uncertainty
