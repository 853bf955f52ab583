"""The global random generators of NumPy and Python: whether they have moved since a moment, and back to it.

Copying their states takes as long as many a forward pass. Where the states lie in memory, a copy of the bytes
tells whether they have moved.
"""

from __future__ import annotations

import _random
import ctypes
import random
import sys
from typing import Any

import numpy as np

# Of the Mersenne twister, each of 32 bits; the position follows.
_WORDS = 624
_INSTANCE: Any = random.random.__self__  # type: ignore[attr-defined]  # a bound method, as its stubs do not say
_HEADER = object.__basicsize__ if sys.implementation.name == "cpython" else 0
# The states as they were last copied, with their bytes.
_copied: tuple[bytes, Any] = (b"", None)
_copied_of_python: tuple[bytes, Any] = (b"", None)
# NumPy's generator as it was last looked at, and where its state lies; None: it is no Mersenne twister.
_looked_at: tuple[Any, Any] = (None, None)


class GlobalRandom:
    """Both generators at one moment."""

    def __init__(self) -> None:
        self._numpy_memory, self._python_memory = _numpy_memory(), _python_memory()
        self._numpy, self._python = _numpy_state(self._numpy_memory), _python_state(self._python_memory)

    def numpy_moved(self) -> bool:
        """Whether NumPy's generator has moved since, or been put elsewhere."""
        if self._numpy_memory and not self._numpy[3]:  # a second normal number in store leaves no trace there
            return _numpy_memory() != self._numpy_memory
        now: Any = np.random.get_state()  # noqa: NPY002 - users draw from the global generator
        return bool(self._numpy[2:] != now[2:] or not np.array_equal(self._numpy[1], now[1]))

    def python_moved(self) -> bool:
        """Whether Python's generator has moved since, or been put elsewhere."""
        if self._python_memory and self._python[2] is None:  # as above
            return _python_memory() != self._python_memory
        return bool(self._python != random.getstate())

    def restore_numpy(self) -> None:
        """Put NumPy's generator back."""
        np.random.set_state(self._numpy)  # noqa: NPY002 - as above

    def restore_python(self) -> None:
        """Put Python's generator back."""
        random.setstate(self._python)


def _numpy_state(memory: bytes) -> Any:
    """Return the state of NumPy's generator: the last copy where it has not moved since."""
    global _copied
    if not memory or memory != _copied[0]:
        state: Any = np.random.get_state()  # noqa: NPY002 - as above
        if not memory or state[3]:
            return state
        _copied = (memory, state)
    return _copied[1]


def _python_state(memory: bytes) -> Any:
    """Return the state of Python's generator, likewise."""
    global _copied_of_python
    if not memory or memory != _copied_of_python[0] or _INSTANCE.gauss_next is not None:
        state = random.getstate()
        if not memory or state[2] is not None:
            return state
        _copied_of_python = (memory, state)
    return _copied_of_python[1]


def _numpy_memory() -> bytes:
    """Return words and position of NumPy's generator; nothing where it is no Mersenne twister."""
    global _looked_at
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]  # documented, not exported by its stubs
    if generator is not _looked_at[0]:
        is_twister = type(generator) is np.random.MT19937
        _looked_at = generator, _at(generator.ctypes.state_address, (_WORDS + 1) * 4) if is_twister else None
    place = _looked_at[1]
    return b"" if place is None else place.raw  # the memory as it is now


def _python_memory() -> bytes:
    """Return the bytes of Python's generator behind its object header; nothing where that is unknown."""
    return b"" if _OF_PYTHON is None else _OF_PYTHON.raw


def _at(address: int, size: int) -> Any:
    return (ctypes.c_char * size).from_address(address)


_OF_PYTHON = _at(id(_INSTANCE) + _HEADER, _random.Random.__basicsize__ - _HEADER) if _HEADER else None
