"""A NumPy program with a hand-written gradient, and the same with one line of it changed.

Each module beside this one is such a program, written as a student or an engineer would write it:
``example(rng)`` returns parameters and data, ``loss(params, data)`` the loss, ``gradient(params, data)`` its
gradient. A mistake is planted by replacing text in the source of ``gradient``, so that what is planted can
be read in one line.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

NAMES = (
    "attention",
    "autoencoder",
    "batch_norm",
    "convolution",
    "dropout",
    "embedding",
    "layer_norm",
    "lstm",
    "mlp_hinge",
    "mlp_huber",
    "mlp_logistic",
    "mlp_softmax",
    "mlp_squared",
    "recurrent",
    "ridge",
)


@dataclass(frozen=True)
class Program:
    """``loss`` and ``gradient`` take the parameters alone; ``data`` is what they close over."""

    name: str
    params: Any
    data: dict[str, Any]
    loss: Callable[[Any], Any]
    gradient: Callable[[Any], Any]


def program(name: str, seed: int = 0, old: str = "", new: str = "") -> Program:
    """Return a program, with ``old`` replaced by ``new`` in the source of its gradient.

    Raises:
        ValueError: where ``old`` is not found exactly once.
    """
    module = importlib.import_module(f"{__package__}.{name}")
    params, data = module.example(np.random.default_rng(seed))
    gradient = _changed(module, old, new) if old else module.gradient
    loss = _bind(module.loss, data, name)
    return Program(name, params, data, loss, _bind(gradient, copy.deepcopy(data), name))


def _bind(
    function: Callable[[Any, dict[str, Any]], Any], data: dict[str, Any], name: str
) -> Callable[[Any], Any]:
    """Close over the data, as a notebook's functions do."""

    def bound(params: Any) -> Any:
        return function(params, data)

    bound.__name__ = name
    return bound


def _changed(module: ModuleType, old: str, new: str) -> Callable[[Any, dict[str, Any]], Any]:
    source = inspect.getsource(module.gradient)
    if source.count(old) != 1:
        raise ValueError(
            f"{old!r} occurs {source.count(old)} times in the gradient of {module.__name__}, not once."
        )
    scope = dict(vars(module))
    exec(compile(source.replace(old, new), f"<{module.__name__} with a mistake>", "exec"), scope)
    changed: Callable[[Any, dict[str, Any]], Any] = scope["gradient"]
    return changed
