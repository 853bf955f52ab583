"""Points at which every rule is tested, as rows: an operation, how its inputs are drawn, its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator], Array]


@dataclass(frozen=True)
class Row:
    """One point: the operation's name, how each input is drawn, and the attributes."""

    operation: str
    draws: tuple[Draw, ...]
    attributes: Mapping[str, Any]

    def inputs(self, dtype: Any, seed: int = 0) -> list[Array]:
        """Draw the inputs; complex ones get an imaginary part of the same kind."""
        rng = np.random.default_rng(seed)
        if np.issubdtype(dtype, np.complexfloating):
            return [np.asarray(d(rng) + 0.5j * normal(rng, d(rng).shape), dtype) for d in self.draws]
        return [np.asarray(d(rng), dtype) for d in self.draws]

    def __str__(self) -> str:
        shapes = [d(np.random.default_rng(0)).shape for d in self.draws]
        options = ",".join(f"{k}={v}" for k, v in self.attributes.items() if not isinstance(v, np.ndarray))
        return f"{self.operation}{shapes}{options}".replace(" ", "")


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape))


def at(*values: Any) -> Draw:
    """Draw exactly these values, whatever the generator."""
    return lambda rng: np.array(values[0] if len(values) == 1 else values, dtype=np.float64)


def positive(*shape: int) -> Draw:
    return lambda rng: 0.2 + np.abs(normal(rng, shape))


def nonzero(*shape: int) -> Draw:
    def draw(rng: np.random.Generator) -> Array:
        a = normal(rng, shape)
        return np.asarray(a + np.copysign(0.3, a))

    return draw


def any_of(*shape: int) -> Draw:
    return lambda rng: normal(rng, shape)


def unit(*shape: int) -> Draw:
    """Draw probabilities."""
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def signs(*shape: int) -> Draw:
    return lambda rng: np.asarray(rng.choice([-1.0, 1.0], shape))


def row(operation: str, *draws: tuple[int, ...] | Draw, **attributes: Any) -> Row:
    """Make a row; a shape stands for normal draws of that shape."""
    return Row(operation, tuple(d if callable(d) else any_of(*d) for d in draws), attributes)


SHAPES = [(), (1,), (3,), (2, 3), (2, 1, 3), (2, 1, 2, 2), (0,), (2, 0, 3)]
PAIRS = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3, 1), (1, 4)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((2, 1, 3), (4, 1)),
    ((1, 1), (3,)),
    ((1,), (1,)),
    ((0, 3), (1, 3)),
    ((2, 0), (2, 1)),
    ((), (0,)),
]
_MASK = np.random.default_rng(5).random

# fmt: off
UNARY = [
    "negative", "square", "exp", "expm1", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "silu", "gelu",
    "abs", "leaky_relu", "elu", "clip",
]
# fmt: on

ELEMENTWISE = [
    *(row(name, shape) for name in UNARY for shape in SHAPES),
    *(row(name, positive(*shape)) for name in ("sqrt", "log", "log1p") for shape in SHAPES),
    *(row("reciprocal", nonzero(*shape)) for shape in SHAPES),
    *(row(n, a, b) for n in ("add", "subtract", "multiply", "maximum", "minimum") for a, b in PAIRS),
    *(row("divide", a, nonzero(*b)) for a, b in PAIRS),
    *(row("power", positive(*a), b) for a, b in PAIRS),
    *(row("where", a, b, condition=np.asarray(_MASK(np.broadcast_shapes(a, b)) < 0.5)) for a, b in PAIRS),
    row("where", (2, 3), (2, 3), condition=np.array([True, False, True])),
    row("where", (2, 3), (2, 3), condition=np.array(True)),
    row("where", (3,), (), condition=np.array([[True], [False]])),
    row("leaky_relu", (2, 3), negative_slope=0.2),
    row("elu", (2, 3), alpha=0.5),
    row("clip", (3, 4), minimum=-0.5),
    row("clip", (3, 4), maximum=0.5),
    row("clip", (3, 4), minimum=-0.5, maximum=0.5),
    row("log1p", at(-0.5, 1e-12, -1e-12, 3.0)),
]

MATMUL_SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((4, 2, 3), (1, 3, 2)),
    ((1, 1), (1, 1)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((2, 3), (3, 0)),
    ((0,), (0,)),
    ((0, 2, 3), (3, 4)),
    ((2, 0, 3), (3, 2)),
]
LINEAR = [
    *(row("matmul", a, b) for a, b in MATMUL_SHAPES),
    row("conv1d", (2, 3, 7), (4, 3, 3)),
    row("conv1d", (2, 3, 7), (4, 3, 3), (4,)),
    row("conv1d", (2, 4, 9), (6, 2, 3), (6,), stride=2, padding=1, dilation=2, groups=2),
    row("conv1d", (1, 1, 1), (1, 1, 1)),
    row("conv1d", (0, 2, 5), (3, 2, 2), (3,)),
    row("conv1d", (2, 3, 6), (3, 1, 2), groups=3, padding=(1,)),
    row("conv2d", (2, 3, 5, 6), (4, 3, 3, 2)),
    row("conv2d", (2, 3, 5, 6), (4, 3, 3, 2), (4,), padding=1),
    row("conv2d", (2, 4, 7, 8), (6, 2, 2, 3), (6,), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=2),
    row("conv2d", (2, 3, 4, 4), (3, 1, 3, 3), groups=3, stride=2),
    row("conv2d", (1, 2, 3, 3), (1, 2, 3, 3)),
    row("conv2d", (2, 2, 4, 4), (3, 2, 1, 1), (3,)),
    row("conv2d", (0, 2, 4, 4), (3, 2, 2, 2), (3,)),
    row("conv2d", (2, 2, 5, 5), (2, 2, 2, 2), stride=3),
]

SHAPING = [
    *(row("transpose", shape) for shape in SHAPES),
    row("transpose", (2, 3, 4), axes=(1, 2, 0)),
    row("transpose", (2, 3, 4), axes=(-1, 0, -2)),
    row("reshape", (2, 3), shape=(3, 2)),
    row("reshape", (2, 3), shape=(-1,)),
    row("reshape", (), shape=(1, 1)),
    row("reshape", (1, 1), shape=()),
    row("reshape", (0, 3), shape=(3, 0, 2)),
    row("broadcast_to", (3,), shape=(2, 3)),
    row("broadcast_to", (2, 1, 3), shape=(5, 2, 4, 3)),
    row("broadcast_to", (), shape=(2, 2)),
    row("broadcast_to", (), shape=()),
    row("broadcast_to", (1, 3), shape=(0, 3)),
    row("concatenate", (2, 3), (1, 3), (4, 3)),
    row("concatenate", (2, 3), (2, 1), axis=1),
    row("concatenate", (2, 3), (2, 0), axis=-1),
    row("concatenate", (2,)),
    row("stack", (2, 3), (2, 3)),
    row("stack", (2, 3), (2, 3), (2, 3), axis=-1),
    row("stack", (2, 3), (2, 3), axis=1),
    row("stack", (), ()),
    row("stack", (0, 2), (0, 2), axis=1),
    row("slice", (5, 4), slices=((1, 4, 2),)),
    row("slice", (5, 4), slices=((None, None, -1), (-3, None, None))),
    row("slice", (5, 4), slices=((None, None, None), (2, 2, None))),
    row("slice", (5, 4), slices=()),
    row("slice", (), slices=()),
    row("slice", (5,), slices=((4, 0, -2),)),
    row("take", (4, 3), indices=np.array([0, 2, 0, 3, 0])),
    row("take", (4, 3), indices=np.array([[1, -1], [1, 1]])),
    row("take", (4, 3), indices=np.array([2, 0, 2]), axis=1),
    row("take", (2, 3, 4), indices=np.array([[0, 2], [2, 2]]), axis=-2),
    row("take", (4, 3), indices=np.array(2)),
    row("take", (4, 3), indices=np.array([], dtype=np.int64)),
    row("take", (4, 0), indices=np.array([1, 1])),
    row("pad", (2, 3), width=((1, 2), (0, 1))),
    row("pad", (2, 3), width=((0, 0), (3, 0)), value=2.5),
    row("pad", (), width=()),
    row("pad", (0, 2), width=((1, 1), (0, 0))),
]

REDUCED = [
    ((), {}),
    ((3,), {}),
    ((2, 3), {}),
    ((2, 3), {"axis": 0}),
    ((2, 3), {"axis": -1, "keepdims": True}),
    ((2, 3, 4), {"axis": (0, 2)}),
    ((2, 3, 4), {"axis": (-1, 0), "keepdims": True}),
    ((2, 3, 4), {"axis": 1}),
    ((2, 3), {"keepdims": True}),
    ((1, 3), {"axis": 0}),
    ((0, 3), {"axis": 1}),
    ((2, 3, 0), {"axis": (0, 1), "keepdims": True}),
]
EMPTIED = [((0, 3), {"axis": 0}), ((0,), {})]

REDUCTIONS = [
    *(
        row(n, s, **options)
        for n in ["sum", "mean", "prod", "max", "min", "logsumexp", "norm"]
        for s, options in REDUCED
    ),
    *(row(n, s, **options) for n in ("sum", "prod", "norm") for s, options in EMPTIED),
    row("cumsum", (3, 2)),
    row("prod", at([[0.0, 2.0, 3.0], [0.0, 5.0, 0.0]]), axis=1),
    row("prod", at([[0.0, 2.0, 3.0], [0.0, 5.0, 0.0]]), axis=0),
    row("prod", at([[0.0, 2.0, 3.0], [4.0, 5.0, -1.0]])),
    row("prod", at([[[0.0, 2.0], [3.0, 1.0]], [[0.0, 0.0], [1.0, 2.0]]]), axis=(0, 2), keepdims=True),
    *(
        row("cumsum", s, axis=i)
        for s, i in [((4,), 0), ((2, 3), -1), ((2, 3, 2), 1), ((0, 2), 0), ((2, 0), 1)]
    ),
]

NORMALISATION = [
    *(
        row(name, shape, axis=axis)
        for name in ("softmax", "log_softmax")
        for shape, axis in [((3,), -1), ((2, 3), 0), ((2, 3, 4), 1), ((2, 1), 1), ((0, 3), 1), ((2, 0), 1)]
    ),
    row("softmax", (2, 3, 4)),
    row("log_softmax", (2, 3, 4)),
    row("layer_norm", (2, 3, 5), (5,), (5,)),
    row("layer_norm", (2, 3, 5), (3, 5), (3, 5), axes=2, epsilon=1e-3),
    row("layer_norm", (4,), (4,), (4,)),
    row("layer_norm", (2, 1), (1,), (1,)),
    row("layer_norm", (0, 3), (3,), (3,)),
    row("batch_norm", (6, 3), (3,), (3,)),
    row("batch_norm", (2, 3, 4), (3,), (3,), epsilon=1e-3),
    row("batch_norm", (2, 3, 2, 2), (3,), (3,)),
    row("batch_norm", (4, 1, 2), (1,), (1,)),
    row("dropout", (3, 4), mask=_MASK((3, 4)) < 0.7, rate=0.3),
    row("dropout", (3, 4), mask=np.array([True, False, True, True])),
    row("dropout", (4,), mask=_MASK((3, 4)) < 0.5),
    row("dropout", (), mask=np.array(True), rate=0.0),
    row("dropout", (0, 2), mask=np.ones((0, 2), np.bool_)),
]

POOLING = [
    row("max_pool2d", (2, 3, 4, 6), size=2),
    row("max_pool2d", (2, 3, 5, 6), size=(3, 2), stride=(1, 2), padding=(1, 0)),
    row("max_pool2d", (1, 1, 5, 5), size=3, stride=1, padding=1),
    row("max_pool2d", (1, 1, 7, 7), size=2, stride=3),
    row("max_pool2d", (1, 2, 1, 1), size=1),
    row("max_pool2d", (2, 4, 5), size=2),
    row("max_pool2d", (0, 2, 4, 4), size=2),
    row("avg_pool2d", (2, 3, 4, 6), size=2),
    row("avg_pool2d", (2, 3, 5, 6), size=(3, 2), stride=(1, 2), padding=(1, 0)),
    row("avg_pool2d", (1, 1, 5, 5), size=3, stride=1, padding=1),
    row("avg_pool2d", (1, 1, 7, 7), size=2, stride=3),
    row("avg_pool2d", (3, 4, 5), size=2, padding=1),
    row("avg_pool2d", (0, 2, 4, 4), size=2),
]

TARGETS = {
    "squared_error": any_of,
    "mean_squared_error": any_of,
    "absolute_error": any_of,
    "huber": any_of,
    "hinge": signs,
    "binary_cross_entropy_with_logits": unit,
}
LOSSES = [
    *(
        row(name, shape, target(*shape), reduction=reduction)
        for name, target in TARGETS.items()
        for shape in [(), (4,), (3, 2), (2, 3, 2), (1, 1)]
        for reduction in ("none", "sum", "mean")
    ),
    *(row(name, (4,), target(4)) for name, target in TARGETS.items()),
    *(row(name, (0, 3), target(0, 3), reduction="sum") for name, target in TARGETS.items()),
    *(row(name, (0,), target(0), reduction="none") for name, target in TARGETS.items()),
    *(row(name, a, target(*b)) for name, target in TARGETS.items() for a, b in PAIRS[2:9]),
    row("huber", (3, 4), (3, 4), delta=0.3),
    row("huber", (3, 4), (3, 4), delta=2.0, reduction="sum"),
    *(
        row("softmax_cross_entropy", (4, 3), labels=np.array([0, 2, 2, 1]), reduction=r)
        for r in ("none", "sum", "mean")
    ),
    *(row("softmax_cross_entropy", (4, 3), unit(4, 3), reduction=r) for r in ("none", "sum", "mean")),
    row("softmax_cross_entropy", (3,), labels=np.array(1)),
    row("softmax_cross_entropy", (3,), unit(3), reduction="none"),
    row("softmax_cross_entropy", (2, 1), labels=np.array([0, 0])),
    row("softmax_cross_entropy", (0, 3), labels=np.array([], np.int64), reduction="sum"),
    row("softmax_cross_entropy", (0, 3), unit(0, 3), reduction="none"),
]

ROWS = [*ELEMENTWISE, *LINEAR, *SHAPING, *REDUCTIONS, *NORMALISATION, *POOLING, *LOSSES]


def at_each(rows: Sequence[Row]) -> Callable[[Callable[[Row], None]], Callable[[str], None]]:
    """Turn a check of one row into a test for each operation, over all its rows.

    One test for each row would spend most of its time in pytest. A failure is noted with its row.
    """

    def decorate(check: Callable[[Row], None]) -> Callable[[str], None]:
        @pytest.mark.parametrize("operation", dict.fromkeys(r.operation for r in rows))
        def test(operation: str) -> None:
            for r in rows:
                if r.operation == operation:
                    try:
                        check(r)
                    except Exception as error:
                        error.add_note(f"at {r}")
                        raise

        return test

    return decorate
