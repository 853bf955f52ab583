"""One source of choices, so that each generator is written once.

A generator asks for small integers, booleans and arrays. A seed answers through ``SeededChoices``;
hypothesis answers through ``cases.strategies``, and then shrinks its answers. The convention that makes
shrinking work: the lowest integer, ``False`` and the first option are the simplest.

Seeded answers are made from the raw 64-bit words of PCG64 by integer arithmetic and exact scaling. NumPy
promises that these words, and what SeedSequence does to a seed, never change, on any platform; it promises
no such thing of ``Generator.integers`` or ``Generator.normal`` (NEP 19).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_BLOCK = 128
_MANTISSA = 2.0**-53


class Choices(Protocol):
    """Whatever decides how a case looks."""

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included; low is the simplest."""

    def boolean(self, probability: float = 0.5) -> bool:
        """Return True with the given probability; False is the simplest."""

    def one_of(self, options: Sequence[T]) -> T:
        """Return one of the options; the first is the simplest."""

    def in_turn(self, options: Sequence[T]) -> T:
        """Return one of the options, which seeds take in turn: as many seeds as options have each once."""

    def repeat(self, least: int, most: int) -> Iterator[int]:
        """Yield 0, 1, 2, ... as many times as something is to be repeated; few times are the simplest.

        Each repetition can be shrunk away on its own, which a number drawn beforehand does not allow.
        """

    def array(self, shape: Shape, low: float = -2.0, high: float = 2.0) -> Array:
        """Return a float64 array of the given shape, its entries between low and high."""

    def integers(self, shape: Shape, low: int, high: int) -> Array:
        """Return an int64 array of the given shape, its entries from low to high, both included."""


class SeededChoices:
    """Choices that follow from a family's name and a seed, the same in every process and everywhere."""

    def __init__(self, family: str, seed: int) -> None:
        # The name's own bytes: hash() differs from process to process.
        words = np.random.SeedSequence([int.from_bytes(family.encode(), "little"), seed])
        self._words = np.random.PCG64(words)
        self._seed = seed
        self._ready: list[int] = []

    def _word(self) -> int:
        if not self._ready:
            self._ready = self._words.random_raw(_BLOCK).tolist()
        return self._ready.pop()

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return low + self._word() % (high - low + 1)

    def boolean(self, probability: float = 0.5) -> bool:
        """Return True with the given probability."""
        return (self._word() >> 11) * _MANTISSA < probability

    def one_of(self, options: Sequence[T]) -> T:
        """Return one of the options, each as likely as another."""
        return options[self._word() % len(options)]

    def in_turn(self, options: Sequence[T]) -> T:
        """Return the option whose turn it is; takes no word of the source."""
        return options[self._seed % len(options)]

    def repeat(self, least: int, most: int) -> Iterator[int]:
        """Yield 0, 1, 2, ... at least and at most as many times as given."""
        yield from range(self.integer(least, most))

    def array(self, shape: Shape, low: float = -2.0, high: float = 2.0) -> Array:
        """Return a float64 array of the given shape, uniform between low and high."""
        words = self._words.random_raw(math.prod(shape)) >> np.uint64(11)
        uniform: Array = low + (high - low) * (words * _MANTISSA)
        return uniform.reshape(shape)

    def integers(self, shape: Shape, low: int, high: int) -> Array:
        """Return an int64 array of the given shape, uniform from low to high, both included."""
        words = self._words.random_raw(math.prod(shape)) % np.uint64(high - low + 1)
        return (low + words.astype(np.int64)).reshape(shape)


def permutation(choices: Choices, n: int) -> tuple[int, ...]:
    """Return the numbers below n in some order; ascending is the simplest."""
    order = list(range(n))
    for i in range(n - 1):
        j = choices.integer(i, n - 1)
        order[i], order[j] = order[j], order[i]
    return tuple(order)


def bell(choices: Choices, shape: Shape, deviation: float = 1.0) -> Array:
    """Return a bell-shaped float64 array: mean 0, the given standard deviation, bounded by 3 deviations.

    Three uniform numbers added up. A true normal number needs a logarithm and a cosine, whose last bit
    differs between platforms.
    """
    summed: Array = choices.array((3, *shape), -1.0, 1.0).sum(axis=0)
    return summed * deviation
