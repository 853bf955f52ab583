"""In which number format an engine holds what it is given: a right one in float32 keeps no more digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Engine, call_engine
from gradcheck.errors import EngineError

Format = type[np.floating[Any]]
_NARROW: tuple[Format, ...] = (np.float16, np.float32)
# No format holds it: each keeps another number of its digits.
_THIRD = 1.0 / 3.0
_known: WeakKeyDictionary[Engine, Format] = WeakKeyDictionary()


def in_own_format(case: Any, engine: Engine) -> tuple[Any, str]:
    """Return the case in numbers that the engine holds, and a note where these are not the given ones."""
    own = held_format(engine)
    if own is np.float64 or any(value.dtype != np.float64 for value in case.values.values()):
        return case, ""
    values: Mapping[str, npt.NDArray[Any]] = {n: value.astype(own) for n, value in case.values.items()}
    if not all(np.isfinite(value).all() for value in values.values()):
        return case, ""
    note = f"the engine holds numbers in {np.dtype(own).name}: it is given such, and judged so"
    return replace(case, values=values), note


def held_format(engine: Engine) -> Format:
    """Return the format in which an engine holds numbers: float64 where nothing tells."""
    try:
        if engine not in _known:
            _known[engine] = _asked(engine)
        return _known[engine]
    except TypeError:  # one that cannot be hashed, or not weakly referenced
        return _asked(engine)


def _asked(engine: Engine) -> Format:
    """Return the format in which the engine gives a number back that it was given."""
    from reference_impl import Graph

    graph = Graph(inputs={"x": ()}, parameters={}, nodes=(), output="x")
    try:
        value = call_engine(engine, graph, {"x": np.array(_THIRD)}).value
    except EngineError:  # it takes no graph without operations
        return np.float64
    return next((f for f in _NARROW if float(np.real(value)) == float(f(_THIRD))), np.float64)
