"""Batch normalisation between two linear maps; the layer's input is a parameter too."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, k = 8, 5, 3
    params = {
        "x": rng.normal(size=(n, d)),
        "gain": rng.uniform(0.5, 2, size=d),
        "bias": rng.normal(size=d),
        "W": rng.normal(size=(d, k)),
    }
    return params, {"t": rng.normal(size=(n, k)), "epsilon": 1e-5}


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    x = p["x"]
    normal = (x - x.mean(0)) / np.sqrt(x.var(0) + data["epsilon"])
    y = np.tanh((p["gain"] * normal + p["bias"]) @ p["W"])
    return np.sum((y - data["t"]) ** 2)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, n = p["x"], len(p["x"])
    deviation = np.sqrt(x.var(0) + data["epsilon"])
    normal = (x - x.mean(0)) / deviation
    z = p["gain"] * normal + p["bias"]
    y = np.tanh(z @ p["W"])
    ds = 2 * (y - data["t"]) * (1 - y**2)
    dW = z.T @ ds
    dz = ds @ p["W"].T
    dgain = (dz * normal).sum(0)
    dbias = dz.sum(0)
    dnormal = dz * p["gain"]
    through_mean = dnormal.sum(0) / n
    through_variance = normal * (dnormal * normal).sum(0) / n
    dx = (dnormal - through_mean - through_variance) / deviation
    return {"x": dx, "gain": dgain, "bias": dbias, "W": dW}
