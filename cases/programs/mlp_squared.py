"""Three layers of the same width, ReLU, half the squared error averaged over the batch."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d = 10, 5
    params = {}
    for layer in (1, 2, 3):
        params[f"W{layer}"] = rng.normal(size=(d, d)) / 2
        params[f"b{layer}"] = rng.normal(size=d) / 2
    return params, {"x": rng.normal(size=(n, d)), "t": rng.normal(size=(n, d))}


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    x1 = np.maximum(data["x"] @ p["W1"] + p["b1"], 0)
    x2 = np.maximum(x1 @ p["W2"] + p["b2"], 0)
    return 0.5 * np.sum((x2 @ p["W3"] + p["b3"] - data["t"]) ** 2) / len(data["x"])


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, t = data["x"], data["t"]
    s1 = x @ p["W1"] + p["b1"]
    x1 = np.maximum(s1, 0)
    s2 = x1 @ p["W2"] + p["b2"]
    x2 = np.maximum(s2, 0)
    ds3 = (x2 @ p["W3"] + p["b3"] - t) / len(x)
    dW3 = x2.T @ ds3
    db3 = ds3.sum(0)
    ds2 = (ds3 @ p["W3"].T) * (s2 > 0)
    dW2 = x1.T @ ds2
    db2 = ds2.sum(0)
    ds1 = (ds2 @ p["W2"].T) * (s1 > 0)
    dW1 = x.T @ ds1
    db1 = ds1.sum(0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
