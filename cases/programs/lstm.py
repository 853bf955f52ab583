"""An LSTM over four steps, gates in the order input, forget, output, candidate."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    steps, n, d, h = 4, 3, 4, 5
    params = {
        "Wx": rng.normal(size=(d, 4 * h)) / 2,
        "Wh": rng.normal(size=(h, 4 * h)) / 2,
        "b": rng.normal(size=4 * h) / 2,
        "out": {"W": rng.normal(size=(h, 2)), "b": rng.normal(size=2)},
    }
    return params, {"x": rng.normal(size=(steps, n, d)), "t": rng.normal(size=(n, 2))}


def sigmoid(s: Any) -> Any:
    """Return 1 / (1 + exp(-s)), which overflows nowhere."""
    return 0.5 * (1 + np.tanh(s / 2))


def forward(p: Any, data: dict[str, Any]) -> Any:
    """Return what the backward pass needs."""
    n, h = data["x"].shape[1], p["Wh"].shape[0]
    hidden, cell, kept = np.zeros((n, h)), np.zeros((n, h)), []
    for x in data["x"]:
        s = x @ p["Wx"] + hidden @ p["Wh"] + p["b"]
        i, f, o = (sigmoid(s[:, k * h : (k + 1) * h]) for k in range(3))
        g = np.tanh(s[:, 3 * h :])
        before, last = cell, hidden
        cell = f * before + i * g
        hidden = o * np.tanh(cell)
        kept.append((x, last, before, cell, i, f, o, g))
    return hidden, kept


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    hidden, _ = forward(p, data)
    return 0.5 * np.sum((hidden @ p["out"]["W"] + p["out"]["b"] - data["t"]) ** 2)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    hidden, kept = forward(p, data)
    dy = hidden @ p["out"]["W"] + p["out"]["b"] - data["t"]
    dW, db = hidden.T @ dy, dy.sum(0)
    dh, dc = dy @ p["out"]["W"].T, 0
    dWx, dWh, dbias = (np.zeros_like(p[name]) for name in ("Wx", "Wh", "b"))
    for x, last, before, cell, i, f, o, g in reversed(kept):
        do = dh * np.tanh(cell)
        dc = dc + dh * o * (1 - np.tanh(cell) ** 2)
        di, df, dg = dc * g, dc * before, dc * i
        gates = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)]
        ds = np.concatenate(gates, axis=1)
        dWx += x.T @ ds
        dWh += last.T @ ds
        dbias += ds.sum(0)
        dh = ds @ p["Wh"].T
        dc = dc * f
    return {"Wx": dWx, "Wh": dWh, "b": dbias, "out": {"W": dW, "b": db}}
