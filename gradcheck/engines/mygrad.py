"""mygrad as an engine: NumPy by the names of ``mygrad``, and layers from ``mygrad.nnet``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet import activations, layers, losses

from gradcheck.engines.adapter import Adapter, Array, Leaves
from gradcheck.engines.snippets import Language

Tensor = Any  # mygrad.Tensor; the package carries no types for its functions
Pair = int | tuple[int, int]


def _reduced(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return mg.sum(per_sample) if reduction == "sum" else mg.mean(per_sample)


def _others(lost: Tensor) -> tuple[int, ...]:
    return tuple(range(1, lost.ndim))


def _each(size: Pair, a: Tensor) -> tuple[int, ...]:
    return (size,) * (a.ndim - 2) if isinstance(size, int) else tuple(size)


def _require_fit(shape: Sequence[int], window: Sequence[int], steps: Sequence[int]) -> None:
    if any((n - w) % s for n, w, s in zip(shape, window, steps, strict=True)):
        raise NotImplementedError("mygrad has no windows that leave entries over")


def leaky_relu(a: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Compute ``a`` above zero, ``negative_slope a`` below."""
    return activations.leaky_relu(a, negative_slope)


def elu(a: Tensor, alpha: float = 1.0) -> Tensor:
    """Compute ``a`` above zero, ``alpha (e^a - 1)`` below."""
    return activations.elu(a, alpha)


def silu(a: Tensor) -> Tensor:
    """Compute a sigmoid(a)."""
    return a * activations.sigmoid(a)


def gelu(a: Tensor) -> Tensor:
    """Compute the tanh form."""
    return 0.5 * a * (1 + mg.tanh((2 / np.pi) ** 0.5 * (a + 0.044715 * a**3)))


def softplus(a: Tensor) -> Tensor:
    """Compute log(1 + e^a)."""
    return mg.logaddexp(a, 0.0)


def where(a: Tensor, b: Tensor, condition: Array) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere."""
    return mg.where(condition, a, b)


def clip(a: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Clamp."""
    return a if minimum is None and maximum is None else mg.clip(a, minimum, maximum)


def take_slice(a: Tensor, slices: Sequence[tuple[int | None, int | None, int | None]]) -> Tensor:
    """Slice the leading axes."""
    return a[tuple(slice(*triple) for triple in slices)]


def take(a: Tensor, indices: Array, axis: int = 0) -> Tensor:
    """Take entries along an axis, by indexing."""
    return a[(slice(None),) * (axis % a.ndim) + (indices,)]


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around, by writing into a tensor."""
    shape = tuple(before + n + after for n, (before, after) in zip(a.shape, width, strict=True))
    padded = mg.full(shape, value, dtype=a.dtype)
    padded[tuple(slice(before, before + n) for n, (before, _) in zip(a.shape, width, strict=True))] = a
    return padded


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the axes; reverse them where no order is given."""
    return mg.transpose(a) if axes is None else mg.transpose(a, tuple(axes))


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return mg.concatenate(arrays, axis)


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return mg.stack(arrays, axis)


def cumsum(a: Tensor, axis: int = 0) -> Tensor:
    """Sum what came before."""
    return mg.cumsum(a, axis=axis)


def reshape(a: Tensor, shape: Sequence[int]) -> Tensor:
    """Give the same entries another shape."""
    return mg.reshape(a, tuple(shape))


def norm(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Compute the 2-norm; ``mg.linalg.norm`` means a matrix norm by two axes."""
    if axis is None or isinstance(axis, int):
        return mg.linalg.norm(a, axis=axis, keepdims=keepdims)
    return mg.sqrt(mg.sum(mg.square(a), axis=axis, keepdims=keepdims))


def logsumexp(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Compute log of the sum of exponentials, shifted by the largest."""
    largest = np.max(a.data, axis=axis, keepdims=True)
    rest = mg.log(mg.sum(mg.exp(a - largest), axis=axis, keepdims=keepdims))
    return rest + largest.reshape(rest.shape)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Normalise over the last ``axes`` axes."""
    last = tuple(range(x.ndim - axes, x.ndim))
    deviation = x - mg.mean(x, axis=last, keepdims=True)
    return gain * (deviation / mg.sqrt(mg.var(x, axis=last, keepdims=True) + epsilon)) + bias


def batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise over every axis but axis 1."""
    return layers.batchnorm(x, gamma=gain, beta=bias, eps=epsilon)


def dropout(a: Tensor, mask: Array, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest."""
    return a * (mask / (1 - rate))


def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over as many axes as the weights have.

    Raises:
        NotImplementedError: for what mygrad lacks: groups, and entries left over at the end.
    """
    if groups != 1:
        raise NotImplementedError("mygrad has no convolution in groups")
    window = [1 + d * (n - 1) for n, d in zip(w.shape[2:], _each(dilation, x), strict=True)]
    _require_fit(
        [n + 2 * p for n, p in zip(x.shape[2:], _each(padding, x), strict=True)], window, _each(stride, x)
    )
    y = layers.conv_nd(x, w, stride=stride, padding=padding, dilation=dilation)
    return y if b is None else y + b.reshape((-1,) + (1,) * (x.ndim - 2))


def max_pool2d(a: Tensor, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """Take the maximum over windows of the last two axes.

    Raises:
        NotImplementedError: for what mygrad lacks: padding, and entries left over at the end.
    """
    if padding not in (0, (0, 0)):
        raise NotImplementedError("mygrad has no padding in max_pool")
    window, steps = _each(size, a), _each(size if stride is None else stride, a)
    _require_fit(a.shape[2:], window, steps)
    return layers.max_pool(a, window, steps)


def squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum (f - t)^2 over each sample."""
    lost = mg.square(f - t)
    return _reduced(mg.sum(lost, axis=_others(lost)), reduction)


def mean_squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Average (f - t)^2 over each sample."""
    lost = mg.square(f - t)
    return _reduced(mg.mean(lost, axis=_others(lost)), reduction)


def absolute_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum |f - t| over each sample."""
    lost = mg.abs(f - t)
    return _reduced(mg.sum(lost, axis=_others(lost)), reduction)


def huber(f: Tensor, t: Tensor, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """Sum a parabola up to ``delta``, a straight line beyond, over each sample."""
    d = f - t
    near = mg.clip(d, -delta, delta)
    lost = near * (d - near / 2)
    return _reduced(mg.sum(lost, axis=_others(lost)), reduction)


def hinge(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum max(0, 1 - t f) over each sample."""
    lost = mg.maximum(1 - t * f, 0.0)
    return _reduced(mg.sum(lost, axis=_others(lost)), reduction)


def binary_cross_entropy_with_logits(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum log(1 + e^f) - t f over each sample."""
    lost = mg.logaddexp(f, 0.0) - t * f
    return _reduced(mg.sum(lost, axis=_others(lost)), reduction)


def softmax_cross_entropy(
    f: Tensor, t: Tensor | None = None, labels: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """Compute -sum_c t_c log softmax(f)_c; mygrad's own loss where it has one (labels, averaged)."""
    if t is None and reduction == "mean" and f.ndim == 2:
        return losses.softmax_crossentropy(f, labels)
    target = np.eye(f.shape[-1])[labels] if t is None else t
    return _reduced(-mg.sum(target * activations.logsoftmax(f), axis=-1), reduction)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "abs": mg.abs,
    "absolute_error": absolute_error,
    "add": mg.add,
    "batch_norm": batch_norm,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "broadcast_to": mg.broadcast_to,
    "clip": clip,
    "concatenate": concatenate,
    "conv1d": conv,
    "conv2d": conv,
    "cos": mg.cos,
    "cumsum": cumsum,
    "divide": mg.divide,
    "dropout": dropout,
    "elu": elu,
    "exp": mg.exp,
    "expm1": mg.expm1,
    "gelu": gelu,
    "hinge": hinge,
    "huber": huber,
    "layer_norm": layer_norm,
    "leaky_relu": leaky_relu,
    "log": mg.log,
    "log1p": mg.log1p,
    "log_softmax": activations.logsoftmax,
    "logsumexp": logsumexp,
    "matmul": mg.matmul,
    "max": mg.max,
    "max_pool2d": max_pool2d,
    "maximum": mg.maximum,
    "mean": mg.mean,
    "mean_squared_error": mean_squared_error,
    "min": mg.min,
    "minimum": mg.minimum,
    "multiply": mg.multiply,
    "negative": mg.negative,
    "norm": norm,
    "pad": pad,
    "power": mg.power,
    "prod": mg.prod,
    "reciprocal": mg.reciprocal,
    "relu": activations.relu,
    "reshape": reshape,
    "sigmoid": activations.sigmoid,
    "silu": silu,
    "sin": mg.sin,
    "slice": take_slice,
    "softmax": activations.softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softplus": softplus,
    "sqrt": mg.sqrt,
    "square": mg.square,
    "squared_error": squared_error,
    "stack": stack,
    "subtract": mg.subtract,
    "sum": mg.sum,
    "take": take,
    "tanh": mg.tanh,
    "transpose": transpose,
    "where": where,
}


class MygradEngine(Adapter):
    """mygrad, by ``Tensor.backward``."""

    name = "mygrad"
    operations = OPERATIONS
    language = Language(
        preamble="import mygrad as mg\nimport numpy as np\n"
        "from mygrad.nnet import activations, layers, losses",
        leaf="{name} = mg.tensor({array})",
        backward="{output}.sum().backward()",
        gradient="{name}.grad",
        modules={"mg": mg, "mg.linalg": mg.linalg, "activations": activations, "layers": layers},
    )

    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Run backward from the sum of the output's elements."""
        tensors = {name: mg.tensor(leaf) for name, leaf in leaves.items()}
        output = function(tensors)
        output.sum().backward()
        return output.data, {name: tensor.grad for name, tensor in tensors.items()}


engine = MygradEngine()
