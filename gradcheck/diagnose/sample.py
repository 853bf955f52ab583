"""One discrepancy, prepared for looking at: entries known, entries wrong, and the noise in each.

Most hypotheses look at the known entries only, as flat arrays in C order (``said``, ``true``, ``noise``,
``error``, ``wrong``, ``told``, ``index``): of a tensor of ten million entries a few hundred may be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.diagnose.evidence import Array, Discrepancy
from gradcheck.diagnose.hypothesis import NOTHING, Fit

# A repaired gradient may miss by this many times the stated uncertainty, which is no hard bound.
_ALLOWANCE = 4.0
# Rounding of the largest entry, in units of the last place, that any sum of products may leave behind.
_ROUNDING = 16.0
# Of more known entries than twice this, so many wrong ones and so many right ones are looked at.
_LOOKED_AT = 100_000


@dataclass(frozen=True)
class Sample:
    """The arrays have the parameter's shape, except ``claimed`` where it was given in another one.

    ``known`` marks entries whose expected value is resolved; ``spread`` is what two right numbers may differ
    by, and ``tolerance`` what they may differ by all the same. Entries not known are 0 in ``expected``.
    """

    name: str
    claimed: Array
    expected: Array
    spread: Array
    tolerance: Array
    known: Array
    value: Array | None
    missing: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.expected.shape)

    @property
    def misshapen(self) -> bool:
        """Whether the claimed gradient has another shape than the parameter."""
        return self.claimed.shape != self.expected.shape

    @cached_property
    def complete(self) -> bool:
        """Whether the expected gradient is known in every entry."""
        return bool(self.known.all())

    @cached_property
    def finite(self) -> bool:
        """Whether every claimed entry is a number."""
        return bool(np.isfinite(self.claimed).all())

    @cached_property
    def index(self) -> tuple[Array, ...]:
        """The coordinates of the known entries, one array per axis."""
        return np.nonzero(self.known) if self.shape else ()

    def at(self, array: Array) -> Array:
        """Return an array of the parameter's shape at the known entries, flat."""
        if self.complete or not self.shape:
            return array.reshape(-1)[: int(self.known.sum())]
        return array[self.index]

    @cached_property
    def said(self) -> Array:
        """The claimed gradient at the known entries; zeros where it has another shape."""
        return np.zeros_like(self.true) if self.misshapen else self.at(self.claimed)

    @cached_property
    def true(self) -> Array:
        """The expected gradient at the known entries."""
        return self.at(self.expected)

    @cached_property
    def noise(self) -> Array:
        """What two right numbers may differ by, at the known entries."""
        return self.at(self.spread)

    @cached_property
    def error(self) -> Array:
        """Claimed - expected at the known entries; zeros where there is no telling entry by entry."""
        return np.zeros_like(self.true) if self.misshapen else self.said - self.true

    @cached_property
    def wrong(self) -> Array:
        """Which known entries are off by more than noise and tolerance."""
        result: Array = ~(np.abs(self.error) <= np.maximum(self.noise, self.at(self.tolerance)))
        return result

    @cached_property
    def told(self) -> Array:
        """Which known entries would show a wrong factor: those that are wrong, or not zero."""
        result: Array = self.wrong | (np.abs(self.true) > self.noise) | (np.abs(self.said) > self.noise)
        return result

    @cached_property
    def value_at(self) -> Array | None:
        """The parameter itself at the known entries; None where it is not given."""
        return None if self.value is None or self.value.shape != self.shape else self.at(self.value)

    @property
    def failing(self) -> bool:
        """Whether there is anything to explain."""
        return self.misshapen or bool(self.wrong.any())

    @cached_property
    def clear(self) -> bool:
        """Whether the error stands so far above the noise that its finer structure can be seen."""
        return bool(np.linalg.norm(self.error) > 50 * np.linalg.norm(self.noise))

    @property
    def counted(self) -> str:
        """The number of known entries in words."""
        return f"{self.true.size} entries{'' if self.complete else ' looked at'}"

    def fit(self, repaired: Array) -> Fit:
        """Judge a repaired gradient, in the parameter's shape, by the error that is left."""
        return self.fit_at(self.at(repaired)) if repaired.shape == self.shape else NOTHING

    def fit_at(self, repaired: Array, noise: Array | None = None) -> Fit:
        """Judge repaired values of the known entries."""
        left = np.abs(repaired - self.true)
        if left.size == 0 or not np.isfinite(left).all():
            return NOTHING
        beyond = np.maximum(left - (self.noise if noise is None else noise), 0.0)
        share = 1.0 - float(np.linalg.norm(beyond)) / self._before
        raw = 1.0 - float(np.linalg.norm(left)) / self._before
        return Fit(max(share, 0.0), not beyond.any(), max(raw, 0.0))

    @cached_property
    def _before(self) -> float:
        """The size of the error, or of the gradient where there is no telling entry by entry."""
        size = float(np.linalg.norm(self.true if self.misshapen else self.error))
        return size if size > 0 else float(np.linalg.norm(self.noise)) or 1.0


def observe(discrepancy: Discrepancy) -> Sample:
    """Prepare a discrepancy. A gradient that was not given counts as zeros."""
    expected = _double(discrepancy.expected)
    missing = discrepancy.claimed is None
    given = np.zeros_like(expected) if discrepancy.claimed is None else np.asarray(discrepancy.claimed)
    value = None if discrepancy.value is None else np.asarray(discrepancy.value)
    spread = _spread(discrepancy, expected, given if value is None else value)
    known = np.isfinite(expected) & np.isfinite(spread)
    if discrepancy.examined is not None:
        known &= np.asarray(discrepancy.examined, dtype=bool)
    expected = np.where(known, expected, 0)
    tolerance = np.broadcast_to(np.asarray(discrepancy.tolerance, dtype=np.float64), expected.shape)
    sample = Sample(
        discrepancy.name,
        _double(given),
        expected,
        spread,
        tolerance,
        known,
        None if value is None else _double(value),
        missing,
    )
    return sample if sample.true.size <= 2 * _LOOKED_AT else _thinned(sample)


def _thinned(sample: Sample) -> Sample:
    """Keep enough entries to see what is wrong, and where."""
    generator = np.random.default_rng(0)
    flat = np.flatnonzero(sample.known)
    known = np.zeros(sample.known.size, dtype=bool)
    for group in (flat[sample.wrong], flat[~sample.wrong]):
        few = group.size <= _LOOKED_AT
        known[group if few else generator.choice(group, _LOOKED_AT, replace=False)] = True
    return narrowed(sample, known.reshape(sample.shape))


def narrowed(sample: Sample, known: Array, claimed: Array | None = None) -> Sample:
    """Return the sample with fewer known entries."""
    given = sample.claimed if claimed is None else claimed
    return Sample(
        sample.name,
        given,
        sample.expected,
        sample.spread,
        sample.tolerance,
        known,
        sample.value,
        sample.missing,
    )


def _double(array: Array) -> Array:
    """Return an array in double precision, real or complex."""
    array = np.asarray(array)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)


def _spread(discrepancy: Discrepancy, expected: Array, like: Array) -> Array:
    """Return the noise per entry; ``like`` has the number format in which the gradient should be right."""
    epsilon = np.finfo(like.dtype).eps if like.dtype.kind in "fc" else np.finfo(np.float64).eps
    finite = np.isfinite(expected)
    largest = float(np.abs(expected[finite]).max()) if finite.any() else 0.0
    stated = np.broadcast_to(np.asarray(discrepancy.uncertainty, dtype=np.float64), expected.shape)
    stated = np.where(np.isnan(stated), np.inf, stated)
    spread: Array = _ALLOWANCE * stated + _ROUNDING * float(epsilon) * largest
    return spread
