"""The activation functions sigma of an MLP's layers, each with its derivative sigma'.

Written apart from the graph's rules on purpose: the two implementations are checked against each other.
The derivative is given s and x = sigma(s), as some are cheaper from one and some from the other. Each
exponential is taken of what is not positive, so none overflows. At a kink sigma' is PyTorch's choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SLOPE = 0.01  # of leaky_relu where s <= 0


@dataclass(frozen=True)
class Activation:
    """An activation function x = ``sigma``(s) and its derivative ``sigma_prime``(s, x), entry by entry."""

    sigma: Callable[[Array], Array]
    sigma_prime: Callable[[Array, Array], Array]


def logistic(s: Array) -> Array:
    """Return 1 / (1 + e^-s), of s's shape."""
    e = np.exp(-np.abs(s))
    result: Array = np.where(s >= 0, 1.0, e) / (1.0 + e)
    return result


# gelu, tanh form: sigma(s) = s/2 (1 + tanh u) with u = sqrt(2/pi) (s + 0.044715 s^3)


def _gelu_tanh(s: Array) -> Array:
    result: Array = np.tanh(math.sqrt(2 / math.pi) * (s + 0.044715 * s**3))
    return result


def _gelu_prime(s: Array, x: Array) -> Array:
    tanh_u = _gelu_tanh(s)
    u_prime = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * s**2)
    result: Array = (1 + tanh_u) / 2 + s / 2 * (1 - tanh_u**2) * u_prime
    return result


def _silu_prime(s: Array, x: Array) -> Array:
    result: Array = logistic(s) + x * logistic(-s)
    return result


def _softplus(s: Array) -> Array:
    result: Array = np.maximum(s, 0.0) + np.log1p(np.exp(-np.abs(s)))
    return result


def _elu(s: Array) -> Array:
    return np.where(s > 0, s, np.expm1(np.minimum(s, 0.0)))


def _one_or(where: Array, otherwise: Any, s: Array) -> Array:
    return np.where(where, s.dtype.type(1), np.asarray(otherwise, s.dtype))


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "identity": Activation(lambda s: s, lambda s, x: np.ones_like(s)),
        "sigmoid": Activation(logistic, lambda s, x: x * (1 - x)),
        "tanh": Activation(np.tanh, lambda s, x: 1 - x * x),
        "relu": Activation(lambda s: np.maximum(s, 0.0), lambda s, x: (s > 0).astype(s.dtype)),
        "leaky_relu": Activation(
            lambda s: np.where(s > 0, s, _SLOPE * s), lambda s, x: _one_or(s > 0, _SLOPE, s)
        ),
        "elu": Activation(_elu, lambda s, x: _one_or(s > 0, x + 1, s)),
        "softplus": Activation(_softplus, lambda s, x: logistic(s)),
        "silu": Activation(lambda s: s * logistic(s), _silu_prime),
        "gelu": Activation(lambda s: s / 2 * (1 + _gelu_tanh(s)), _gelu_prime),
        "sin": Activation(np.sin, lambda s, x: np.cos(s)),
    }
)
