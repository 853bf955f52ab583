"""Operations that move entries about, with every attribute that they have."""

from __future__ import annotations

import math

from cases.choices import Array, Shape, permutation
from cases.operands import MOST_AXES, Growing, chosen, draw_shape, leaf, of_shape, operand
from cases.plants.planting import Planting


def _transpose(b: Growing) -> str:
    if (
        b.edges and b.choices.boolean()
    ):  # an order that is its own inverse hides that the inverse is forgotten
        a = operand(b, least=3)
        last = len(b.shape(a)) - 1
        return b.apply("transpose", a, axes=(last, *range(last)))
    a = operand(b)
    axes = None if b.choices.boolean(0.3) else permutation(b.choices, len(b.shape(a)))
    if axes and b.rarely(0.3):
        axes = (axes[0] - len(axes), *axes[1:])  # counted from the back
    return b.apply("transpose", a, axes=axes)


def _reshape(b: Growing) -> str:
    a = operand(b)
    return b.apply("reshape", a, shape=_factored(b, b.shape(a)))


def _factored(b: Growing, shape: Shape) -> Shape:
    """Return another shape for as many entries: flat, two neighbouring axes merged, or an axis added."""
    kind = b.choices.integer(0, 2)
    if kind == 1 and len(shape) > 1:
        i = b.choices.integer(0, len(shape) - 2)
        return (*shape[:i], shape[i] * shape[i + 1], *shape[i + 2 :])
    if kind == 2 and len(shape) < MOST_AXES:
        i = b.choices.integer(0, len(shape))
        return (*shape[:i], 1, *shape[i:])
    return (math.prod(shape),)


def _broadcast_to(b: Growing) -> str:
    a = operand(b, most=3)
    wide = tuple(b.choices.one_of(b.sizes) if n == 1 else n for n in b.shape(a))
    extra = tuple(b.choices.one_of(b.sizes) for _ in range(b.choices.integer(0, MOST_AXES - len(wide))))
    return b.apply("broadcast_to", a, shape=(*extra, *wide))


def _concatenate(b: Growing) -> str:
    a = operand(b, least=1)
    shape = b.shape(a)
    axis = b.choices.integer(0, len(shape) - 1)

    def fits(value: Array) -> bool:
        other = value.shape
        return (
            len(other) == len(shape) and other[:axis] + other[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
        )

    def another() -> str:
        fresh = (*shape[:axis], b.choices.one_of(b.sizes), *shape[axis + 1 :])
        return chosen(b, fits, 0.4) or leaf(b, fresh)

    parts = [a, *(another() for _ in range(b.choices.integer(0, 3)))]
    if b.choices.boolean():
        parts.reverse()
    return b.apply("concatenate", *parts, axis=_either_end(b, axis, len(shape)))


def _stack(b: Growing) -> str:
    a = operand(b, most=3)
    shape = b.shape(a)
    parts = [a, *(of_shape(b, shape) for _ in range(b.choices.integer(0, 2)))]
    if b.choices.boolean():
        parts.reverse()
    axis = b.choices.integer(0, len(shape))
    return b.apply("stack", *parts, axis=_either_end(b, axis, len(shape) + 1))


def _either_end(b: Growing, axis: int, ndim: int) -> int:
    """Return the axis counted from the front or from the back."""
    return axis - ndim if b.rarely(0.25) else axis


def _slice(b: Growing) -> str:
    a = operand(b, least=1)
    shape = b.shape(a)
    count = b.choices.integer(1, len(shape))
    return b.apply("slice", a, slices=tuple(_triple(b, n) for n in shape[:count]))


def _triple(b: Growing, n: int) -> tuple[int | None, int | None, int | None]:
    """Return (start, stop, step) for an axis of n entries, at least one of which stays where there is one."""
    start = b.choices.integer(0, max(n - 1, 0))
    forms = (
        (start, None, None),
        (None, n - start, None),
        (None, None, 2),
        (start - n if n else None, None, 1),
        (None, None, -1),
    )
    return b.choices.one_of(forms)


def _take(b: Growing) -> str:
    a = operand(b, least=1, nonempty=True)
    shape = b.shape(a)
    axis = b.choices.integer(0, len(shape) - 1)
    wanted = draw_shape(b, 0, min(2, MOST_AXES + 1 - len(shape)))
    indices = b.choices.integers(wanted, 0, shape[axis] - 1)
    return b.apply("take", a, indices=indices, axis=_either_end(b, axis, len(shape)))


def _pad(b: Growing) -> str:
    a = operand(b)
    width = tuple((b.choices.integer(0, 1), b.choices.integer(0, 2)) for _ in b.shape(a))
    return b.apply("pad", a, width=width, value=b.choices.one_of((0.0, 1.5, -0.5)))


SHAPING: dict[str, Planting] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "concatenate": _concatenate,
    "stack": _stack,
    "slice": _slice,
    "take": _take,
    "pad": _pad,
}
