"""The nonlinearities sigma of a network's layers, each with sigma' as its vjp, and none that overflows.

Each is written so that e^x is taken only of what is not positive: stable for any finite input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a), real or complex, of a's shape and dtype."""
    if a.dtype.kind == "c":
        return _complex_sigmoid(a)
    decaying = np.exp(np.copysign(a, -1.0))  # e^-|a|
    result: Array = np.maximum(decaying, a >= 0.0) / (1.0 + decaying)  # above: 1, or e^a where a < 0
    return result


def _complex_sigmoid(a: Array) -> Array:
    positive = a.real >= 0
    decaying = np.exp(np.where(positive, -a, a))
    result: Array = np.where(positive, 1, decaying) / (1 + decaying)
    return result


def softplus(a: Array) -> Array:
    """Return log(1 + e^a) of a's shape and dtype."""
    result: Array = np.logaddexp(a, 0)
    return result


# tanh' = 1 - tanh^2


def _tanh_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    y = output.conj()
    return (cotangent * (1 - y * y),)


# sigmoid' = sigmoid (1 - sigmoid)


def _sigmoid_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    y = output.conj()
    return (cotangent * (y * (1 - y)),)


# softplus' = sigmoid


def _softplus_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent * sigmoid(a),)


# relu(a) = max(a, 0)


def _relu(a: Array) -> Array:
    result: Array = np.maximum(a, 0.0)
    return result


def _relu_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    return (cotangent * (output > 0.0),)


# leaky_relu(a) = max(a, 0) + slope min(a, 0)


def _leaky_relu(a: Array, *, negative_slope: float = 0.01) -> Array:
    result: Array = np.maximum(a, 0.0) + negative_slope * np.minimum(a, 0.0)
    return result


def _leaky_relu_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, negative_slope: float = 0.01
) -> Cotangents:
    (a,) = inputs
    return (cotangent * (a > 0.0) + (negative_slope * cotangent) * (a <= 0.0),)


# elu(a) = a where a > 0, else alpha (e^a - 1):  elu' = 1 where a > 0, else alpha e^a


def _elu(a: Array, *, alpha: float = 1.0) -> Array:
    result: Array = np.maximum(a, 0.0) + alpha * np.expm1(np.minimum(a, 0.0))
    return result


def _elu_vjp(cotangent: Array, output: Any, inputs: Inputs, *, alpha: float = 1.0) -> Cotangents:
    (a,) = inputs
    return (cotangent * ((a > 0.0) + alpha * np.exp(np.minimum(a, 0.0)) * (a <= 0.0)),)


# silu(a) = a s with s = sigmoid(a):  silu' = s + a s (1 - s)


def _silu(a: Array) -> Array:
    return a * sigmoid(a)


def _silu_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a = inputs[0].conj()
    s = sigmoid(a)
    return (cotangent * (s * (1 + a * (1 - s))),)


# gelu(a) = a (1 + t) / 2 with t = tanh(c (a + k a^3)):
# gelu' = (1 + t) / 2 + a (1 - t^2) c (1 + 3 k a^2) / 2        (Hendrycks and Gimpel 2016)

_C = math.sqrt(2 / math.pi)
_K = 0.044715


def _gelu(a: Array) -> Array:
    result: Array = 0.5 * a * (1 + np.tanh(_C * a * (1 + _K * a * a)))
    return result


def _gelu_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a = inputs[0].conj()
    t = np.tanh(_C * a * (1 + _K * a * a))
    slope = 0.5 * (1 + t) + (0.5 * _C) * a * (1 - t * t) * (1 + (3 * _K) * a * a)
    return (cotangent * slope,)


ACTIVATIONS = (
    Rule("tanh", np.tanh, _tanh_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("sigmoid", sigmoid, _sigmoid_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("softplus", softplus, _softplus_vjp),
    Rule("relu", _relu, _relu_vjp, keeps_inputs=(), keeps_output=True, kink="0 at 0"),
    Rule("leaky_relu", _leaky_relu, _leaky_relu_vjp, kink="negative_slope at 0"),
    Rule("elu", _elu, _elu_vjp, kink="alpha at 0"),
    Rule("silu", _silu, _silu_vjp, analytic=True),
    Rule("gelu", _gelu, _gelu_vjp, analytic=True),
)
