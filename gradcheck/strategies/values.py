"""Values: ordinary ones, and those at which gradients go wrong: zeros, ties, large and tiny magnitudes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradcheck.errors import UsageError

Values = NDArray[np.float64]
# Up to here each entry is drawn, and shrinks, by itself; hypothesis cannot keep account of many more.
_MOST_DRAWN = 64
_ORDINARY = 3.0
_STEP = 2.0**-12
# Powers of ten by the name of the dtype: far enough to hurt, near enough for squares to be finite.
_MAGNITUDES = {"float16": 1, "bfloat16": 12, "float32": 12, "complex64": 12}
_LARGEST_MAGNITUDE = 60


@dataclass(frozen=True)
class Domain:
    """The interval that values are drawn from, and how many powers of ten the dtype leaves room for."""

    low: float = -math.inf
    high: float = math.inf
    magnitude: int = _LARGEST_MAGNITUDE

    @classmethod
    def of(cls, min_value: float | None, max_value: float | None, dtype: str) -> Domain:
        """Return the checked domain. Raises UsageError where it is empty."""
        low = -math.inf if min_value is None else float(min_value)
        high = math.inf if max_value is None else float(max_value)
        if not low <= high:
            raise UsageError(f"Expected min_value <= max_value but got {low} and {high}; exchange them.")
        return cls(low, high, _MAGNITUDES.get(dtype, _LARGEST_MAGNITUDE))

    def fit(self, values: Values) -> Values:
        """Return values moved into the interval."""
        return np.clip(values, self.low, self.high)

    @property
    def ordinary(self) -> tuple[float, float]:
        """The bounds of ordinary values: some units around zero, or around the nearest end."""
        nearest = min(max(0.0, self.low), self.high)
        return max(self.low, nearest - _ORDINARY), min(self.high, nearest + _ORDINARY)


@lru_cache(maxsize=512)  # making a strategy takes longer than drawing from it
def values(shape: tuple[int, ...], domain: Domain, *, special: bool) -> st.SearchStrategy[Values]:
    """Return a strategy for float64 values of a shape; ``special`` draws the hard ones too."""
    kinds = [_ordinary, _with_zeros, _with_ties, _scaled] if special else [_ordinary]
    size = math.prod(shape)

    def shaped(kind: Callable[[int, Domain], st.SearchStrategy[Values]]) -> st.SearchStrategy[Values]:
        return kind(size, domain).map(lambda flat: domain.fit(flat).reshape(shape))

    return st.one_of([shaped(kind) for kind in kinds])


def _ordinary(size: int, domain: Domain) -> st.SearchStrategy[Values]:
    low, high = domain.ordinary
    if size > _MOST_DRAWN:
        return st.integers(0, 2**32 - 1).map(
            lambda seed: np.random.default_rng(seed).uniform(low, high, size)
        )
    # Multiples of a step around 1, to which they shrink: not around 0, where many functions have a kink.
    centre = min(max(1.0, low), high)
    steps = st.integers(math.floor((low - centre) / _STEP), math.ceil((high - centre) / _STEP))
    number = steps.map(lambda k: centre + k * _STEP)
    return st.lists(number, min_size=size, max_size=size).map(np.array)


def _with_zeros(size: int, domain: Domain) -> st.SearchStrategy[Values]:
    return st.builds(
        _zeroed, _ordinary(size, domain), st.integers(0, 2**32 - 1), st.sampled_from((0.0, -0.0))
    )


def _zeroed(drawn: Values, seed: int, zero: float) -> Values:
    return np.where(np.random.default_rng(seed).random(drawn.shape) < 0.5, zero, drawn)


def _with_ties(size: int, domain: Domain) -> st.SearchStrategy[Values]:
    pool = _ordinary(2, domain)
    return st.builds(_chosen, pool, st.integers(0, 2**32 - 1), st.just(size))


def _chosen(pool: Values, seed: int, size: int) -> Values:
    return pool[np.random.default_rng(seed).integers(0, len(pool), size)]


def _scaled(size: int, domain: Domain) -> st.SearchStrategy[Values]:
    """Return ordinary values times a power of ten, large or tiny."""
    ends = st.sampled_from((domain.magnitude, -domain.magnitude))
    power = st.one_of(st.integers(-domain.magnitude, domain.magnitude), ends)
    return st.builds(lambda drawn, k: drawn * 10.0**k, _ordinary(size, domain), power)
