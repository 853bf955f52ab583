"""What an operation is applied to: a value that the graph has already, or a new leaf.

How existing values are preferred is what shapes a graph. Taking the latest makes chains, taking the first
makes fans, taking what nothing uses yet closes diamonds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from cases.builder import LARGEST, Builder, Unsuitable
from cases.choices import Array, Choices, Shape
from cases.clearance import LEAST_DIVISOR, is_clear

MOST_AXES = 4
STYLES = ("mixed", "chain", "fan")
FAR = 1000.0  # e to that overflows
_OFTEN, _EMPTY, _FRESH = 0.4, 0.1, 0.8
_GOLDEN = 0.6180339887498949


class Growing(Builder):
    """A builder with a taste: the sizes that its shapes are made of, and which values it likes to use.

    With ``edges`` it likes what programs seldom do and rules have to get right all the same.
    """

    def __init__(self, choices: Choices, *, edges: bool = False, analytic: bool = False) -> None:
        super().__init__(choices, analytic=analytic)
        self.edges = edges
        self.start = 0  # of the values within reach

    def settle(self) -> None:
        """Choose the taste. Few sizes make many values that fit together."""
        self.sizes = (*(self.choices.integer(1, 4) for _ in range(3)), 1)
        self.style = self.choices.one_of(STYLES)

    def start_anew(self) -> None:
        """Choose another taste, and leave alone what is there already."""
        self.start = len(self.values)
        self.settle()
        self.sizes = (*(max(n, 2) for n in self.sizes[:-1]), 1)  # of axes of size 1 nobody sees the order

    def rarely(self, probability: float) -> bool:
        """Return True with the given probability, but often where edges are wanted."""
        return self.choices.boolean(max(probability, _OFTEN) if self.edges else probability)


def operand(b: Growing, least: int = 0, most: int = MOST_AXES, nonempty: bool = False) -> str:
    """Return a value with a number of axes from least to most; ``nonempty`` asks for at least one entry."""

    def fits(value: Array) -> bool:
        return least <= value.ndim <= most and (value.size > 0 or not nonempty)

    return chosen(b, fits) or leaf(b, _operand_shape(b, least, most, nonempty))


def _operand_shape(b: Growing, least: int, most: int, nonempty: bool) -> Shape:
    shape = draw_shape(b, least, most)
    if nonempty or not shape or not b.edges or not b.choices.boolean(_EMPTY):
        return shape
    axis = b.choices.integer(0, len(shape) - 1)
    return (*shape[:axis], 0, *shape[axis + 1 :])


def chosen(b: Growing, fits: Callable[[Array], bool], freshness: float = 0.15) -> str | None:
    """Return an existing value that fits, None where there is none, or a new leaf is to be made."""
    found = [name for name, value in islice(b.values.items(), b.start, None) if fits(value)]
    if b.style == "chain" and b.choices.boolean(0.9):
        ends = [name for name in b.loose_ends() if name in found]
        if ends:
            return ends[-1]
    if not found or b.choices.boolean(max(freshness, _FRESH) if b.edges else freshness):
        return None
    if b.style == "fan" and b.choices.boolean(0.5):
        return found[0]
    unused = [name for name in found if name in b.heads]
    return b.choices.one_of(unused if unused and b.choices.boolean(0.6) else found)


def leaf(b: Growing, shape: Shape, low: float = -2.0, high: float = 2.0) -> str:
    """Return a new leaf of the given shape, an input or a parameter."""
    kind = b.input if b.choices.boolean() else b.parameter
    return kind(_entries(b, shape, low, high))


def _entries(b: Growing, shape: Shape, low: float, high: float) -> Array:
    """Return anything between the bounds; at times simple numbers, zeros and repetitions among them."""
    if b.rarely(0.15):
        return b.choices.integers(shape, math.ceil(2 * low), math.floor(2 * high)) / 2
    return b.choices.array(shape, low, high)


def weight(b: Growing, shape: Shape, low: float = -1.5, high: float = 1.5) -> str:
    """Return a parameter of the given shape; half the time one that is in use already, if there is one."""
    shared = [name for name, value in b.parameters.items() if value.shape == shape]
    if shared and b.choices.boolean():
        return b.choices.one_of(shared)
    return b.parameter(b.choices.array(shape, low, high))


def of_shape(b: Growing, shape: Shape) -> str:
    """Return a value of exactly this shape, made by broadcasting where there is none."""
    found = chosen(b, lambda value: value.shape == shape)
    if found is not None:
        return found
    fresh = leaf(b, shape)
    other = chosen(b, lambda value: value.size > 0 and _broadcast(shape, value.shape) == shape, 0.3)
    if other is None:
        return fresh
    return tame(b, b.apply(b.choices.one_of(("add", "multiply")), fresh, other))


def partner(b: Growing, name: str) -> str:
    """Return a value that broadcasts with this one: itself, another one, or a new leaf."""
    shape = b.shape(name)
    if b.choices.boolean(0.1):
        return name

    def fits(value: Array) -> bool:
        together = _broadcast(shape, value.shape)
        return together is not None and math.prod(together) <= b.most_entries

    return chosen(b, fits, 0.3) or leaf(b, compatible_shape(b, shape))


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    head = len(longer) - len(shorter)
    for m, n in zip(longer[head:], shorter, strict=True):
        if m != n and m != 1 and n != 1:
            return None
    tail = (n if m == 1 else m for m, n in zip(longer[head:], shorter, strict=True))
    return (*longer[:head], *tail)


def draw_shape(b: Growing, least: int = 0, most: int = MOST_AXES) -> Shape:
    """Return a shape with a number of axes from least to most."""
    shape = tuple(b.choices.one_of(b.sizes) for _ in range(b.choices.integer(least, most)))
    return shape if math.prod(shape) <= b.most_entries else (*(1 for _ in shape[1:]), shape[-1])


def compatible_shape(b: Growing, shape: Shape) -> Shape:
    """Return a shape that broadcasts with this one: leading axes dropped or added, others of size 1."""
    kept = shape if b.edges and b.choices.boolean() else shape[b.choices.integer(0, len(shape)) :]
    fitted = tuple(
        b.choices.one_of(b.sizes) if n == 1 and b.rarely(0.3) else 1 if b.rarely(0.25) else n for n in kept
    )
    if len(kept) == len(shape) < MOST_AXES and b.rarely(0.1):
        return (b.choices.one_of(b.sizes), *fitted)
    return fitted


def tame(b: Growing, name: str) -> str:
    """Return a value, scaled down where it grew too large."""
    return name if b.largest(name) <= LARGEST else bounded(b, name, LARGEST / 4)


def bounded(b: Growing, name: str, largest: float) -> str:
    """Return a value no larger than ``largest``: scaled down by a power of two where it is."""
    found = b.largest(name)
    if found <= largest:
        return name
    scale = 1 - math.frexp(found / largest)[1]
    return b.apply("multiply", name, b.constant(math.ldexp(1.0, scale - 1)))


def unsaturated(b: Growing, name: str) -> str:
    """Return a value small enough that a sigmoid or softmax of it still has a gradient to speak of."""
    return bounded(b, name, 4.0)


def logits(b: Growing, name: str) -> str:
    """Return an unsaturated value, or where edges are wanted at times one so large that e to it overflows."""
    if b.edges and b.choices.boolean(_OFTEN):
        return b.apply("add", name, b.constant(b.choices.one_of((FAR, -FAR))))
    return unsaturated(b, name)


def positive(b: Growing, name: str) -> str:
    """Return a value bounded away below by the least divisor: this one, or a guard made from it."""
    value = b.values[name]
    if not value.size or value.min() >= LEAST_DIVISOR:
        return name
    guard = b.choices.integer(0, 3)
    if guard == 0:
        return b.apply("add", b.apply("square", name), b.constant(0.5))
    if guard == 1:
        return b.apply("add", b.apply("softplus", unsaturated(b, name)), b.constant(0.5))
    if guard == 2:
        return b.apply("add", b.apply("sin", name), b.constant(2.0))
    return b.apply("exp", b.apply("tanh", unsaturated(b, name)))


def divisor(b: Growing, name: str) -> str:
    """Return a value bounded away from zero: this one, of either sign, or a guard of one sign."""
    value = b.values[name]
    if not value.size or np.abs(value).min() >= LEAST_DIVISOR:
        return name
    guarded = positive(b, name)
    return b.apply("negative", guarded) if b.choices.boolean(0.3) else guarded


def clear_of_kinks(b: Builder, operation: str, name: str, *others: str, **attributes: Any) -> str:
    """Apply an operation; where its operand lies at a kink, a tie or a pole, move it by a new leaf first.

    Raises:
        Unsuitable: where no shift that was tried is far enough.
    """
    value, rest = b.values[name], [b.values[other] for other in others]
    if is_clear(operation, [value, *rest], attributes):
        return b.apply(operation, name, *others, **attributes)
    for attempt in range(8):
        shift = scattered(value.shape, attempt)
        if is_clear(operation, [value + shift, *rest], attributes):
            moved = b.apply("add", name, b.input(shift))
            return b.apply(operation, moved, *others, **attributes)
    raise Unsuitable(operation)


def scattered(shape: Shape, attempt: int) -> Array:
    """Return numbers between -1.5 and 1.5, evenly scattered (golden-ratio sequence), no two alike."""
    k = np.arange(1, math.prod(shape) + 1)
    points: Array = ((k * _GOLDEN + attempt * 0.2360679775) % 1.0) * 3.0 - 1.5
    return points.reshape(shape)
