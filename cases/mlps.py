"""Multilayer perceptrons as graphs: s^l = W^l x^(l-1) + b^l, x^l = sigma(s^l), then a loss.

W^l has a row for each neuron of layer l, as in the lecture. A batch has a sample in each row, so that there
W^l enters transposed; a single sample is a column, and the graph reads like the slides.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.builder import Builder
from cases.choices import Array, Choices, Shape, bell
from cases.clearance import KINKED, MARGIN, kink_distance
from cases.record import Case

ACTIVATIONS = ("tanh", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "silu", "gelu", "sin", "identity")
LOSSES = (
    "squared_error",
    "mean_squared_error",
    "absolute_error",
    "huber",
    "hinge",
    "binary_cross_entropy_with_logits",
    "softmax_cross_entropy",
)
DEEPEST, WIDEST, LARGEST_BATCH = 8, 64, 32
_TRIES = 200
_STEP = 0.0137  # what a bias or a target moves by, to get off a kink

Initialisation = Callable[[Choices, Shape], Array]


def _scaled(gain: float) -> Initialisation:
    """Weights of variance gain / fan-in: He et al. 2015 with gain 2, LeCun et al. 1998 with gain 1."""
    return lambda choices, shape: bell(choices, shape, (gain / shape[1]) ** 0.5)


def _glorot(choices: Choices, shape: Shape) -> Array:
    """Uniform weights of variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010)."""
    bound = (6.0 / sum(shape)) ** 0.5
    return choices.array(shape, -bound, bound)


def _sparse(choices: Choices, shape: Shape) -> Array:
    """Three weights in four zero, but no neuron without any (Martens 2010)."""
    kept = choices.integers(shape, 0, 3) == 0
    rows = np.arange(shape[0])
    kept[rows, rows % shape[1]] = True
    sparse: Array = bell(choices, shape) * kept
    return sparse


INITIALISATIONS = MappingProxyType(
    {"lecun": _scaled(1.0), "he": _scaled(2.0), "glorot": _glorot, "small": _scaled(0.1), "sparse": _sparse}
)


def mlp(choices: Choices) -> Case:
    """Return a case of 1 to 8 layers of 1 to 64 neurons, with any activation, loss and initialisation."""
    b = Builder(choices, most_entries=WIDEST * WIDEST)
    samples = None if choices.boolean(0.15) else _size(choices, LARGEST_BATCH)
    initial = INITIALISATIONS[choices.one_of(tuple(INITIALISATIONS))]
    activation = None if choices.boolean(0.3) else choices.one_of(ACTIVATIONS)  # None: each layer its own
    width = _size(choices, WIDEST)
    x = b.input(bell(choices, (width,) if samples is None else (samples, width)), "x0")
    layer = 1
    for _ in choices.repeat(0, DEEPEST - 1):
        sigma = activation or choices.one_of(ACTIVATIONS)
        x = _layer(b, layer, x, _size(choices, WIDEST), sigma, initial)
        layer += 1
    x = _layer(b, layer, x, _size(choices, WIDEST), "identity", initial)
    return b.case("mlp", _loss(b, x), "mlp")


def _size(choices: Choices, most: int) -> int:
    """Return a size of at least 1, small more often than large."""
    return choices.integer(1, choices.one_of((4, 8, 16, most)))


def _layer(b: Builder, layer: int, x: str, width: int, sigma: str, initial: Initialisation) -> str:
    inputs = b.shape(x)
    W = b.parameter(initial(b.choices, (width, inputs[-1])), f"W{layer}")
    if len(inputs) == 1:
        product = b.apply("matmul", W, x, name=f"p{layer}")
    else:
        product = b.apply("matmul", x, b.apply("transpose", W, name=f"W{layer}T"), name=f"p{layer}")
    bias = _off_kinks(sigma, b.values[product], bell(b.choices, (width,), 0.3))
    s = b.apply("add", product, b.parameter(bias, f"b{layer}"), name=f"s{layer}")
    return s if sigma == "identity" else b.apply(sigma, s, name=f"x{layer}")


def _off_kinks(sigma: str, weighted: Array, bias: Array) -> Array:
    """Return biases near these with which no sample of any neuron lies at the activation's kink."""
    for _ in range(_TRIES if sigma in KINKED else 0):
        distance = kink_distance(sigma, [weighted + bias], {})
        near = (distance < MARGIN).reshape(-1, len(bias)).any(axis=0)
        if not near.any():
            break
        bias = bias + _STEP * near
    return bias


def _loss(b: Builder, f: str) -> str:
    samples, width = b.shape(f)[:-1], b.shape(f)[-1]
    loss = b.choices.one_of(LOSSES if width > 1 else LOSSES[:-1])
    attributes: dict[str, Any] = {"reduction": b.choices.one_of(("mean", "sum", "none"))}
    targets = []
    if loss == "softmax_cross_entropy" and b.choices.boolean():
        attributes["labels"] = b.choices.integers(samples, 0, width - 1)
    else:
        if loss == "huber":
            attributes["delta"] = b.choices.one_of((1.0, 0.5))
        targets.append(b.input(_target(b.choices, loss, b.values[f], attributes), "t"))
    if attributes["reduction"] != "none":
        return b.apply(loss, f, *targets, name="L", **attributes)
    return b.apply("sum", b.apply(loss, f, *targets, name="l", **attributes), name="L")


def _target(choices: Choices, loss: str, f: Array, attributes: dict[str, Any]) -> Array:
    """Return targets that suit the loss. Those at its kink move off it."""
    t = _drawn_target(choices, loss, f.shape)
    for _ in range(_TRIES if loss in KINKED else 0):
        near = kink_distance(loss, [f, t], attributes) < MARGIN
        if not near.any():
            break
        t = t + _STEP * near
    return t


def _drawn_target(choices: Choices, loss: str, shape: Shape) -> Array:
    if loss == "hinge":
        return choices.integers(shape, 0, 1) * 2.0 - 1.0
    if loss == "binary_cross_entropy_with_logits":
        return choices.integers(shape, 0, 1) * 1.0 if choices.boolean() else choices.array(shape, 0.0, 1.0)
    if loss == "softmax_cross_entropy":
        weights = choices.array(shape, 0.1, 1.0)
        probabilities: Array = weights / weights.sum(axis=-1, keepdims=True)
        return probabilities
    return bell(choices, shape)
