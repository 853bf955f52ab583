"""Operations that bring their input to a fixed scale: a sum of 1, or mean 0 and variance 1.

Each output depends on all the entries that are normalised together, so each Jacobian is a diagonal matrix
minus one of low rank: the vjp subtracts from the cotangent its part along what the normalisation removes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.axes import add_up, largest, unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

# y = e^a / sum e^a, unchanged when the largest entry is first subtracted from all:
# dy_i/da_j = y_i (1[i = j] - y_j)


def _softmax(a: Array, *, axis: int = -1) -> Array:
    weights: Array = np.exp(a - largest(a, axis=axis, keepdims=True, initial=-np.inf))
    return weights / add_up(weights, axis=axis, keepdims=True)


def _softmax_vjp(cotangent: Array, output: Array, inputs: Inputs, *, axis: int = -1) -> Cotangents:
    weighted = cotangent * output
    return (weighted - output * add_up(weighted, axis=axis, keepdims=True),)


# y = a - log sum e^a:  dy_i/da_j = 1[i = j] - e^(y_j)


def log_softmax(a: Array, *, axis: int = -1) -> Array:
    """Return a - log(sum(exp(a))) along an axis, of a's shape and dtype."""
    below: Array = a - largest(a, axis=axis, keepdims=True, initial=-np.inf)
    if not a.size:  # log of an empty sum is -inf, but nothing is there to be shifted by it
        return below
    return below - np.log(add_up(np.exp(below), axis=axis, keepdims=True))


def _log_softmax_vjp(cotangent: Array, output: Array, inputs: Inputs, *, axis: int = -1) -> Cotangents:
    return (cotangent - np.exp(output) * add_up(cotangent, axis=axis, keepdims=True),)


# z = (x - mean) / sqrt(variance + epsilon), the variance being the mean square of x - mean (biased).
# The cotangent loses its mean and its part along z (Ioffe and Szegedy 2015, section 3):
# dL/dx = (dL/dz - mean(dL/dz) - z mean(dL/dz z)) / sqrt(variance + epsilon)


def _standardise(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    centred = x - _mean(x, axes)
    scale = 1 / np.sqrt(_mean(centred * centred, axes) + epsilon)
    return centred * scale, scale


def _standardise_vjp(dz: Array, z: Array, scale: Array, axes: tuple[int, ...]) -> Array:
    dx: Array = scale * (dz - _mean(dz, axes) - z * _mean(dz * z, axes))
    return dx


def _mean(a: Array, axes: tuple[int, ...]) -> Array:
    count = max(math.prod(a.shape[i] for i in axes), 1)  # of no entries at all, no mean is ever used
    mean: Array = add_up(a, axis=axes, keepdims=True) / count
    return mean


# y = z gain + bias, standardised over the trailing axes, which gain and bias have too (Ba et al. 2016)


def _layer_norm(x: Array, gain: Array, bias: Array, *, axes: int = 1, epsilon: float = 1e-5) -> Array:
    trailing = _trailing(x.ndim, axes)
    expected = x.shape[trailing[0] :]
    if gain.shape != expected or bias.shape != expected:
        raise ValueError(
            f"Expected gain and bias of shape {expected}, the last axes of x, "
            f"but got {gain.shape} and {bias.shape}"
        )
    z, _ = _standardise(x, trailing, epsilon)
    return z * gain + bias


def _layer_norm_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axes: int = 1, epsilon: float = 1e-5
) -> Cotangents:
    x, gain, bias = inputs
    trailing = _trailing(x.ndim, axes)
    z, scale = _standardise(x, trailing, epsilon)
    dx = _standardise_vjp(cotangent * gain, z, scale, trailing)
    return dx, unbroadcast(cotangent * z, gain.shape), unbroadcast(cotangent, bias.shape)


def _trailing(ndim: int, axes: int) -> tuple[int, ...]:
    if not 1 <= axes <= ndim:
        raise ValueError(f"Expected axes, a count of trailing axes, from 1 to {ndim} but got {axes=}")
    return tuple(range(ndim - axes, ndim))


# y = z gain + bias, standardised over every axis but 1, the channels, which gain and bias have too


def _batch_norm(x: Array, gain: Array, bias: Array, *, epsilon: float = 1e-5) -> Array:
    if x.ndim < 2 or gain.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        raise ValueError(
            f"Expected x with channels on axis 1, and gain and bias with one entry for each, "
            f"but got shapes {x.shape}, {gain.shape} and {bias.shape}"
        )
    z, _ = _standardise(x, _all_but_channels(x.ndim), epsilon)
    return z * _per_channel(gain, x.ndim) + _per_channel(bias, x.ndim)


def _batch_norm_vjp(cotangent: Array, output: Any, inputs: Inputs, *, epsilon: float = 1e-5) -> Cotangents:
    x, gain, _ = inputs
    axes = _all_but_channels(x.ndim)
    z, scale = _standardise(x, axes, epsilon)
    dx = _standardise_vjp(cotangent * _per_channel(gain, x.ndim), z, scale, axes)
    return dx, add_up(cotangent * z, axis=axes), add_up(cotangent, axis=axes)


def _all_but_channels(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _per_channel(values: Array, ndim: int) -> Array:
    return values.reshape((-1,) + (1,) * (ndim - 2))


# y = a mask / (1 - rate): what is kept is scaled so that the expectation over masks is a


def _dropout(a: Array, *, mask: Array, rate: float = 0.5) -> Array:
    if not 0 <= rate < 1:
        raise ValueError(f"Expected 0 <= rate < 1 but got {rate=}")
    return a * mask / (1 - rate)


def _dropout_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, mask: Array, rate: float = 0.5
) -> Cotangents:
    (a,) = inputs
    return (unbroadcast(cotangent * mask / (1 - rate), a.shape),)


NORMALISATION = (
    Rule("softmax", _softmax, _softmax_vjp, keeps_inputs=(), keeps_output=True),
    Rule("log_softmax", log_softmax, _log_softmax_vjp, keeps_inputs=(), keeps_output=True),
    Rule("layer_norm", _layer_norm, _layer_norm_vjp, (3, 3), keeps_inputs=(0, 1)),
    Rule("batch_norm", _batch_norm, _batch_norm_vjp, (3, 3), keeps_inputs=(0, 1)),
    Rule("dropout", _dropout, _dropout_vjp, keeps_inputs=(), analytic=True),
)
