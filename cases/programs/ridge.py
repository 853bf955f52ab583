"""Linear regression with a penalty, the intercept a plain number."""

from typing import Any

import numpy as np


def example(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """Return the parameters and the data."""
    n, d = 20, 6
    params = {"w": rng.normal(size=d), "intercept": 0.7}
    return params, {"x": rng.normal(size=(n, d)), "t": rng.normal(size=n), "lam": 0.3}


def loss(p: Any, data: dict[str, Any]) -> Any:
    """Return the loss."""
    error = data["x"] @ p["w"] + p["intercept"] - data["t"]
    return np.mean(error**2) + data["lam"] * np.sum(p["w"] ** 2)


def gradient(p: Any, data: dict[str, Any]) -> Any:
    """Return the gradient, in the structure of the parameters."""
    x, n = data["x"], len(data["t"])
    error = x @ p["w"] + p["intercept"] - data["t"]
    dw = 2 * x.T @ error / n + 2 * data["lam"] * p["w"]
    dintercept = 2 * error.sum() / n
    return {"w": dw, "intercept": dintercept}
