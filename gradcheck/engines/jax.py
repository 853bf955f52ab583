"""JAX as an engine, in float64 where it is asked for: importing this module switches x64 on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradcheck.engines.adapter import Adapter, Array, Leaves
from gradcheck.engines.snippets import Language

jax.config.update("jax_enable_x64", True)

Pair = int | tuple[int, int]
Tensor = Any  # a jax.Array, or the tracer that stands for one


def _pair(n: Pair) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else (n[0], n[1])


def _reduced(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return jnp.sum(per_sample) if reduction == "sum" else jnp.mean(per_sample)


def _others(lost: Tensor) -> tuple[int, ...]:
    return tuple(range(1, lost.ndim))


def where(a: Tensor, b: Tensor, condition: Array) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere."""
    return jnp.where(condition, a, b)


def clip(a: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Clamp."""
    return jnp.clip(a, minimum, maximum)


def take_slice(a: Tensor, slices: Sequence[tuple[int | None, int | None, int | None]]) -> Tensor:
    """Slice the leading axes."""
    return a[tuple(slice(*triple) for triple in slices)]


def take(a: Tensor, indices: Array, axis: int = 0) -> Tensor:
    """Take entries along an axis; ``jnp.take`` alone fills with NaN what a negative index means."""
    return jnp.take(a, indices, axis=axis, mode="wrap")


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around."""
    if len(width) == 0:  # jnp.pad takes no array without axes
        return a
    return jnp.pad(a, width, constant_values=value)


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return jnp.concatenate(arrays, axis)


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return jnp.stack(arrays, axis)


def cumsum(a: Tensor, axis: int = 0) -> Tensor:
    """Sum what came before."""
    return jnp.cumsum(a, axis)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Normalise over the last ``axes`` axes."""
    last = tuple(range(x.ndim - axes, x.ndim))
    return gain * jax.nn.standardize(x, axis=last, epsilon=epsilon) + bias


def batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise over every axis but axis 1."""
    others = tuple(i for i in range(x.ndim) if i != 1)
    channels = (-1,) + (1,) * (x.ndim - 2)
    normal = jax.nn.standardize(x, axis=others, epsilon=epsilon)
    return gain.reshape(channels) * normal + bias.reshape(channels)


def dropout(a: Tensor, mask: Array, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest."""
    return jnp.where(mask, a / (1 - rate), 0)


def conv1d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve (N, C, L)."""
    y = jax.lax.conv_general_dilated(
        x, w, (stride,), [(padding, padding)], rhs_dilation=(dilation,), feature_group_count=groups
    )
    return y if b is None else y + b[:, None]


def conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve (N, C, H, W)."""
    padded = [(n, n) for n in _pair(padding)]
    y = jax.lax.conv_general_dilated(
        x, w, _pair(stride), padded, rhs_dilation=_pair(dilation), feature_group_count=groups
    )
    return y if b is None else y + b[:, None, None]


def max_pool2d(a: Tensor, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """Take the maximum over windows of the last two axes."""
    before = (1,) * (a.ndim - 2)
    window, steps = (*before, *_pair(size)), (*before, *_pair(size if stride is None else stride))
    padded = [*((0, 0) for _ in before), *((n, n) for n in _pair(padding))]
    return jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, window, steps, padded)


def avg_pool2d(a: Tensor, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """Average over windows of the last two axes; padding counts."""
    before = (1,) * (a.ndim - 2)
    window, steps = (*before, *_pair(size)), (*before, *_pair(size if stride is None else stride))
    padded = [*((0, 0) for _ in before), *((n, n) for n in _pair(padding))]
    return jax.lax.reduce_window(a, 0.0, jax.lax.add, window, steps, padded) / (window[-2] * window[-1])


def squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum (f - t)^2 over each sample."""
    lost = jnp.square(f - t)
    return _reduced(jnp.sum(lost, axis=_others(lost)), reduction)


def mean_squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Average (f - t)^2 over each sample."""
    lost = jnp.square(f - t)
    return _reduced(jnp.mean(lost, axis=_others(lost)), reduction)


def absolute_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum |f - t| over each sample."""
    lost = jnp.abs(f - t)
    return _reduced(jnp.sum(lost, axis=_others(lost)), reduction)


def huber(f: Tensor, t: Tensor, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """Sum a parabola up to ``delta``, a straight line beyond, over each sample."""
    d = f - t
    near = jnp.clip(d, -delta, delta)
    lost = near * (d - near / 2)
    return _reduced(jnp.sum(lost, axis=_others(lost)), reduction)


def hinge(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum max(0, 1 - t f) over each sample."""
    lost = jax.nn.relu(1 - t * f)
    return _reduced(jnp.sum(lost, axis=_others(lost)), reduction)


def binary_cross_entropy_with_logits(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum -t log sigmoid(f) - (1 - t) log sigmoid(-f) over each sample."""
    lost = -t * jax.nn.log_sigmoid(f) - (1 - t) * jax.nn.log_sigmoid(-f)
    return _reduced(jnp.sum(lost, axis=_others(lost)), reduction)


def softmax_cross_entropy(
    f: Tensor, t: Tensor | None = None, labels: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """Compute -sum_c t_c log softmax(f)_c, for labels or for target probabilities."""
    target = jax.nn.one_hot(labels, f.shape[-1], dtype=f.dtype) if t is None else t
    return _reduced(-jnp.sum(target * jax.nn.log_softmax(f), axis=-1), reduction)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "abs": jnp.abs,
    "absolute_error": absolute_error,
    "add": jnp.add,
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "broadcast_to": jnp.broadcast_to,
    "clip": clip,
    "concatenate": concatenate,
    "conv1d": conv1d,
    "conv2d": conv2d,
    "cos": jnp.cos,
    "cumsum": cumsum,
    "divide": jnp.divide,
    "dropout": dropout,
    "elu": jax.nn.elu,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "gelu": jax.nn.gelu,
    "hinge": hinge,
    "huber": huber,
    "layer_norm": layer_norm,
    "leaky_relu": jax.nn.leaky_relu,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": jax.nn.logsumexp,
    "matmul": jnp.matmul,
    "max": jnp.max,
    "max_pool2d": max_pool2d,
    "maximum": jnp.maximum,
    "mean": jnp.mean,
    "mean_squared_error": mean_squared_error,
    "min": jnp.min,
    "minimum": jnp.minimum,
    "multiply": jnp.multiply,
    "negative": jnp.negative,
    "norm": jnp.linalg.vector_norm,
    "pad": pad,
    "power": jnp.power,
    "prod": jnp.prod,
    "reciprocal": jnp.reciprocal,
    "relu": jax.nn.relu,
    "reshape": jnp.reshape,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "slice": take_slice,
    "softmax": jax.nn.softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softplus": jax.nn.softplus,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "squared_error": squared_error,
    "stack": stack,
    "subtract": jnp.subtract,
    "sum": jnp.sum,
    "take": take,
    "tanh": jnp.tanh,
    "transpose": jnp.transpose,
    "where": where,
}


# A graph is run once: XLA takes 0.3 s to compile one, on average, which then runs for 1 ms. It takes 60 ms
# without optimisation and without the emitters that lower fused loops through MLIR; not splitting a module of
# some twenty small functions saves 20 ms more.
_HASTY: Mapping[str, int | bool] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@cache
def hasty_options() -> Mapping[str, int | bool]:
    """Return the options with which XLA compiles soonest, of which each version knows others."""
    return {name: value for name, value in _HASTY.items() if _knows(name, value)}


def _knows(name: str, value: int | bool) -> bool:
    try:
        jax.jit(jnp.negative).lower(0.0).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:  # "No such compile option"
        return False
    return True


class JaxEngine(Adapter):
    """JAX, by ``jax.vjp``.

    Args:
        compiled: whether ``jax.jit`` compiles each graph as a whole, with as few optimisations as XLA can do
            with. For many small graphs, each different, that is several times faster than an operation at a
            time.
    """

    name = "JAX"
    complex_numbers = True
    operations = OPERATIONS
    language = Language(
        preamble="import jax\nimport jax.numpy as jnp\nimport numpy as np\n"
        'jax.config.update("jax_enable_x64", True)',
        leaf="{name} = jnp.array({array})",
        gradient="jax.grad(f, {position})({leaves})",
        modules={"jnp": jnp, "jnp.linalg": jnp.linalg, "jax.nn": jax.nn},
        functional=True,
    )

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled

    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Pull back a cotangent of ones; complex gradients are conjugated, as PyTorch has them."""

        def both(arrays: Leaves) -> tuple[Tensor, Mapping[str, Tensor]]:
            output, pull_back = jax.vjp(function, arrays)
            return output, pull_back(jnp.ones_like(output))[0]

        arrays = jax.device_put(dict(leaves))  # jnp.asarray compiles for each new shape
        run: Callable[[Leaves], tuple[Tensor, Mapping[str, Tensor]]] = both
        if self.compiled:
            run = jax.jit(both).lower(arrays).compile(compiler_options=dict(hasty_options()))
        output, gradients = run(arrays)
        return output, {name: np.conj(gradient) for name, gradient in gradients.items()}


engine = JaxEngine()
compiled_engine = JaxEngine(compiled=True)
