"""The operations of a layer one after the other: ReLU, dropout with a given mask, softmax, squared error."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d = 6, 8
    params = {"x": rng.normal(size=(n, d)), "y": rng.normal(size=(n, d))}
    return params, {"mask": rng.random((n, d)) > 0.4, "rate": 0.4, "t": rng.normal(size=(n, d))}


def softmax(x: Any) -> Any:
    """Return the softmax of each row."""
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    dropped = np.maximum(p["x"], 0) * data["mask"] / (1 - data["rate"])
    return np.sum((dropped - data["t"]) ** 2) / 2 + np.sum(softmax(p["y"]) * data["t"])


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    mask, rate, t = data["mask"], data["rate"], data["t"]
    dropped = np.maximum(p["x"], 0) * mask / (1 - rate)
    ddropped = dropped - t
    drelu = ddropped * mask / (1 - rate)
    dx = drelu * (p["x"] > 0)
    y = softmax(p["y"])
    dy = y * (t - (y * t).sum(1, keepdims=True))
    return {"x": dx, "y": dy}
