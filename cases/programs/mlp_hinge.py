"""The multi-class support vector machine of CS231n on a leaky ReLU layer, with a penalty."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d, h, k = 9, 4, 6, 5
    params = {
        "W1": rng.normal(size=(d, h)),
        "b1": rng.normal(size=h),
        "W2": rng.normal(size=(h, k)),
        "b2": rng.normal(size=k),
    }
    return params, {
        "x": rng.normal(size=(n, d)),
        "labels": rng.integers(k, size=n),
        "slope": 0.1,
        "reg": 0.01,
    }


def margins_of(scores: Any, labels: Any) -> Any:
    """Return by how much each wrong class violates the margin."""
    rows = np.arange(len(labels))
    margins = np.maximum(0, scores - scores[rows, labels][:, None] + 1)
    margins[rows, labels] = 0
    return margins


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    s1 = data["x"] @ p["W1"] + p["b1"]
    scores = np.where(s1 > 0, s1, data["slope"] * s1) @ p["W2"] + p["b2"]
    penalty = data["reg"] * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
    return margins_of(scores, data["labels"]).sum() / len(data["labels"]) + penalty


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, labels, slope, reg = data["x"], data["labels"], data["slope"], data["reg"]
    s1 = x @ p["W1"] + p["b1"]
    x1 = np.where(s1 > 0, s1, slope * s1)
    scores = x1 @ p["W2"] + p["b2"]
    n = len(labels)
    ds2 = (margins_of(scores, labels) > 0).astype(float)
    ds2[np.arange(n), labels] = -ds2.sum(1)
    ds2 /= n
    dW2 = x1.T @ ds2 + 2 * reg * p["W2"]
    db2 = ds2.sum(0)
    dx1 = ds2 @ p["W2"].T
    ds1 = np.where(s1 > 0, dx1, slope * dx1)
    dW1 = x.T @ ds1 + 2 * reg * p["W1"]
    db1 = ds1.sum(0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
