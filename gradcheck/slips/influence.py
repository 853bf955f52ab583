"""Where a change can help at all: what alters every wrong gradient, and leaves the right ones alone.

A mistake that spoils two gradients of five is in what these two are made of and the other three are not. So
each value that a function computes is moved a little, once, and what that changes says how promising its
place is.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from gradcheck.slips.places import Place, written
from gradcheck.slips.setting import Setting

PROMISING, POSSIBLE, HOPELESS = 0, 1, 2
# Moves zeros and numbers alike; arrays of any kind but those of objects.
_MOVED = "e * 1.0009765625 + 0.0009765625"

Moves = Callable[[Place, ast.AST], Mapping[str, bool] | None]


def promise(
    setting: Setting, moves: Moves, wanted: frozenset[str], failing: frozenset[str]
) -> dict[Place, int]:
    """Return how promising each place is for making right the ``wanted`` ones of the ``failing`` gradients.

    ``moves`` says which gradients differ with a node in a place: None where the function then raises.
    """
    ranks: dict[int, int] = {}
    found: dict[Place, int] = {}
    for place in setting.places:
        nodes = (place.node, *place.above)
        if is_unit(place):
            ranks[id(place.node)] = _rank(moves(place, written(_MOVED, e=place.node)), wanted, failing)
        found[place] = next((ranks[id(node)] for node in nodes if id(node) in ranks), POSSIBLE)
        if isinstance(place.node, ast.Assign | ast.AugAssign):  # its value comes next
            found[place] = POSSIBLE
    return found


def is_unit(place: Place) -> bool:
    """Whether an expression is a value of its own: assigned, returned, or an entry of what is."""
    if isinstance(place.node, ast.Tuple | ast.List | ast.Dict | ast.Constant) or not place.is_value:
        return False
    return isinstance(
        place.parent, ast.Assign | ast.AugAssign | ast.Return | ast.Tuple | ast.List | ast.Dict
    ) and place.field in ("value", "values", "elts")


def _rank(moved: Mapping[str, bool] | None, wanted: frozenset[str], failing: frozenset[str]) -> int:
    if moved is None:
        return POSSIBLE
    if not all(moved[name] for name in wanted):
        return HOPELESS
    return PROMISING if all(name in failing for name, changed in moved.items() if changed) else POSSIBLE
