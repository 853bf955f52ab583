"""Where gradients go wrong although they are right elsewhere: one operation at a time, at special values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cases import Case, CaseError
from gradcheck.engines.base import Engine
from gradcheck.engines.samples import SAMPLES
from gradcheck.engines.weighting import can_weigh, random_cotangent, weighted

Array = npt.NDArray[Any]


def _scaled(factor: float) -> Callable[[Array], Array]:
    return lambda a: a * factor


def _first(value: float) -> Callable[[Array], Array]:
    def put(a: Array) -> Array:
        a = a.copy()
        a.flat[:1] = value
        return a

    return put


VALUES: Mapping[str, Callable[[Array], Array]] = {
    "ordinary": lambda a: a,
    "zeros": np.zeros_like,
    "negative zeros": lambda a: -np.zeros_like(a),
    "one zero": _first(0.0),
    "ones": np.ones_like,
    "minus ones": lambda a: -np.ones_like(a),
    "whole numbers": np.rint,
    "ties of two": lambda a: np.where(np.arange(a.size).reshape(a.shape) % 2 == 0, 0.5, -0.5),
    "shifted by 1e6": lambda a: a + 1e6,
    "times 10": _scaled(10.0),
    "times 100": _scaled(100.0),
    "times 1e4": _scaled(1e4),
    "times 1e8": _scaled(1e8),
    "times 1e100": _scaled(1e100),
    "times 1e-4": _scaled(1e-4),
    "times 1e-8": _scaled(1e-8),
    "times 1e-100": _scaled(1e-100),
}


def special_cases(engine: Engine) -> Iterator[tuple[str, str, Case]]:
    """Yield operation, kind of values and case, for every operation that the engine supports."""
    weigh = can_weigh(engine)
    for operation, samples in SAMPLES.items():
        if not engine.supports(operation):
            continue
        for sample in samples:
            for kind, change in VALUES.items():
                graph = sample.graph(operation)
                values = {name: change(value) for name, value in sample.values().items()}
                if weigh:
                    graph, cotangent = weighted(graph)
                    values[cotangent] = random_cotangent(graph.leaves[cotangent], seed=1)
                try:
                    yield operation, kind, Case(f"{operation} at {kind}", graph, values)
                except CaseError:  # beyond the largest number
                    continue
