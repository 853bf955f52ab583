"""Two layers, tanh, mean cross-entropy, and a penalty on the weights."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, h, k = 12, 5, 6, 4
    params = {
        "W1": rng.normal(size=(d, h)) / 2,
        "b1": rng.normal(size=h) / 2,
        "W2": rng.normal(size=(h, k)) / 2,
        "b2": rng.normal(size=k) / 2,
    }
    return params, {"x": rng.normal(size=(n, d)), "labels": rng.integers(k, size=n), "strength": 0.05}


def forward(p: Any, x: Any) -> Any:
    """Return the hidden layer and the probabilities."""
    hidden = np.tanh(x @ p["W1"] + p["b1"])
    logits = hidden @ p["W2"] + p["b2"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, e / e.sum(1, keepdims=True)


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    _, probabilities = forward(p, data["x"])
    n = len(data["labels"])
    penalty = 0.5 * data["strength"] * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
    return -np.log(probabilities[np.arange(n), data["labels"]]).mean() + penalty


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, labels, strength = data["x"], data["labels"], data["strength"]
    hidden, probabilities = forward(p, x)
    n = len(labels)
    ds2 = probabilities.copy()
    ds2[np.arange(n), labels] -= 1
    ds2 /= n
    dW2 = hidden.T @ ds2 + strength * p["W2"]
    db2 = ds2.sum(0)
    dhidden = ds2 @ p["W2"].T
    ds1 = dhidden * (1 - hidden**2)
    dW1 = x.T @ ds1 + strength * p["W1"]
    db1 = ds1.sum(0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
