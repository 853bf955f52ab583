"""Shapes without values: what a graph checks when it is built.

The shape of an operation's output is by definition that of its rule's forward, so that is what runs, on
ones that take no memory. Only where that would cost as much as real work is the shape worked out from the
input shapes, and a test holds these few functions to the rules that they speak for. Adding an operation
needs no row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from inspect import signature
from typing import Any

import numpy as np

from reference_impl.errors import ShapeMismatch, UnknownOperation, WrongArity, WrongAttribute, did_you_mean
from reference_impl.rules import RULES, Rule
from reference_impl.rules.activations import ACTIVATIONS
from reference_impl.rules.axes import Axis, positions
from reference_impl.rules.elementwise import ELEMENTWISE
from reference_impl.rules.rule import Array

Shape = tuple[int, ...]

_ONE = np.ones(())


def infer_shape(operation: str, shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    """Return the shape of an operation's output for inputs of the given shapes.

    Raises:
        UnknownOperation, WrongArity, WrongAttribute, ShapeMismatch: where there is no such output.
    """
    rule = RULES.get(operation)
    if rule is None:
        raise UnknownOperation(f"Unknown operation {operation!r}.{did_you_mean(operation, RULES)}")
    least, most = rule.arity
    if len(shapes) < least or (most is not None and len(shapes) > most):
        raise WrongArity(f"Expected {_count(least, most)} for {operation} but got {len(shapes)}.")
    _check_names(rule, attributes)
    try:
        return _SHAPES.get(operation, partial(_by_running, rule))(*shapes, **attributes)
    except ValueError as error:
        raise ShapeMismatch(
            f"{operation} cannot take {_given(shapes, attributes)}: {_clause(error)}."
        ) from error
    except (TypeError, AttributeError, LookupError) as error:
        raise WrongAttribute(
            f"{operation} cannot take {_given(shapes, attributes)}: {_clause(error)}."
        ) from error


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} input{'s' * (least != 1)}"
    return f"{least if least == most else f'{least} to {most}'} input{'s' * (most != 1)}"


def _check_names(rule: Rule, attributes: Mapping[str, Any]) -> None:
    needed, known = _attributes(rule.name)
    for name in attributes:
        if name not in known:
            hint = did_you_mean(name, known) or f" It has {', '.join(known) or 'none'}."
            raise WrongAttribute(f"{rule.name} has no attribute {name!r}.{hint}")
    for name in needed:
        if name not in attributes:
            raise WrongAttribute(
                f"{rule.name} needs the attribute {name!r}. Add it to the node's attributes."
            )


@cache
def _attributes(operation: str) -> tuple[list[str], list[str]]:
    """Return the names of the attributes that an operation must be given, and of all that it may be given."""
    parameters = signature(RULES[operation].vjp).parameters.values()
    known = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p.name for p in known if p.default is p.empty], [p.name for p in known]


def _given(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> str:
    listed = "".join(f", {name}={_briefly(value)}" for name, value in attributes.items())
    return f"{'inputs' if len(shapes) > 1 else 'an input'} of shape {' and '.join(map(str, shapes))}{listed}"


def _clause(error: Exception) -> str:
    return str(error).rstrip(".")


def _briefly(value: Any) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def _ones(shape: Shape) -> Array:
    return np.ndarray(shape, _ONE.dtype, _ONE, strides=(0,) * len(shape))


def _by_running(rule: Rule, *shapes: Shape, **attributes: Any) -> Shape:
    with np.errstate(all="ignore"):
        return np.shape(rule.forward(*map(_ones, shapes), **attributes))


def _elementwise(rule: Rule, *shapes: Shape, **attributes: Any) -> Shape:
    """Run the rule on one entry, with as many axes, for its attributes' sake; the shapes just broadcast."""
    if attributes:
        shapes += (_by_running(rule, *((1,) * len(shape) for shape in shapes), **attributes),)
    return _broadcast(*shapes)


def _broadcast(*shapes: Shape) -> Shape:
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError("they do not broadcast against each other") from None


def _without_samples(rule: Rule, *shapes: Shape, **attributes: Any) -> Shape:
    """Run the rule on a batch of no samples, which does no arithmetic."""
    first, *others = shapes
    if not first:
        return _by_running(rule, *shapes, **attributes)
    return first[:1] + _by_running(rule, (0, *first[1:]), *others, **attributes)[1:]


def _matmul(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        raise ValueError("each needs at least one axis")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ValueError(f"the sizes {a[-1]} and {inner} that meet differ")
    return _broadcast(a[:-2], b[:-2]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())


def _reduced(a: Shape, *, axis: Axis = None, keepdims: bool = False) -> Shape:
    gone = positions(axis, len(a))
    if keepdims:
        return tuple(1 if i in gone else n for i, n in enumerate(a))
    return tuple(n for i, n in enumerate(a) if i not in gone)


def _extremum(a: Shape, *, axis: Axis = None, keepdims: bool = False) -> Shape:
    if 0 in a and any(a[i] == 0 for i in positions(axis, len(a))):
        raise ValueError("no entries to choose from")
    return _reduced(a, axis=axis, keepdims=keepdims)


_BATCHED = ("conv1d", "conv2d", "max_pool2d", "avg_pool2d")
_SHAPES: Mapping[str, Callable[..., Shape]] = {
    **{rule.name: partial(_elementwise, rule) for rule in (*ELEMENTWISE, *ACTIVATIONS)},
    **{name: partial(_without_samples, RULES[name]) for name in _BATCHED},
    "matmul": _matmul,
    **dict.fromkeys(("sum", "mean", "prod", "norm", "logsumexp"), _reduced),
    **dict.fromkeys(("max", "min"), _extremum),
}
