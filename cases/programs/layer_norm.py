"""Layer normalisation of a sequence, weighted by known targets."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, steps, d = 3, 4, 6
    params = {
        "x": rng.normal(size=(n, steps, d)),
        "gain": rng.uniform(0.5, 2, size=d),
        "bias": rng.normal(size=(1, 1, d)),
    }
    return params, {"t": rng.normal(size=(n, steps, d)), "epsilon": 1e-5}


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    x = p["x"]
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + data["epsilon"])
    return np.mean(np.exp(-0.5 * (p["gain"] * normal + p["bias"] - data["t"]) ** 2))


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, t = p["x"], data["t"]
    d = x.shape[-1]
    deviation = np.sqrt(x.var(-1, keepdims=True) + data["epsilon"])
    normal = (x - x.mean(-1, keepdims=True)) / deviation
    error = p["gain"] * normal + p["bias"] - t
    dy = -error * np.exp(-0.5 * error**2) / error.size
    dgain = (dy * normal).sum((0, 1))
    dbias = dy.sum((0, 1), keepdims=True)
    dnormal = dy * p["gain"]
    through_mean = dnormal.sum(-1, keepdims=True) / d
    through_variance = normal * (dnormal * normal).sum(-1, keepdims=True) / d
    dx = (dnormal - through_mean - through_variance) / deviation
    return {"x": dx, "gain": dgain, "bias": dbias}
