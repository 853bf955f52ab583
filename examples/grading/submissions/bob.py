import numpy as np


def loss(p, x, y):
    return np.mean((x @ p["w"] + p["b"] - y) ** 2) + 0.1 * np.sum(p["w"] ** 2)


def gradient(p, x, y):
    error = x @ p["w"] + p["b"] - y
    return {"w": 2 * x.T @ error / len(y), "b": 2 * error.mean()}
