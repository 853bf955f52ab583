"""A recurrent net over six steps with one linear read-out of the last state; its input is a parameter too."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    steps, n, d, h = 6, 2, 4, 6
    params = {
        "x": rng.normal(size=(steps, n, d)),
        "Wx": rng.normal(size=(d, h)) / 2,
        "Wh": rng.normal(size=(h, h)) / 2,
        "b": rng.normal(size=h) / 2,
        "v": rng.normal(size=h),
    }
    return params, {"t": rng.normal(size=n)}


def states_of(p: Any) -> Any:
    """Return the hidden state before each step, and the last one."""
    states = [np.zeros((p["x"].shape[1], p["Wh"].shape[0]))]
    for x in p["x"]:
        states.append(np.tanh(x @ p["Wx"] + states[-1] @ p["Wh"] + p["b"]))
    return states


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    return 0.5 * np.mean((states_of(p)[-1] @ p["v"] - data["t"]) ** 2)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, states = p["x"], states_of(p)
    derror = (states[-1] @ p["v"] - data["t"]) / len(data["t"])
    dv = states[-1].T @ derror
    dh = np.outer(derror, p["v"])
    dx, dWx, dWh, db = np.zeros_like(x), 0, 0, 0
    for step in reversed(range(len(x))):
        ds = dh * (1 - states[step + 1] ** 2)
        dx[step] = ds @ p["Wx"].T
        dWx = dWx + x[step].T @ ds
        dWh = dWh + states[step].T @ ds
        db = db + ds.sum(0)
        dh = ds @ p["Wh"].T
    return {"x": dx, "Wx": dWx, "Wh": dWh, "b": db, "v": dv}
