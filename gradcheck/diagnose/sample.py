"""One discrepancy, prepared for looking at: entries known, entries wrong, and the noise in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array, Discrepancy
from gradcheck.diagnose.hypothesis import NOTHING, Fit

# A repaired gradient may miss by this many times the stated uncertainty, which is no hard bound.
_ALLOWANCE = 4.0
# Rounding of the largest entry, in units of the last place, that any sum of products may leave behind.
_ROUNDING = 16.0


@dataclass(frozen=True)
class Sample:
    """All arrays have the parameter's shape, except ``claimed`` where it was given in another one.

    ``known`` marks entries whose expected value is resolved; ``noise`` is what two right numbers may differ
    by; ``error`` is claimed - expected, zero where not known or where ``claimed`` has another shape;
    ``wrong`` marks known entries in which the error is beyond noise and tolerance.
    """

    name: str
    claimed: Array
    expected: Array
    noise: Array
    known: Array
    error: Array
    wrong: Array
    value: Array | None
    missing: bool
    misshapen: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.expected.shape)

    @property
    def complete(self) -> bool:
        """Whether the expected gradient is known in every entry."""
        return bool(self.known.all())

    @property
    def failing(self) -> bool:
        """Whether there is anything to explain."""
        return self.misshapen or bool(self.wrong.any())

    @property
    def finite(self) -> bool:
        """Whether every claimed entry is a number."""
        return bool(np.isfinite(self.claimed).all())

    @property
    def informative(self) -> Array:
        """Known entries in which a wrong factor would show: claimed or expected is not zero."""
        claimed = np.where(np.isfinite(self.claimed), np.abs(self.claimed), np.inf)
        result: Array = self.known & ((np.abs(self.expected) > self.noise) | (claimed > self.noise))
        return result

    @property
    def clear(self) -> bool:
        """Whether the error stands so far above the noise that its finer structure can be seen."""
        error, noise = self.error[self.known], self.noise[self.known]
        return bool(np.linalg.norm(error) > 50 * np.linalg.norm(noise))

    def fit(self, repaired: Array, noise: Array | None = None) -> Fit:
        """Judge a repaired gradient, in the parameter's shape, by the error that is left."""
        if repaired.shape != self.shape:
            return NOTHING
        return self.fit_known(repaired[self.known], None if noise is None else noise[self.known])

    def fit_known(self, repaired: Array, noise: Array | None = None) -> Fit:
        """Judge repaired values of the known entries alone, in their order."""
        left = np.abs(repaired - self.expected[self.known])
        if left.size == 0 or not np.isfinite(left).all():
            return NOTHING
        beyond = np.maximum(left - (self.noise[self.known] if noise is None else noise), 0.0)
        before = self._before()
        share = 1.0 - float(np.linalg.norm(beyond)) / before
        raw = 1.0 - float(np.linalg.norm(left)) / before
        return Fit(max(share, 0.0), not beyond.any(), max(raw, 0.0))

    def _before(self) -> float:
        """Return the size of the error, or of the gradient where the error cannot be taken entry by entry."""
        error = self.expected if self.misshapen else self.error
        size = float(np.linalg.norm(error[self.known]))
        return size if size > 0 else float(np.linalg.norm(self.noise[self.known])) or 1.0


def observe(discrepancy: Discrepancy) -> Sample:
    """Prepare a discrepancy. A gradient that was not given counts as zeros."""
    expected = _double(discrepancy.expected)
    missing = discrepancy.claimed is None
    claimed = np.zeros_like(expected) if discrepancy.claimed is None else np.asarray(discrepancy.claimed)
    noise = _noise(discrepancy, expected, claimed)
    known = np.isfinite(expected) & np.isfinite(noise)
    if discrepancy.examined is not None:
        known &= np.asarray(discrepancy.examined, dtype=bool)
    claimed = _double(claimed)
    misshapen = claimed.shape != expected.shape
    error = np.zeros_like(expected) if misshapen else np.where(known, claimed - expected, 0)
    tolerance = np.broadcast_to(np.asarray(discrepancy.tolerance, dtype=np.float64), expected.shape)
    wrong = known & ~(np.abs(error) <= np.maximum(noise, tolerance))
    value = None if discrepancy.value is None else _double(np.asarray(discrepancy.value))
    return Sample(discrepancy.name, claimed, expected, noise, known, error, wrong, value, missing, misshapen)


def _double(array: Array) -> Array:
    """Return an array in double precision, real or complex."""
    array = np.asarray(array)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _noise(discrepancy: Discrepancy, expected: Array, claimed: Array) -> Array:
    format_of = claimed if discrepancy.value is None else np.asarray(discrepancy.value)
    epsilon = np.finfo(format_of.dtype).eps if format_of.dtype.kind in "fc" else np.finfo(np.float64).eps
    finite = np.isfinite(expected)
    largest = float(np.abs(expected[finite]).max()) if finite.any() else 0.0
    stated = np.broadcast_to(np.asarray(discrepancy.uncertainty, dtype=np.float64), expected.shape)
    stated = np.where(np.isnan(stated), np.inf, stated)
    noise: Array = _ALLOWANCE * stated + _ROUNDING * float(epsilon) * largest
    return noise
