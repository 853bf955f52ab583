"""Losses l(f, t) of outputs f and targets t, for each sample, summed over samples, or averaged.

The first axis counts the samples (without axes there is one sample); over the others a sample's loss is the
sum. f and t are both differentiated, and meet as NumPy broadcasts them. ``reduction`` is "none" (one loss
for each sample), "sum" or "mean" (over samples, the default).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.activations import sigmoid, softplus
from reference_impl.rules.axes import add_up, unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule


def over_samples(losses: Array, reduction: str) -> Array:
    """Reduce the entries' losses (N, ...) to the samples' (N,), or to their sum or mean, without axes.

    Raises:
        ValueError: where the reduction is none of the three.
    """
    if reduction == "none":
        return add_up(losses, axis=tuple(range(1, losses.ndim)))
    if reduction == "sum":
        return add_up(losses, axis=None)
    if reduction == "mean":
        return add_up(losses, axis=None) / _samples(losses.shape)
    raise ValueError(f'Expected reduction "none", "sum" or "mean" but got {reduction=}')


def to_entries(cotangent: Array, shape: tuple[int, ...], reduction: str) -> Array:
    """Return the cotangents of the entries' losses, of the given shape (N, ...)."""
    if reduction == "none":
        cotangent = cotangent.reshape(shape[:1] + (1,) * (len(shape) - 1))
    elif reduction == "mean":
        cotangent = cotangent / max(_samples(shape), 1)
    entries = np.empty(shape, cotangent.dtype)
    entries[...] = cotangent
    return entries


def _samples(shape: tuple[int, ...]) -> int:
    return shape[0] if shape else 1


# l = (f - t)^2:  dl/df = 2 (f - t) = -dl/dt


def _squared_error(f: Array, t: Array, *, reduction: str = "mean") -> Array:
    z = f - t
    return over_samples(z * z, reduction)


def _squared_error_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, reduction: str = "mean"
) -> Cotangents:
    f, t = inputs
    z = f - t
    df = to_entries(cotangent, z.shape, reduction) * (2 * z.conj())
    return unbroadcast(df, f.shape), unbroadcast(-df, t.shape)


# The same, a sample's loss being the mean over its entries


def _mean_squared_error(f: Array, t: Array, *, reduction: str = "mean") -> Array:
    z = f - t
    return over_samples(z * z, reduction) / math.prod(z.shape[1:])


def _mean_squared_error_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, reduction: str = "mean"
) -> Cotangents:
    f, t = inputs
    z = f - t
    df = to_entries(cotangent, z.shape, reduction) * ((2 / max(math.prod(z.shape[1:]), 1)) * z.conj())
    return unbroadcast(df, f.shape), unbroadcast(-df, t.shape)


# l = |f - t|:  dl/df = sign(f - t)


def _absolute_error(f: Array, t: Array, *, reduction: str = "mean") -> Array:
    return over_samples(np.abs(f - t), reduction)


def _absolute_error_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, reduction: str = "mean"
) -> Cotangents:
    f, t = inputs
    z = f - t
    df = to_entries(cotangent, z.shape, reduction) * np.sign(z)
    return unbroadcast(df, f.shape), unbroadcast(-df, t.shape)


# l = z^2 / 2 where |z| <= delta, else delta (|z| - delta / 2), with z = f - t (Huber 1964).
# With c = z clipped to +-delta this is c (z - c / 2), and dl/df = c, without a kink.


def _huber(f: Array, t: Array, *, delta: float = 1.0, reduction: str = "mean") -> Array:
    if not delta > 0:
        raise ValueError(f"Expected delta > 0 but got {delta=}")
    z = f - t
    clipped = np.minimum(np.maximum(z, -delta), delta)
    return over_samples(clipped * (z - clipped / 2), reduction)


def _huber_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, delta: float = 1.0, reduction: str = "mean"
) -> Cotangents:
    f, t = inputs
    z = f - t
    df = to_entries(cotangent, z.shape, reduction) * np.minimum(np.maximum(z, -delta), delta)
    return unbroadcast(df, f.shape), unbroadcast(-df, t.shape)


# l = max(0, 1 - t f):  dl/df = -t,  dl/dt = -f,  up to and including t f = 1


def _hinge(f: Array, t: Array, *, reduction: str = "mean") -> Array:
    return over_samples(np.maximum(1 - t * f, 0.0), reduction)


def _hinge_vjp(cotangent: Array, output: Any, inputs: Inputs, *, reduction: str = "mean") -> Cotangents:
    f, t = inputs
    short = 1 - t * f >= 0
    dmargin = to_entries(cotangent, short.shape, reduction) * short
    return unbroadcast(-dmargin * t, f.shape), unbroadcast(-dmargin * f, t.shape)


# l = -t log s - (1 - t) log (1 - s) with s = sigmoid(f); as log s = -softplus(-f) and
# log (1 - s) = -f - softplus(-f), it is (1 - t) f + softplus(-f):  dl/df = s - t,  dl/dt = -f


def _binary_cross_entropy(f: Array, t: Array, *, reduction: str = "mean") -> Array:
    return over_samples((1 - t) * f + softplus(-f), reduction)


def _binary_cross_entropy_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, reduction: str = "mean"
) -> Cotangents:
    f, t = inputs
    slope = sigmoid(f) - t
    dl = to_entries(cotangent, slope.shape, reduction)
    return unbroadcast(dl * slope, f.shape), unbroadcast(-dl * f, t.shape)


LOSSES = (
    Rule("squared_error", _squared_error, _squared_error_vjp, (2, 2), analytic=True),
    Rule("mean_squared_error", _mean_squared_error, _mean_squared_error_vjp, (2, 2), analytic=True),
    Rule("absolute_error", _absolute_error, _absolute_error_vjp, (2, 2), kink="0 where f = t"),
    Rule("huber", _huber, _huber_vjp, (2, 2)),
    Rule("hinge", _hinge, _hinge_vjp, (2, 2), kink="-t to f, and -f to t, where t f = 1"),
    Rule("binary_cross_entropy_with_logits", _binary_cross_entropy, _binary_cross_entropy_vjp, (2, 2)),
)
