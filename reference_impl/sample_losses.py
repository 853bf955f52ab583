"""The losses l(f, t) of one sample's output f for its target t, each with dl/df.

Written apart from the graph's rules on purpose, as the activations are. f is (width,) for one sample or
(N, width) for N of them, and l then () or (N,): a sample's loss sums over its outputs. t has f's shape, or
for ``softmax_cross_entropy`` may be the classes' numbers instead, () or (N,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from reference_impl.nonlinearities import Array, logistic


@dataclass(frozen=True)
class Loss:
    """A ``loss``(f, t) for each sample, and its derivative ``dl_df``(f, t), of f's shape."""

    loss: Callable[[Array, Array], Array]
    dl_df: Callable[[Array, Array], Array]


def _huber(f: Array, t: Array) -> Array:
    z = np.abs(f - t)
    result: Array = np.where(z <= 1, z * z / 2, z - 0.5).sum(-1)
    return result


# With classes' scores f and probabilities p = softmax(f): l = -sum_k t_k log p_k, where log p_k is
# f_k - log sum_j e^(f_j), and dl/df = p sum_k t_k - t (and sum_k t_k is 1 for a target that is a class)


def _log_softmax(f: Array) -> Array:
    f = f - f.max(-1, keepdims=True)
    result: Array = f - np.log(np.exp(f).sum(-1, keepdims=True))
    return result


def _as_probabilities(f: Array, t: Array) -> Array:
    """Return t as f's shape: where it is the classes' numbers, 1 at each sample's class and 0 elsewhere."""
    if t.shape == f.shape and t.dtype.kind not in "iu":
        return t
    one_hot: Array = (t[..., None] == np.arange(f.shape[-1])).astype(f.dtype)
    return one_hot


def _cross_entropy(f: Array, t: Array) -> Array:
    result: Array = -(_as_probabilities(f, t) * _log_softmax(f)).sum(-1)
    return result


def _cross_entropy_prime(f: Array, t: Array) -> Array:
    t = _as_probabilities(f, t)
    result: Array = np.exp(_log_softmax(f)) * t.sum(-1, keepdims=True) - t
    return result


# With s = logistic(f): l = -t log s - (1 - t) log(1 - s), where log s = -log(1 + e^-f), and
# log(1 - s) = -log(1 + e^f); dl/df = s - t


def _binary_cross_entropy(f: Array, t: Array) -> Array:
    result: Array = (t * np.logaddexp(0, -f) + (1 - t) * np.logaddexp(0, f)).sum(-1)
    return result


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "squared_error": Loss(lambda f, t: ((f - t) ** 2).sum(-1), lambda f, t: 2 * (f - t)),
        "mean_squared_error": Loss(
            lambda f, t: ((f - t) ** 2).mean(-1), lambda f, t: 2 * (f - t) / f.shape[-1]
        ),
        "absolute_error": Loss(lambda f, t: np.abs(f - t).sum(-1), lambda f, t: np.sign(f - t)),
        "huber": Loss(_huber, lambda f, t: np.clip(f - t, -1, 1)),
        "hinge": Loss(
            lambda f, t: np.maximum(0, 1 - t * f).sum(-1), lambda f, t: np.where(t * f <= 1, -t, 0 * t)
        ),
        "binary_cross_entropy_with_logits": Loss(_binary_cross_entropy, lambda f, t: logistic(f) - t),
        "softmax_cross_entropy": Loss(_cross_entropy, _cross_entropy_prime),
    }
)
