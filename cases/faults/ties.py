"""Wrong only exactly at a kink, a tie or a zero: 0/0, both branches counted, or all to each that ties.

None of these is a subgradient, so none is a matter of convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.choices import Array
from reference_impl import RULES
from reference_impl.rules.axes import keep_axes, spread, unbroadcast

Vjp = Callable[..., tuple[Array, ...]]
# Words, diagnosis, needs, vjp.
Row = tuple[str, str, str, Vjp]


def _scaled_where(operation: str, at: Callable[..., Array], factor: float) -> Vjp:
    """Return the right vjp with the first cotangent multiplied where a condition on the inputs holds."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
        first, *others = right(cotangent, output, inputs, **attributes)
        hit = np.broadcast_to(at(*inputs, **attributes), first.shape)
        return np.where(hit, factor * first, first), *others

    return vjp


def _nan_at_zero(operation: str) -> Row:
    at = _scaled_where(operation, lambda a, *others, **attributes: a == 0, math.nan)
    return "0/0 at zero", "non-finite", "zeros", at


def _both_branches(operation: str, at: Callable[..., Array], right_share: Callable[..., float]) -> Row:
    """At the place where two branches meet both are counted; ``right_share`` is the slope there."""
    right = RULES[operation].vjp

    def vjp(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
        (share,) = right(cotangent, output, inputs, **attributes)
        extra = np.where(at(*inputs), cotangent * right_share(**attributes), 0.0)
        return (share + extra,)

    return "both branches counted at zero", "masked", "zeros", vjp


def _one(**attributes: Any) -> float:
    return 1.0


def _both_operands(wins: Callable[[Array, Array], Array]) -> Row:
    def vjp(cotangent: Array, output: Any, inputs: Any) -> tuple[Array, ...]:
        a, b = inputs
        return unbroadcast(cotangent * wins(a, b), a.shape), unbroadcast(cotangent * wins(b, a), b.shape)

    return "all to both operands where they tie", "masked", "ties", vjp


def _every_winner(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
    (a,) = inputs
    axis = attributes.get("axis")
    winners = a == keep_axes(output, a.shape, axis)
    return (spread(cotangent, a.shape, axis) * winners,)


def _every_winner_in_window(
    cotangent: Array, output: Any, inputs: Any, *, size: Any, stride: Any = None, padding: Any = 0
) -> tuple[Array, ...]:
    """Go back through each window on its own; what the right rule gives the first winner, all get."""
    (a,) = inputs
    right = RULES["max_pool2d"].vjp
    geometry = {"size": size, "stride": stride, "padding": padding}
    total = np.zeros_like(a)
    for place in np.ndindex(output.shape):
        one = np.zeros_like(cotangent)
        one[place] = cotangent[place]
        (first,) = right(one, output, inputs, **geometry)
        reached = _window_of(a, output, place, **geometry) & (a == output[place])
        total += np.where(reached, cotangent[place], first * ~reached)
    return (total,)


def _window_of(a: Array, output: Array, place: tuple[int, ...], **geometry: Any) -> Array:
    """Return which entries of the image the window at one place sees: those that its mean depends on."""
    one = np.zeros_like(output)
    one[place] = 1.0
    (share,) = RULES["avg_pool2d"].vjp(one, output, [a], **geometry)
    reached: Array = share != 0
    return reached


def _norm(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
    (a,) = inputs
    with np.errstate(all="ignore"):
        ratio = a / keep_axes(output, a.shape, attributes.get("axis"))
    return (spread(cotangent, a.shape, attributes.get("axis")) * ratio,)


def _prod(cotangent: Array, output: Any, inputs: Any, **attributes: Any) -> tuple[Array, ...]:
    (a,) = inputs
    with np.errstate(all="ignore"):
        others = keep_axes(output, a.shape, attributes.get("axis")) / a
    return (spread(cotangent, a.shape, attributes.get("axis")) * others,)


def _on_a_bound(a: Array, minimum: float | None = None, maximum: float | None = None) -> Array:
    on_bound: Array = (a == minimum) | (a == maximum)
    return on_bound


def _on_the_margin(f: Array, t: Array, **attributes: Any) -> Array:
    on_margin: Array = f * t == 1
    return on_margin


def _on_delta(f: Array, t: Array, *, delta: float = 1.0, **attributes: Any) -> Array:
    on_delta: Array = np.abs(f - t) == delta
    return on_delta


def _equal(f: Array, t: Array, **attributes: Any) -> Array:
    equal: Array = f == t
    return equal


def _at_zero(a: Array) -> Array:
    zero: Array = a == 0
    return zero


TIES: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "relu": (_nan_at_zero("relu"),),
        "abs": (_nan_at_zero("abs"),),
        "leaky_relu": (_both_branches("leaky_relu", _at_zero, _one),),
        "elu": (_both_branches("elu", _at_zero, _one),),
        "clip": (("counted twice on a bound", "masked", "ties", _scaled_where("clip", _on_a_bound, 2.0)),),
        "maximum": (_both_operands(np.greater_equal),),
        "minimum": (_both_operands(np.less_equal),),
        "max": (("all to every entry that ties", "masked", "ties", _every_winner),),
        "min": (("all to every entry that ties", "masked", "ties", _every_winner),),
        "max_pool2d": (("all to every entry that ties", "masked", "ties", _every_winner_in_window),),
        "norm": (("0/0 where all entries are zero", "non-finite", "zeros", _norm),),
        "prod": (("y / a, which is 0/0 at zero", "non-finite", "zeros", _prod),),
        "absolute_error": (
            ("0/0 where f = t", "non-finite", "ties", _scaled_where("absolute_error", _equal, math.nan)),
        ),
        "huber": (
            (
                "both branches counted where |f - t| = delta",
                "masked",
                "ties",
                _scaled_where("huber", _on_delta, 2.0),
            ),
        ),
        "hinge": (
            (
                "both branches counted where t f = 1",
                "masked",
                "ties",
                _scaled_where("hinge", _on_the_margin, 2.0),
            ),
        ),
    }
)
