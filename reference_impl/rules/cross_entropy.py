"""Softmax cross-entropy of logits f (N, C), or (C,) for one sample.

The target is either a class for each sample (attribute ``labels``, integers of f's shape without its last
axis) or a probability for each class (second input t, of f's shape). Taken together with the softmax,
because log(softmax(f)) by two separate steps is log(0) at large logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_impl.rules.axes import add_up
from reference_impl.rules.losses import over_samples, to_entries
from reference_impl.rules.normalisation import log_softmax
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

# l = -log softmax(f)_label:             dl/df = softmax(f) - onehot(label)
# l = -sum_c t_c log softmax(f)_c:       dl/df = softmax(f) sum_c t_c - t,   dl/dt = -log softmax(f)


def _softmax_cross_entropy(
    f: Array, t: Array | None = None, *, labels: Array | None = None, reduction: str = "mean"
) -> Array:
    _check(f, t, labels)
    log_p = log_softmax(f)
    if labels is not None:
        return over_samples(-log_p[_chosen(labels)], reduction)
    return over_samples(-add_up(t * log_p, axis=-1), reduction)


def _softmax_cross_entropy_vjp(
    cotangent: Array,
    output: Any,
    inputs: Inputs,
    *,
    labels: Array | None = None,
    reduction: str = "mean",
) -> Cotangents:
    f, *t = inputs
    dl = to_entries(cotangent, f.shape[:-1], reduction)[..., None]
    log_p = log_softmax(f)
    slope = np.exp(log_p)
    if labels is not None:
        slope[_chosen(labels)] -= 1
        return (dl * slope,)
    (targets,) = t
    slope *= add_up(targets, axis=-1, keepdims=True)
    return dl * (slope - targets), -dl * log_p


def _chosen(labels: Array) -> tuple[Array, ...]:
    """Index the entry of each sample's label."""
    return (np.arange(labels.size), labels) if labels.ndim else (labels,)


def _check(f: Array, t: Array | None, labels: Array | None) -> None:
    if f.ndim not in (1, 2):
        raise ValueError(f"Expected logits of shape (N, C) or (C,) but got {f.shape}")
    if (t is None) == (labels is None):
        raise ValueError("Expected either labels or target probabilities, as the second input")
    if t is not None and t.shape != f.shape:
        raise ValueError(f"Expected a target for each of the logits {f.shape} but got {t.shape}")
    if labels is None:
        return
    if labels.shape != f.shape[:-1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Expected one integer label for each sample, shape {f.shape[:-1]}, "
            f"but got {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < f.shape[-1]:
        raise ValueError(
            f"Expected labels from 0 to {f.shape[-1] - 1} but got {labels.min()} to {labels.max()}"
        )


CROSS_ENTROPY = (Rule("softmax_cross_entropy", _softmax_cross_entropy, _softmax_cross_entropy_vjp, (1, 2)),)
