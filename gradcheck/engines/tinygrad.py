"""tinygrad as an engine, on whichever device it has been told to use (``DEV=PYTHON`` needs no compiler)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad import Tensor

from gradcheck.engines.adapter import Adapter, Array, Leaves
from gradcheck.engines.snippets import Language

if TYPE_CHECKING:
    from reference_impl import Graph

_SCALAR = re.compile(r"Tensor\(np\.array\(([-+.\de]+)\)\)")

Pair = int | tuple[int, int]
Axis = int | tuple[int, ...] | None


def _pair(n: Pair) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else (n[0], n[1])


def _reduced(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return per_sample.sum() if reduction == "sum" else per_sample.mean()


def _others(lost: Tensor) -> tuple[int, ...]:
    return tuple(range(1, lost.ndim))


def where(a: Tensor, b: Tensor, condition: Array) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere."""
    return Tensor(condition).where(a, b)


def clip(a: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Clamp."""
    return a if minimum is None and maximum is None else a.clip(minimum, maximum)


def leaky_relu(a: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Compute ``a`` above zero, ``negative_slope a`` below."""
    return a.leaky_relu(negative_slope)


def total(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum."""
    return a.sum(axis, keepdim=keepdims)


def mean(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average."""
    return a.mean(axis, keepdim=keepdims)


def prod(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Multiply."""
    return a.prod(axis, keepdim=keepdims)


def largest(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the maximum."""
    return a.max(axis, keepdim=keepdims)


def smallest(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the minimum."""
    return a.min(axis, keepdim=keepdims)


def logsumexp(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute log of the sum of exponentials.

    Raises:
        NotImplementedError: for several axes, which tinygrad takes with ``keepdim`` only.
    """
    if isinstance(axis, tuple) and not keepdims:
        raise NotImplementedError("tinygrad has no logsumexp over several axes without keepdim")
    return a.logsumexp(axis, keepdim=keepdims)


def norm(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute the 2-norm."""
    return a.square().sum(axis, keepdim=keepdims).sqrt()


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the axes; reverse them where no order is given."""
    return a.permute(*(range(a.ndim)[::-1] if axes is None else axes)) if a.ndim else a


def take_slice(a: Tensor, slices: Sequence[tuple[int | None, int | None, int | None]]) -> Tensor:
    """Slice the leading axes."""
    return a[tuple(slice(*triple) for triple in slices)]


def take(a: Tensor, indices: Array, axis: int = 0) -> Tensor:
    """Take entries along an axis, by indexing."""
    index = int(indices) if indices.ndim == 0 else Tensor(indices)
    return a[(slice(None),) * (axis % a.ndim) + (index,)]


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around."""
    return a.pad(tuple(tuple(pair) for pair in width), value=value)


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return arrays[0].cat(*arrays[1:], dim=axis)


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return arrays[0].stack(*arrays[1:], dim=axis)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Normalise over the last ``axes`` axes."""
    return x.layernorm(axis=tuple(range(-axes, 0)), eps=epsilon) * gain + bias


def batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise over every axis but axis 1."""
    others = tuple(i for i in range(x.ndim) if i != 1)
    inverse_std = (x.var(others, correction=0) + epsilon).rsqrt()
    return x.batchnorm(gain, bias, x.mean(others), inverse_std)


def dropout(a: Tensor, mask: Array, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest."""
    return Tensor(mask).where(a, 0) / (1 - rate)


def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over as many axes as the weights have."""
    return x.conv2d(w, b, groups=groups, stride=stride, dilation=dilation, padding=padding)


def max_pool2d(a: Tensor, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """Take the maximum over windows of the last two axes."""
    pooled: Tensor = a.max_pool2d(_pair(size), stride=stride, padding=padding)
    return pooled


def avg_pool2d(a: Tensor, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """Average over windows of the last two axes; padding counts."""
    return a.avg_pool2d(_pair(size), stride=stride, padding=padding)


def squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum (f - t)^2 over each sample."""
    lost = (f - t).square()
    return _reduced(lost.sum(_others(lost)), reduction)


def mean_squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Average (f - t)^2 over each sample."""
    lost = (f - t).square()
    return _reduced(lost.mean(_others(lost)), reduction)


def absolute_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum |f - t| over each sample."""
    lost = (f - t).abs()
    return _reduced(lost.sum(_others(lost)), reduction)


def huber(f: Tensor, t: Tensor, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """Sum a parabola up to ``delta``, a straight line beyond, over each sample."""
    d = f - t
    near = d.clip(-delta, delta)
    lost = near * (d - near / 2)
    return _reduced(lost.sum(_others(lost)), reduction)


def hinge(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum max(0, 1 - t f) over each sample."""
    lost = (1 - t * f).relu()
    return _reduced(lost.sum(_others(lost)), reduction)


def binary_cross_entropy_with_logits(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum tinygrad's own loss over each sample."""
    lost = f.binary_crossentropy_logits(t, reduction="none")
    return _reduced(lost.sum(_others(lost)), reduction)


def softmax_cross_entropy(
    f: Tensor, t: Tensor | None = None, labels: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """Compute tinygrad's own cross-entropy, for labels or for target probabilities."""
    target = Tensor(labels) if t is None else t
    return f.cross_entropy(target, reduction=reduction)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "abs": Tensor.abs,
    "absolute_error": absolute_error,
    "add": Tensor.add,
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "broadcast_to": Tensor.expand,
    "clip": clip,
    "concatenate": concatenate,
    "conv1d": conv,
    "conv2d": conv,
    "cos": Tensor.cos,
    "cumsum": Tensor.cumsum,
    "divide": Tensor.div,
    "dropout": dropout,
    "elu": Tensor.elu,
    "exp": Tensor.exp,
    "gelu": Tensor.gelu,
    "hinge": hinge,
    "huber": huber,
    "layer_norm": layer_norm,
    "leaky_relu": leaky_relu,
    "log": Tensor.log,
    "log_softmax": Tensor.log_softmax,
    "logsumexp": logsumexp,
    "matmul": Tensor.matmul,
    "max": largest,
    "max_pool2d": max_pool2d,
    "maximum": Tensor.maximum,
    "mean": mean,
    "mean_squared_error": mean_squared_error,
    "min": smallest,
    "minimum": Tensor.minimum,
    "multiply": Tensor.mul,
    "negative": Tensor.neg,
    "norm": norm,
    "pad": pad,
    "power": Tensor.pow,
    "prod": prod,
    "reciprocal": Tensor.reciprocal,
    "relu": Tensor.relu,
    "reshape": Tensor.reshape,
    "sigmoid": Tensor.sigmoid,
    "silu": Tensor.silu,
    "sin": Tensor.sin,
    "slice": take_slice,
    "softmax": Tensor.softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softplus": Tensor.softplus,
    "sqrt": Tensor.sqrt,
    "square": Tensor.square,
    "squared_error": squared_error,
    "stack": stack,
    "subtract": Tensor.sub,
    "sum": total,
    "take": take,
    "tanh": Tensor.tanh,
    "transpose": transpose,
    "where": where,
}


class TinygradEngine(Adapter):
    """tinygrad, by ``Tensor.backward``."""

    name = "tinygrad"
    operations = OPERATIONS
    language = Language(
        preamble="import numpy as np\nfrom tinygrad import Tensor",
        leaf="{name} = Tensor({array})",
        backward="{output}.sum().backward()",
        gradient="None if {name}.grad is None else {name}.grad.numpy()",
        modules={"Tensor": Tensor},
    )

    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Run backward from the sum of the output's elements."""
        tensors = {name: _leaf(leaf) for name, leaf in leaves.items()}
        output = function(tensors)
        output.sum().backward()
        found = {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}
        Tensor.realize(output, *found.values())  # together: what they share is computed once
        return output.numpy(), {name: gradient.numpy() for name, gradient in found.items()}

    def snippet(self, graph: Graph, values: Mapping[str, Array]) -> str | None:
        """Return a program as others do, in which leaves without axes have storage, too."""
        text = super().snippet(graph, values)
        return text and _SCALAR.sub(r"Tensor(np.array([\1])).reshape(())", text)


def _leaf(array: Array) -> Tensor:
    """Make a leaf that has storage of its own.

    A tensor without axes is a constant to tinygrad, and equal constants are one and the same: neither
    ``backward`` nor ``gradient`` can tell two leaves of the same value apart (``docs/engines.md``).
    """
    return Tensor(array.reshape(1)).reshape(()) if array.ndim == 0 else Tensor(array)


engine = TinygradEngine()
