"""A convolution of 3 by 3, ReLU, average over space, linear classifier; the image is a parameter too."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, c, size, o, k = 3, 2, 6, 4, 3
    params = {
        "x": rng.normal(size=(n, c, size, size)),
        "kernel": rng.normal(size=(o, c, 3, 3)) / 2,
        "bias": rng.normal(size=o) / 2,
        "W": rng.normal(size=(o, k)),
    }
    return params, {"labels": rng.integers(k, size=n)}


def patches(x: Any) -> Any:
    """Return every 3 by 3 window: (n, c, rows, columns, 3, 3)."""
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))


def forward(p: Any) -> Any:
    """Return what the backward pass needs."""
    s = np.einsum("ncijhw,ochw->noij", patches(p["x"]), p["kernel"]) + p["bias"][:, None, None]
    pooled = np.maximum(s, 0).mean((2, 3))
    logits = pooled @ p["W"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return s, pooled, e / e.sum(1, keepdims=True)


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    probabilities = forward(p)[2]
    return -np.log(probabilities[np.arange(len(probabilities)), data["labels"]]).sum()


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    s, pooled, probabilities = forward(p)
    dlogits = probabilities.copy()
    dlogits[np.arange(len(dlogits)), data["labels"]] -= 1
    dW = pooled.T @ dlogits
    dpooled = dlogits @ p["W"].T
    rows, columns = s.shape[2:]
    ds = dpooled[:, :, None, None] * (s > 0) / (rows * columns)
    dkernel = np.einsum("ncijhw,noij->ochw", patches(p["x"]), ds)
    dbias = ds.sum((0, 2, 3))
    dx = np.zeros_like(p["x"])
    for i in range(3):
        for j in range(3):
            dx[:, :, i : i + rows, j : j + columns] += np.einsum("noij,oc->ncij", ds, p["kernel"][:, :, i, j])
    return {"x": dx, "kernel": dkernel, "bias": dbias, "W": dW}
