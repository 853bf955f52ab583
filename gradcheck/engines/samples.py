"""One row per operation: the shapes and attributes at which an engine's version of it is tried.

Each operation is tried where its shapes matter: broadcasting, axes, no axes, sizes 1 and 0. Values are drawn
so that all entries differ and none is within reach of a kink; what happens at kinks is another question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reference_impl import Graph, Node

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_SPREAD = 0.35  # the values lie this far apart on average, around zero or above it


@dataclass(frozen=True)
class Sample:
    """Shapes of the inputs, attributes, and from where on the inputs' values lie (None: around zero)."""

    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    above: float | None = None

    def graph(self, operation: str) -> Graph:
        """Return the graph of this one operation."""
        leaves = {f"x{i}": shape for i, shape in enumerate(self.shapes)}
        return Graph({}, leaves, [Node("y", operation, tuple(leaves), self.attributes)], "y")

    def values(self, seed: int = 0) -> dict[str, Array]:
        """Draw a value for each leaf: all entries differ, by a tenth of their spread at the least."""
        random = np.random.default_rng([seed, len(self.shapes), sum(map(len, self.shapes))])
        count = sum(int(np.prod(shape)) for shape in self.shapes)
        start = -count / 2 + 0.25 if self.above is None else self.above / _SPREAD + 0.5
        drawn = _SPREAD * (start + random.permutation(count) + random.uniform(-0.2, 0.2, count))
        parts = np.split(drawn, np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1])
        return {f"x{i}": parts[i].reshape(shape) for i, shape in enumerate(self.shapes)}


def _sample(*shapes: Shape, above: float | None = None, **attributes: Any) -> Sample:
    return Sample(shapes, attributes, above)


def _of_one(above: float | None = None, **attributes: Any) -> tuple[Sample, ...]:
    shapes: tuple[Shape, ...] = ((2, 3), (), (0, 2))
    return tuple(_sample(shape, above=above, **attributes) for shape in shapes)


def _of_two(above: float | None = None) -> tuple[Sample, ...]:
    pairs: tuple[tuple[Shape, Shape], ...] = (
        ((2, 3), (2, 3)),
        ((2, 3), (3,)),
        ((2, 1), (1, 3)),
        ((), (2,)),
        ((), ()),
        ((0, 2), (1, 2)),
    )
    return tuple(_sample(*pair, above=above) for pair in pairs)


def _reductions(empty: bool, above: float | None = None) -> tuple[Sample, ...]:
    samples = [
        _sample((2, 3), above=above),
        _sample((2, 3), above=above, axis=1),
        _sample((2, 3), above=above, axis=0, keepdims=True),
        _sample((2, 3, 2), above=above, axis=(0, -1)),
        _sample((2, 1, 3), above=above, axis=(2, 0), keepdims=True),
        _sample((), above=above),
        _sample((1,), above=above, axis=0),
    ]
    return (*samples, _sample((2, 0), axis=1)) if empty else tuple(samples)


def _losses(*more: Sample) -> tuple[Sample, ...]:
    return (
        _sample((4, 3), (4, 3)),
        _sample((4, 3), (4, 3), reduction="none"),
        _sample((4,), (4,), reduction="sum"),
        _sample((4, 2, 3), (1, 2, 3), reduction="none"),
        _sample((), ()),
        *more,
    )


_CONDITION = np.array([[True, False, True], [False, False, True]])
_INDICES = np.array([[2, 0], [2, 2]])

SAMPLES: Mapping[str, tuple[Sample, ...]] = {
    "abs": _of_one(),
    "absolute_error": _losses(),
    "add": _of_two(),
    "avg_pool2d": (
        _sample((1, 2, 4, 5), size=2),
        _sample((2, 1, 5, 4), size=(3, 2), stride=(1, 2), padding=1),
    ),
    "batch_norm": (
        _sample((4, 3), (3,), (3,)),
        _sample((2, 3, 2), (3,), (3,), epsilon=0.1),
        _sample((2, 2, 2, 3), (2,), (2,)),
    ),
    "binary_cross_entropy_with_logits": _losses(),
    "broadcast_to": (_sample((3,), shape=(2, 3)), _sample((2, 1), shape=(4, 2, 3)), _sample((), shape=(2,))),
    "clip": (
        *_of_one(minimum=-0.31, maximum=0.62),
        _sample((2, 3), minimum=-0.31),
        _sample((2, 3), maximum=0.3),
    ),
    "concatenate": (
        _sample((2, 3), (1, 3)),
        _sample((2, 3), (2, 1), (2, 0), axis=1),
        _sample((2,), axis=-1),
    ),
    "conv1d": (
        _sample((2, 2, 5), (3, 2, 2)),
        _sample((1, 4, 6), (2, 2, 3), (2,), stride=2, padding=1, dilation=2, groups=2),
    ),
    "conv2d": (
        _sample((2, 2, 4, 3), (2, 2, 2, 2)),
        _sample((1, 2, 5, 6), (4, 1, 2, 3), (4,), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
    ),
    "cos": _of_one(),
    "cumsum": (_sample((2, 3)), _sample((2, 3), axis=1), _sample((2, 0, 2), axis=-2)),
    "divide": (*_of_two(above=0.5), _sample((2, 3), (2, 3))),
    "dropout": (
        _sample((2, 3), mask=_CONDITION),
        _sample((4, 2, 3), mask=_CONDITION, rate=0.1),
        _sample((), mask=np.array(True)),
        _sample((2,), mask=np.array(False)),
    ),
    "elu": (*_of_one(), _sample((2, 3), alpha=0.3)),
    "exp": _of_one(),
    "expm1": _of_one(),
    "gelu": _of_one(),
    "hinge": _losses(),
    "huber": (*_losses(), _sample((4, 3), (4, 3), delta=0.2)),
    "layer_norm": (
        _sample((2, 3), (3,), (3,)),
        _sample((2, 3, 2), (3, 2), (3, 2), axes=2, epsilon=0.1),
        _sample((4,), (4,), (4,)),
    ),
    "leaky_relu": (*_of_one(), _sample((2, 3), negative_slope=0.3)),
    "log": _of_one(above=0.1),
    "log1p": _of_one(above=-0.9),
    "log_softmax": (_sample((2, 3)), _sample((2, 3), axis=0), _sample((2, 1))),
    "logsumexp": _reductions(empty=False),
    "matmul": (
        _sample((2, 3), (3, 4)),
        _sample((3,), (3,)),
        _sample((2, 3), (3,)),
        _sample((3,), (3, 2)),
        _sample((2, 1, 2, 3), (4, 3, 2)),
        _sample((2, 0), (0, 3)),
    ),
    "max": _reductions(empty=False),
    "max_pool2d": (
        _sample((1, 2, 4, 5), size=2),
        _sample((2, 1, 5, 4), size=(3, 2), stride=(1, 2), padding=1),
    ),
    "maximum": _of_two(),
    "mean": _reductions(empty=False),
    "mean_squared_error": _losses(),
    "min": _reductions(empty=False),
    "minimum": _of_two(),
    "multiply": _of_two(),
    "negative": _of_one(),
    "norm": _reductions(empty=False),
    "pad": (
        _sample((2, 3), width=((1, 0), (0, 2))),
        _sample((2,), width=((2, 1),), value=0.7),
        _sample((0, 2), width=((1, 1), (0, 0))),
    ),
    "power": _of_two(above=0.2),
    "prod": _reductions(empty=True),
    "reciprocal": (*_of_one(), *_of_one(above=0.3)),
    "relu": _of_one(),
    "reshape": (_sample((2, 3), shape=(3, 2)), _sample((1,), shape=()), _sample((2, 0), shape=(0, 5))),
    "sigmoid": _of_one(),
    "silu": _of_one(),
    "sin": _of_one(),
    "slice": (
        _sample((4, 3), slices=((1, 3, None),)),
        _sample((5, 3), slices=((None, None, 2), (None, None, -1))),
        _sample((5, 2), slices=((4, None, -2), (-1, None, None))),
        _sample((3,), slices=((2, 1, None),)),
    ),
    "softmax": (_sample((2, 3)), _sample((2, 3), axis=0), _sample((2, 1))),
    "softmax_cross_entropy": (
        _sample((4, 3), labels=np.array([2, 0, 0, 1])),
        _sample((4, 3), labels=np.array([2, 0, 0, 1]), reduction="none"),
        _sample((3,), labels=np.array(1)),
        _sample((4, 3), (4, 3), reduction="sum"),
        _sample((4, 3), (4, 3), above=0.1),
    ),
    "softplus": _of_one(),
    "sqrt": _of_one(above=0.1),
    "square": _of_one(),
    "squared_error": _losses(),
    "stack": (_sample((2, 3), (2, 3)), _sample((2,), (2,), (2,), axis=-1), _sample((), ())),
    "subtract": _of_two(),
    "sum": _reductions(empty=True),
    "take": (
        _sample((4, 2), indices=np.array([3, 1, 1, -1])),
        _sample((2, 3), indices=_INDICES, axis=1),
        _sample((2, 3), indices=np.array(1), axis=-1),
        _sample((2, 3), indices=np.array([], dtype=np.int64)),
    ),
    "tanh": _of_one(),
    "transpose": (_sample((2, 3)), _sample((2, 3, 4), axes=(2, 0, 1)), _sample(())),
    "where": (
        _sample((2, 3), (2, 3), condition=_CONDITION),
        _sample((3,), (2, 1), condition=_CONDITION),
        _sample((), (), condition=np.array(True)),
    ),
}
