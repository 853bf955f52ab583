"""HIPS autograd as an engine: NumPy by the names of ``autograd.numpy``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import autograd.numpy as anp
import autograd.scipy.special as special
import numpy as np
from autograd import make_vjp

from gradcheck.engines.adapter import Adapter, Array, Leaves
from gradcheck.engines.snippets import Language

Tensor = Any  # an array, or the box that stands for one while it is traced


def _reduced(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return anp.sum(per_sample) if reduction == "sum" else anp.mean(per_sample)


def _others(lost: Tensor) -> tuple[int, ...]:
    return tuple(range(1, anp.ndim(lost)))


def relu(a: Tensor) -> Tensor:
    """Compute max(a, 0), which is how its users write it."""
    return anp.maximum(a, 0.0)


def leaky_relu(a: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Compute ``a`` above zero, ``negative_slope a`` below."""
    return anp.where(a > 0, a, negative_slope * a)


def elu(a: Tensor, alpha: float = 1.0) -> Tensor:
    """Compute ``a`` above zero, ``alpha (e^a - 1)`` below, with nothing to overflow above."""
    return anp.where(a > 0, a, alpha * anp.expm1(anp.where(a > 0, 0.0 * a, a)))


def silu(a: Tensor) -> Tensor:
    """Compute a sigmoid(a)."""
    return a * special.expit(a)


def gelu(a: Tensor) -> Tensor:
    """Compute the tanh form."""
    return 0.5 * a * (1 + anp.tanh((2 / anp.pi) ** 0.5 * (a + 0.044715 * a**3)))


def softplus(a: Tensor) -> Tensor:
    """Compute log(1 + e^a)."""
    return anp.logaddexp(a, 0.0)


def where(a: Tensor, b: Tensor, condition: Array) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere.

    Raises:
        NotImplementedError: where shapes differ, for which autograd's gradient does not allow.
    """
    if not anp.shape(a) == anp.shape(b) == condition.shape:
        raise NotImplementedError("autograd's where has no gradient through broadcasting")
    return anp.where(condition, a, b)


def clip(a: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Clamp."""
    return anp.clip(a, -anp.inf if minimum is None else minimum, anp.inf if maximum is None else maximum)


def take_slice(a: Tensor, slices: Sequence[tuple[int | None, int | None, int | None]]) -> Tensor:
    """Slice the leading axes."""
    return a[tuple(slice(*triple) for triple in slices)]


def take(a: Tensor, indices: Array, axis: int = 0) -> Tensor:
    """Take entries along an axis, by indexing: ``anp.take`` has no gradient."""
    return a[(slice(None),) * (axis % a.ndim) + (indices,)]


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around."""
    if len(width) == 0:  # NumPy takes no array without axes
        return a
    return anp.pad(a, width, mode="constant", constant_values=value)


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return anp.concatenate(arrays, axis)


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return anp.stack(arrays, axis)


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat ``a`` along axes of size 1.

    Raises:
        NotImplementedError: for new axes, for which autograd has no gradient.
    """
    if len(shape) != anp.ndim(a):
        raise NotImplementedError("autograd's broadcast_to has no gradient through new axes")
    return anp.broadcast_to(a, shape)


def cumsum(a: Tensor, axis: int = 0) -> Tensor:
    """Sum what came before."""
    return anp.cumsum(a, axis=axis)


def norm(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Compute the 2-norm; ``anp.linalg.norm`` takes no ``keepdims``, and means a matrix norm by two axes."""
    if not keepdims and (axis is None or isinstance(axis, int)):
        return anp.linalg.norm(a, axis=axis)
    return anp.sqrt(anp.sum(anp.square(a), axis=axis, keepdims=keepdims))


def softmax(a: Tensor, axis: int = -1) -> Tensor:
    """Normalise exponentials along one axis."""
    return anp.exp(log_softmax(a, axis))


def log_softmax(a: Tensor, axis: int = -1) -> Tensor:
    """Compute the logarithm of softmax."""
    return a - special.logsumexp(a, axis=axis, keepdims=True)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Normalise over the last ``axes`` axes."""
    last = tuple(range(x.ndim - axes, x.ndim))
    deviation = x - anp.mean(x, axis=last, keepdims=True)
    variance = anp.mean(anp.square(deviation), axis=last, keepdims=True)
    return gain * (deviation / anp.sqrt(variance + epsilon)) + bias


def batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise over every axis but axis 1."""
    others = tuple(i for i in range(x.ndim) if i != 1)
    channels = (-1,) + (1,) * (x.ndim - 2)
    deviation = x - anp.mean(x, axis=others, keepdims=True)
    variance = anp.var(x, axis=others, keepdims=True)
    normal = deviation / anp.sqrt(variance + epsilon)
    return anp.reshape(gain, channels) * normal + anp.reshape(bias, channels)


def dropout(a: Tensor, mask: Array, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest."""
    return a * mask / (1 - rate)


def squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum (f - t)^2 over each sample."""
    lost = anp.square(f - t)
    return _reduced(anp.sum(lost, axis=_others(lost)), reduction)


def mean_squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Average (f - t)^2 over each sample."""
    lost = anp.square(f - t)
    return _reduced(anp.mean(lost, axis=_others(lost)), reduction)


def absolute_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum |f - t| over each sample."""
    lost = anp.abs(f - t)
    return _reduced(anp.sum(lost, axis=_others(lost)), reduction)


def huber(f: Tensor, t: Tensor, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """Sum a parabola up to ``delta``, a straight line beyond, over each sample."""
    d = f - t
    near = anp.clip(d, -delta, delta)
    lost = near * (d - near / 2)
    return _reduced(anp.sum(lost, axis=_others(lost)), reduction)


def hinge(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum max(0, 1 - t f) over each sample."""
    lost = anp.maximum(1 - t * f, 0.0)
    return _reduced(anp.sum(lost, axis=_others(lost)), reduction)


def binary_cross_entropy_with_logits(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum log(1 + e^f) - t f over each sample."""
    lost = anp.logaddexp(f, 0.0) - t * f
    return _reduced(anp.sum(lost, axis=_others(lost)), reduction)


def softmax_cross_entropy(
    f: Tensor, t: Tensor | None = None, labels: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """Compute -sum_c t_c log softmax(f)_c, for labels or for target probabilities."""
    target = anp.eye(f.shape[-1])[labels] if t is None else t
    return _reduced(-anp.sum(target * log_softmax(f), axis=-1), reduction)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "abs": anp.abs,
    "absolute_error": absolute_error,
    "add": anp.add,
    "batch_norm": batch_norm,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "broadcast_to": broadcast_to,
    "clip": clip,
    "concatenate": concatenate,
    "cos": anp.cos,
    "cumsum": cumsum,
    "divide": anp.divide,
    "dropout": dropout,
    "elu": elu,
    "exp": anp.exp,
    "expm1": anp.expm1,
    "gelu": gelu,
    "hinge": hinge,
    "huber": huber,
    "layer_norm": layer_norm,
    "leaky_relu": leaky_relu,
    "log": anp.log,
    "log1p": anp.log1p,
    "log_softmax": log_softmax,
    "logsumexp": special.logsumexp,
    "matmul": anp.matmul,
    "max": anp.max,
    "maximum": anp.maximum,
    "mean": anp.mean,
    "mean_squared_error": mean_squared_error,
    "min": anp.min,
    "minimum": anp.minimum,
    "multiply": anp.multiply,
    "negative": anp.negative,
    "norm": norm,
    "pad": pad,
    "power": anp.power,
    "prod": anp.prod,
    "reciprocal": anp.reciprocal,
    "relu": relu,
    "reshape": anp.reshape,
    "sigmoid": special.expit,
    "silu": silu,
    "sin": anp.sin,
    "slice": take_slice,
    "softmax": softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softplus": softplus,
    "sqrt": anp.sqrt,
    "square": anp.square,
    "squared_error": squared_error,
    "stack": stack,
    "subtract": anp.subtract,
    "sum": anp.sum,
    "take": take,
    "tanh": anp.tanh,
    "transpose": anp.transpose,
    "where": where,
}


class AutogradEngine(Adapter):
    """HIPS autograd, by ``make_vjp``."""

    name = "autograd"
    operations = OPERATIONS
    language = Language(
        preamble="import autograd.numpy as anp\nimport autograd.scipy.special as special\n"
        "import numpy as np\nfrom autograd import grad",
        leaf="{name} = {array}",
        gradient="grad(f, {position})({leaves})",
        modules={"anp": anp, "special": special},
        functional=True,
    )

    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Pull back a cotangent of ones; complex gradients are conjugated, as PyTorch has them."""
        pull_back, output = make_vjp(function)(dict(leaves))
        gradients = pull_back(np.ones_like(output))
        return output, {name: np.conj(gradient) for name, gradient in gradients.items()}


engine = AutogradEngine()
