"""A two-layer network for three classes, its backward pass written by hand."""

import numpy as np

import gradcheck

rng = np.random.default_rng(0)
x = rng.normal(size=(32, 5))
labels = rng.integers(3, size=32)
strength = 0.1


def forward(p):
    s1 = x @ p["W1"] + p["b1"]
    logits = np.tanh(s1) @ p["W2"] + p["b2"]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return s1, e / e.sum(axis=1, keepdims=True)


def loss(p):
    _, probabilities = forward(p)
    cross_entropy = -np.log(probabilities[np.arange(32), labels]).mean()
    return cross_entropy + 0.5 * strength * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))


def gradient(p):
    s1, ds2 = forward(p)
    ds2[np.arange(32), labels] -= 1
    ds2 /= 32
    dW2 = np.tanh(s1).T @ ds2 + strength * p["W2"]
    db2 = ds2.sum(axis=0)
    ds1 = (ds2 @ p["W2"].T) * (1 - np.tanh(s1) ** 2)
    dW1 = x.T @ ds1 + strength * p["W1"]
    db1 = ds1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def start():
    rng = np.random.default_rng(1)
    shapes = {"W1": (5, 4), "b1": (4,), "W2": (4, 3), "b2": (3,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@gradcheck.target
def network():
    return gradcheck.arguments(loss, start(), gradient=gradient)
