"""Calls that draw random numbers made repeatable: each begins in the same random state.

NumPy's and Python's global generators and those that the called functions close over are put into one
state before each call, and back into the caller's own after it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


class Randomness:
    """Remembers the state in which every call is to begin: that at construction."""

    def __init__(self, generators: Sequence[Any] = ()) -> None:
        self._generators = list(generators)
        self._start = self._states()
        self.drawn = False
        self._settled = False

    def settle(self) -> None:
        """Stop watching: whether calls draw random numbers is known now."""
        self._settled = True

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Run a call from the remembered state; ``drawn`` tells afterwards whether any call drew."""
        if self._settled and not self.drawn:
            yield
            return
        own = self._states()
        self._put(self._start)
        try:
            yield
        finally:
            self.drawn = self.drawn or not all(map(_same, self._states(), self._start))
            self._put(own)

    def _states(self) -> list[Any]:
        # NumPy's legacy global generator is what seeded homework uses; its state is read, never drawn from.
        states: list[Any] = [np.random.get_state(), random.getstate()]  # noqa: NPY002 (see above)
        return states + [_state(generator) for generator in self._generators]

    def _put(self, states: list[Any]) -> None:
        np.random.set_state(states[0])  # noqa: NPY002 (the user's state is put back)
        random.setstate(states[1])
        for generator, state in zip(self._generators, states[2:], strict=True):
            _set_state(generator, state)


def _state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return copy.deepcopy(generator.bit_generator.state)


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _same(one: Any, other: Any) -> bool:
    """Compare two states of one generator; NumPy's hold arrays."""
    if isinstance(one, dict):
        return all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple) and any(isinstance(part, np.ndarray) for part in one):
        return all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)
