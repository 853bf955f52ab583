"""A sigmoid layer, one logit, mean binary cross-entropy; parameters in a list of layers."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, h = 16, 4, 7
    layers = [
        {"W": rng.normal(size=(d, h)), "b": rng.normal(size=h)},
        {"W": rng.normal(size=(h, 1)), "b": rng.normal(size=1)},
    ]
    return {"layers": layers}, {"x": rng.normal(size=(n, d)), "t": rng.integers(2, size=n).astype(float)}


def sigmoid(s: Any) -> Any:
    """Return 1 / (1 + exp(-s)), which overflows nowhere."""
    return 0.5 * (1 + np.tanh(s / 2))


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    first, second = p["layers"]
    logits = (sigmoid(data["x"] @ first["W"] + first["b"]) @ second["W"] + second["b"])[:, 0]
    return np.mean(np.logaddexp(0, logits) - data["t"] * logits)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    first, second = p["layers"]
    x, t = data["x"], data["t"]
    hidden = sigmoid(x @ first["W"] + first["b"])
    logits = (hidden @ second["W"] + second["b"])[:, 0]
    ds2 = ((sigmoid(logits) - t) / len(t))[:, None]
    dW2 = hidden.T @ ds2
    db2 = ds2.sum(0)
    ds1 = ds2 @ second["W"].T * hidden * (1 - hidden)
    dW1 = x.T @ ds1
    db1 = ds1.sum(0)
    return {"layers": [{"W": dW1, "b": db1}, {"W": dW2, "b": db2}]}
