"""micrograd as an engine: its scalars in NumPy's object arrays, which add, multiply and sum them in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from micrograd.engine import Value

from gradcheck.engines.adapter import Adapter, Array, Leaves
from gradcheck.engines.snippets import Language

Tensor = Any  # a NumPy array whose entries are Values
Axis = int | tuple[int, ...] | None


def _each(function: Callable[[Any], Any], a: Tensor) -> Tensor:
    return np.asarray(np.frompyfunc(function, 1, 1)(a), dtype=object)


def _mean_of(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    total = np.sum(a, axis=axis, keepdims=keepdims)
    return total * (np.size(total) / np.size(a))


def _reduced(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return np.sum(per_sample) if reduction == "sum" else _mean_of(per_sample)


def _per_sample(lost: Tensor, reduce: Callable[..., Tensor]) -> Tensor:
    others = tuple(range(1, np.ndim(lost)))
    return reduce(lost, axis=others) if others else lost


def relu(a: Tensor) -> Tensor:
    """Apply micrograd's only activation."""
    return _each(Value.relu, a)


def square(a: Tensor) -> Tensor:
    """Raise to the power 2."""
    return a**2


def sqrt(a: Tensor) -> Tensor:
    """Raise to the power 1/2."""
    return a**0.5


def reciprocal(a: Tensor) -> Tensor:
    """Raise to the power -1."""
    return a**-1


def where(a: Tensor, b: Tensor, condition: Array) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere."""
    return np.where(condition, a, b)


def total(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum."""
    return np.sum(a, axis=axis, keepdims=keepdims)


def mean(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average."""
    return _mean_of(a, axis, keepdims)


def prod(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Multiply."""
    return np.prod(a, axis=axis, keepdims=keepdims)


def cumsum(a: Tensor, axis: int = 0) -> Tensor:
    """Sum what came before."""
    return np.cumsum(a, axis=axis)


def norm(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute the 2-norm."""
    return np.sum(a**2, axis=axis, keepdims=keepdims) ** 0.5


def take_slice(a: Tensor, slices: Sequence[tuple[int | None, int | None, int | None]]) -> Tensor:
    """Slice the leading axes."""
    return a[tuple(slice(*triple) for triple in slices)]


def take(a: Tensor, indices: Array, axis: int = 0) -> Tensor:
    """Take entries along an axis."""
    return np.take(a, indices, axis=axis)


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around."""
    if len(width) == 0:  # NumPy takes no array without axes
        return a
    return np.pad(a, width, constant_values=value)


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return np.concatenate(arrays, axis)


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return np.stack(arrays, axis)


def dropout(a: Tensor, mask: Array, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest."""
    return np.multiply(a, mask / (1 - rate))


def squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum (f - t)^2 over each sample."""
    return _reduced(_per_sample(np.subtract(f, t) ** 2, np.sum), reduction)


def mean_squared_error(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Average (f - t)^2 over each sample."""
    return _reduced(_per_sample(np.subtract(f, t) ** 2, _mean_of), reduction)


def hinge(f: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """Sum max(0, 1 - t f) over each sample."""
    return _reduced(_per_sample(relu(np.subtract(1, np.multiply(t, f))), np.sum), reduction)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "add": np.add,
    "broadcast_to": np.broadcast_to,
    "concatenate": concatenate,
    "cumsum": cumsum,
    "divide": np.divide,
    "dropout": dropout,
    "hinge": hinge,
    "matmul": np.matmul,
    "mean": mean,
    "mean_squared_error": mean_squared_error,
    "multiply": np.multiply,
    "negative": np.negative,
    "norm": norm,
    "pad": pad,
    "prod": prod,
    "reciprocal": reciprocal,
    "relu": relu,
    "reshape": np.reshape,
    "slice": take_slice,
    "sqrt": sqrt,
    "square": square,
    "squared_error": squared_error,
    "stack": stack,
    "subtract": np.subtract,
    "sum": total,
    "take": take,
    "transpose": np.transpose,
    "where": where,
}


class MicrogradEngine(Adapter):
    """micrograd, by ``Value.backward``, one scalar at a time."""

    name = "micrograd"
    operations = OPERATIONS
    language = Language(
        preamble="import numpy as np\nfrom micrograd.engine import Value",
        leaf="{name} = np.asarray(np.frompyfunc(Value, 1, 1)({array}), dtype=object)",
        backward="np.sum({output}).backward()",
        gradient="np.frompyfunc(lambda v: v.grad, 1, 1)({name})",
        modules={"np": np},
    )

    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Run backward from the sum of the output's elements."""
        scalars = {name: _each(Value, leaf) for name, leaf in leaves.items()}
        output = function(scalars)
        loss = np.sum(output)
        if isinstance(loss, Value):  # of no entries, the sum is a plain 0
            loss.backward()
        return _read(output, "data"), {name: _read(leaf, "grad") for name, leaf in scalars.items()}


def _read(a: Tensor, attribute: str) -> Array:
    """Read one attribute of every entry; what no operation made a Value of is a constant."""
    flat = np.asarray(a, dtype=object).flat
    entries = [getattr(v, attribute) if isinstance(v, Value) else (v, 0.0)[attribute == "grad"] for v in flat]
    return np.array(entries, dtype=float).reshape(np.shape(a))


engine = MicrogradEngine()
