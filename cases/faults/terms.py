"""The classical mistakes, one by one: a forgotten term of a product rule, transpose, branch or count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.choices import Array
from cases.faults.ties import Row
from reference_impl import RULES
from reference_impl.rules.activations import sigmoid
from reference_impl.rules.axes import keep_axes, spread
from reference_impl.rules.losses import to_entries

Shares = tuple[Array, ...]


def _times(slope: Callable[[Array, Array], Array]) -> Callable[..., Shares]:
    """Return the vjp of an operation on each entry, whose slope depends on output and input."""
    return lambda cotangent, output, inputs, **attributes: (cotangent * slope(output, inputs[0]),)


def _scaled(
    operation: str, factor: Callable[..., float], position: int | None = None
) -> Callable[..., Shares]:
    """Return the right vjp with every cotangent, or that of one input, multiplied by a factor."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
        shares = right(cotangent, output, inputs, **attributes)
        scale = factor(output, inputs[0], **attributes)
        return tuple(s * scale if position in (None, i) else s for i, s in enumerate(shares))

    return vjp


def _samples(output: Array, f: Array, **attributes: Any) -> float:
    averaged = f.ndim > 0 and attributes.get("reduction", "mean") == "mean"
    return float(f.shape[0]) if averaged and not _is_one_sample(f, attributes) else 1.0


def _is_one_sample(f: Array, attributes: Mapping[str, Any]) -> bool:
    labels = attributes.get("labels")
    return labels is not None and labels.ndim == 0


def _entries(output: Array, a: Array, **attributes: Any) -> float:
    return a.size / max(output.size, 1)


def _window(output: Array, a: Array, *, size: Any, **attributes: Any) -> float:
    return float(size * size if isinstance(size, int) else size[0] * size[1])


def _features(output: Array, f: Array, **attributes: Any) -> float:
    return float(f[0].size) if f.ndim else 1.0


def _kept_share(output: Array, a: Array, *, rate: float = 0.5, **attributes: Any) -> float:
    return 1 - rate


def _without(operation: str, **forgotten: Any) -> Callable[..., Shares]:
    """Return the right vjp with some attributes ignored: others are put in their place."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
        return right(cotangent, output, inputs, **{**attributes, **forgotten})

    return vjp


def _swapped(operation: str, first: int = 0, second: int = 1) -> Callable[..., Shares]:
    """Return the right vjp with the cotangents of two inputs of the same shape exchanged."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
        shares = list(right(cotangent, output, inputs, **attributes))
        if len(shares) > second and shares[first].shape == shares[second].shape:
            shares[first], shares[second] = shares[second], shares[first]
        return tuple(shares)

    return vjp


def _diagonal_softmax(cotangent: Array, output: Array, inputs: Any, **attributes: Any) -> Shares:
    return (cotangent * output * (1 - output),)


def _plain_softmax(cotangent: Array, output: Array, inputs: Any, **attributes: Any) -> Shares:
    return (cotangent * output,)


def _identity(cotangent: Array, output: Array, inputs: Any, **attributes: Any) -> Shares:
    return (cotangent,)


def _norm_unscaled(cotangent: Array, output: Array, inputs: Any, **attributes: Any) -> Shares:
    return (spread(cotangent, inputs[0].shape, attributes.get("axis")) * inputs[0],)


def _logsumexp_unscaled(cotangent: Array, output: Array, inputs: Any, **attributes: Any) -> Shares:
    return (spread(cotangent, inputs[0].shape, attributes.get("axis")) * np.exp(inputs[0]),)


def _constant_statistics(axes_of: Callable[..., tuple[int, ...]], operation: str) -> Callable[..., Shares]:
    """Return the vjp of a normalisation that takes mean and variance for constants."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
        x, gain, _ = inputs
        _, *others = right(cotangent, output, inputs, **attributes)
        axes = axes_of(x, **attributes)
        deviation = np.sqrt(x.var(axis=axes, keepdims=True) + attributes.get("epsilon", 1e-5))
        wide = gain if operation == "layer_norm" else gain.reshape(-1, *[1] * (x.ndim - 2))
        return cotangent * wide / deviation, *others

    return vjp


def _trailing_axes(x: Array, axes: int = 1, **attributes: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim - axes, x.ndim))


def _batch_axes(x: Array, **attributes: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _matmul_untransposed(cotangent: Array, output: Any, inputs: Any) -> Shares:
    a, b = inputs
    if a.ndim == b.ndim == 2 and b.shape[0] == b.shape[1]:
        return cotangent @ b, a.T @ cotangent
    return RULES["matmul"].vjp(cotangent, output, inputs)


def _transpose_again(cotangent: Array, output: Any, inputs: Any, *, axes: Any = None) -> Shares:
    again = cotangent.transpose(axes)
    if again.shape == inputs[0].shape:
        return (again,)
    return RULES["transpose"].vjp(cotangent, output, inputs, axes=axes)


def _cumsum_forward(cotangent: Array, output: Any, inputs: Any, *, axis: int = 0) -> Shares:
    return (np.add.accumulate(cotangent, axis=axis),)


def _last_wins(cotangent: Array, output: Any, inputs: Any, *, indices: Array, axis: int = 0) -> Shares:
    (a,) = inputs
    source = np.arange(a.size).reshape(a.shape).take(indices, axis)
    share = np.zeros_like(a)
    share.reshape(-1)[source.reshape(-1)] = cotangent.reshape(-1)
    return (share,)


def _slice_ignoring_start(cotangent: Array, output: Any, inputs: Any, *, slices: Any) -> Shares:
    (share,) = RULES["slice"].vjp(cotangent, output, inputs, slices=slices)
    start = slices[0][0]
    return (np.roll(share, -start, axis=0) if start and start > 0 else share,)


def _pad_ignoring_before(
    cotangent: Array, output: Any, inputs: Any, *, width: Any, value: float = 0.0
) -> Shares:
    (a,) = inputs
    return (cotangent[tuple(slice(0, n) for n in a.shape)],)


def _reshape_in_column_order(cotangent: Array, output: Any, inputs: Any, *, shape: Any) -> Shares:
    return (cotangent.reshape(inputs[0].shape, order="F"),)


def _all_get_it(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
    return (spread(cotangent, inputs[0].shape, attributes.get("axis")),)


def _times_product(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> Shares:
    (a,) = inputs
    axis = attributes.get("axis")
    return (spread(cotangent, a.shape, axis) * keep_axes(output, a.shape, axis),)


def _label_not_subtracted(
    cotangent: Array, output: Any, inputs: Any, *, labels: Any = None, reduction: str = "mean"
) -> Shares:
    if labels is None:
        return RULES["softmax_cross_entropy"].vjp(cotangent, output, inputs, reduction=reduction)
    f = inputs[0]
    return (to_entries(cotangent, f.shape[:-1], reduction)[..., None] * RULES["softmax"].forward(f),)


def _power_without_exponent(cotangent: Array, output: Any, inputs: Any) -> Shares:
    share, other = RULES["power"].vjp(cotangent, output, inputs)
    a, b = inputs
    if a.shape == b.shape == output.shape:
        return cotangent * np.power(a, b - 1), other
    return share, other


def _row(words: str, diagnosis: str, vjp: Callable[..., Shares], needs: str = "") -> tuple[Row, ...]:
    return ((words, diagnosis, needs, vjp),)


_LOSSES = ("squared_error", "absolute_error", "huber", "hinge", "binary_cross_entropy_with_logits")
_SAMPLES = "several samples, averaged"

TERMS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "square": _row("a instead of 2 a", "scale", _scaled("square", lambda *_, **__: 0.5)),
        "sqrt": _row("1 / y instead of 1 / (2 y)", "scale", _scaled("sqrt", lambda *_, **__: 2.0)),
        "reciprocal": _row("-y instead of -y^2", "unexplained", _times(lambda y, a: -y)),
        "power": _row("a^(b-1) without the factor b", "unexplained", _power_without_exponent),
        "multiply": _row("its operands' cotangents exchanged", "swapped", _swapped("multiply")),
        "divide": _row("its operands' cotangents exchanged", "swapped", _swapped("divide")),
        "where": _row("its branches exchanged", "swapped", _swapped("where")),
        "subtract": _row("its operands' cotangents exchanged", "sign", _swapped("subtract")),
        "exp": _row("1 instead of e^a", "missing-term", _identity),
        "expm1": _row("y instead of y + 1", "missing-term", _times(lambda y, a: y)),
        "log1p": _row("1 / a instead of 1 / (1 + a)", "unexplained", _times(lambda y, a: 1 / (a + (a == 0)))),
        "sin": _row("sin instead of cos", "unexplained", _times(lambda y, a: y)),
        "cos": _row("sin instead of -sin", "sign", _times(lambda y, a: np.sin(a))),
        "tanh": _row("1 - y instead of 1 - y^2", "missing-term", _times(lambda y, a: 1 - y)),
        "sigmoid": _row("y instead of y (1 - y)", "missing-term", _times(lambda y, a: y)),
        "softplus": _row("1 instead of sigmoid", "missing-term", _identity),
        "silu": _row("sigmoid without the second term", "missing-term", _times(lambda y, a: sigmoid(a))),
        "gelu": _row(
            "(1 + t) / 2 without the second term", "missing-term", _times(lambda y, a: y / (a + (a == 0)))
        ),
        "relu": _row("nothing masked", "masked", _identity, "negative entries"),
        "abs": _row("nothing masked", "masked", _identity, "negative entries"),
        "leaky_relu": _row(
            "its slope ignored", "masked", _without("leaky_relu", negative_slope=1.0), "negative entries"
        ),
        "elu": _row(
            "its alpha ignored", "masked", _without("elu", alpha=1.0), "another alpha, negative entries"
        ),
        "clip": _row("nothing masked", "masked", _identity, "entries beyond a bound"),
        "maximum": _row("its operands' cotangents exchanged", "swapped", _swapped("maximum")),
        "minimum": _row("its operands' cotangents exchanged", "swapped", _swapped("minimum")),
        "matmul": _row("b not transposed", "transposed", _matmul_untransposed, "a square matrix"),
        "transpose": _row(
            "the same axes again", "permuted", _transpose_again, "an order that is not its own inverse"
        ),
        "reshape": _row("in column order", "permuted", _reshape_in_column_order, "several axes"),
        "concatenate": _row("its parts exchanged", "swapped", _swapped("concatenate"), "parts of one shape"),
        "stack": _row("its parts exchanged", "swapped", _swapped("stack"), "several parts"),
        "slice": _row("its start ignored", "permuted", _slice_ignoring_start, "a start"),
        "take": _row("repeated indices overwrite", "partial", _last_wins, "repeated indices"),
        "pad": _row("what is before ignored", "permuted", _pad_ignoring_before, "padding before"),
        "mean": _row("the count forgotten", "scale", _scaled("mean", _entries), "several entries"),
        "prod": _row("y instead of y / a", "unexplained", _times_product),
        "max": _row("all entries get it", "masked", _all_get_it, "several entries"),
        "min": _row("all entries get it", "masked", _all_get_it, "several entries"),
        "logsumexp": _row("e^a, not divided by the sum", "unexplained", _logsumexp_unscaled),
        "norm": _row("not divided by the norm", "scale", _norm_unscaled),
        "cumsum": _row("summed from the front", "permuted", _cumsum_forward, "several entries"),
        "softmax": (
            ("diagonal of the Jacobian alone", "missing-term", "several entries", _diagonal_softmax),
            ("the mean not subtracted", "missing-term", "", _plain_softmax),
        ),
        "log_softmax": _row("the softmax not subtracted", "missing-term", _identity),
        "layer_norm": _row(
            "mean and variance taken for constants",
            "missing-term",
            _constant_statistics(_trailing_axes, "layer_norm"),
            "several entries",
        ),
        "batch_norm": _row(
            "mean and variance taken for constants",
            "missing-term",
            _constant_statistics(_batch_axes, "batch_norm"),
        ),
        "dropout": (
            ("not divided by 1 - rate", "scale", "", _scaled("dropout", _kept_share)),
            ("its mask ignored", "masked", "dropped entries", _identity),
        ),
        "avg_pool2d": _row(
            "the count forgotten", "scale", _scaled("avg_pool2d", _window), "a window of several"
        ),
        **{
            name: _row("the count of samples forgotten", "scale", _scaled(name, _samples), _SAMPLES)
            for name in _LOSSES
        },
        "mean_squared_error": (
            ("the count of samples forgotten", "scale", _SAMPLES, _scaled("mean_squared_error", _samples)),
            (
                "the count of outputs forgotten",
                "scale",
                "several outputs",
                _scaled("mean_squared_error", _features),
            ),
        ),
        "softmax_cross_entropy": (
            ("the count of samples forgotten", "scale", _SAMPLES, _scaled("softmax_cross_entropy", _samples)),
            ("the label not subtracted", "missing-term", "labels", _label_not_subtracted),
        ),
    }
)
