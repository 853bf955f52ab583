"""One causal attention head on a sequence; keys and queries as wide as the sequence is long."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    steps, d = 5, 5
    params = {name: rng.normal(size=(d, d)) / 2 for name in ("Wq", "Wk", "Wv")}
    params = {"x": rng.normal(size=(steps, d)), **params, "Wo": rng.normal(size=(d, 3))}
    causal = np.tril(np.ones((steps, steps), dtype=bool))
    return params, {"t": rng.normal(size=(steps, 3)), "causal": causal}


def forward(p: Any, data: dict[str, Any]) -> Any:
    """Return what the backward pass needs."""
    q, k, v = p["x"] @ p["Wq"], p["x"] @ p["Wk"], p["x"] @ p["Wv"]
    scores = np.where(data["causal"], q @ k.T / np.sqrt(q.shape[1]), -1e9)
    e = np.exp(scores - scores.max(1, keepdims=True))
    return q, k, v, e / e.sum(1, keepdims=True)


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    _, _, v, a = forward(p, data)
    return 0.5 * np.sum((a @ v @ p["Wo"] - data["t"]) ** 2)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x = p["x"]
    q, k, v, a = forward(p, data)
    mixed = a @ v
    dy = mixed @ p["Wo"] - data["t"]
    dWo = mixed.T @ dy
    dmixed = dy @ p["Wo"].T
    da = dmixed @ v.T
    dv = a.T @ dmixed
    dscores = a * (da - (da * a).sum(1, keepdims=True))
    dq = dscores @ k / np.sqrt(q.shape[1])
    dk = dscores.T @ q / np.sqrt(q.shape[1])
    dWq = x.T @ dq
    dWk = x.T @ dk
    dWv = x.T @ dv
    dx = dq @ p["Wq"].T + dk @ p["Wk"].T + dv @ p["Wv"].T
    return {"x": dx, "Wq": dWq, "Wk": dWk, "Wv": dWv, "Wo": dWo}
