"""Bags of words: rows of a table, averaged, classified. Some words occur more than once, some never."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    words, d, n, length, k = 20, 4, 5, 4, 3
    tokens = rng.integers(2, words, size=(n, length))
    tokens[0, 1], tokens[3, 2], tokens[4] = tokens[0, 0], tokens[1, 1], np.arange(4) + 14
    params = {
        "table": rng.normal(size=(words, d)),
        "W": rng.normal(size=(d, k)),
        "b": rng.normal(size=k),
    }
    return params, {"tokens": tokens, "labels": rng.integers(k, size=n)}


def forward(p: Any, data: dict[str, Any]) -> Any:
    """Return what the backward pass needs."""
    pooled = p["table"][data["tokens"]].mean(1)
    logits = pooled @ p["W"] + p["b"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return pooled, e / e.sum(1, keepdims=True)


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    _, probabilities = forward(p, data)
    n = len(data["labels"])
    return -np.log(probabilities[np.arange(n), data["labels"]]).mean()


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    pooled, probabilities = forward(p, data)
    n, length = data["tokens"].shape
    ds = probabilities.copy()
    ds[np.arange(n), data["labels"]] -= 1
    ds /= n
    dW = pooled.T @ ds
    db = ds.sum(0)
    dpooled = ds @ p["W"].T
    dwords = np.repeat(dpooled[:, None, :] / length, length, axis=1)
    dtable = np.zeros_like(p["table"])
    np.add.at(dtable, data["tokens"], dwords)
    return {"table": dtable, "W": dW, "b": db}
