"""A regression on softplus features with the Huber loss; the prediction's scale is a scalar parameter."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, h = 11, 4, 5
    params = (rng.normal(size=(d, h)), rng.normal(size=h), rng.normal(size=h), 1.5)
    return params, {"x": rng.normal(size=(n, d)), "t": 2 * rng.normal(size=n), "delta": 1.0}


def loss(params: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    W, b, v, scale = params
    error = scale * np.logaddexp(0, data["x"] @ W + b) @ v - data["t"]
    size, delta = np.abs(error), data["delta"]
    return np.sum(np.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta)))


def gradient(params: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    W, b, v, scale = params
    x, t, delta = data["x"], data["t"], data["delta"]
    s = x @ W + b
    features = np.logaddexp(0, s)
    plain = features @ v
    dprediction = np.clip(scale * plain - t, -delta, delta)
    dscale = np.sum(dprediction * plain)
    dv = scale * features.T @ dprediction
    ds = scale * np.outer(dprediction, v) * 0.5 * (1 + np.tanh(s / 2))
    dW = x.T @ ds
    db = ds.sum(0)
    return (dW, db, dv, dscale)
