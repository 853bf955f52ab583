"""An auto-encoder with tied weights: one matrix encodes and, transposed, decodes."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, h = 2, 9, 7
    params = {"W": rng.normal(size=(d, h)) / 2, "b": rng.normal(size=h), "c": rng.normal(size=d)}
    return params, {"x": rng.normal(size=(n, d))}


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    code = np.tanh(data["x"] @ p["W"] + p["b"])
    return np.sum((code @ p["W"].T + p["c"] - data["x"]) ** 2) / len(data["x"])


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x = data["x"]
    code = np.tanh(x @ p["W"] + p["b"])
    dy = 2 * (code @ p["W"].T + p["c"] - x) / len(x)
    dc = dy.sum(0)
    dcode = dy @ p["W"]
    ds = dcode * (1 - code**2)
    encoder = x.T @ ds
    decoder = dy.T @ code
    dW = encoder + decoder
    db = ds.sum(0)
    return {"W": dW, "b": db, "c": dc}
