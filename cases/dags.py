"""Graphs over the whole table of operations, with every shape of sharing that a program can have.

Operations are planted one after another on what is there already, until the graph has its size; then the
loose ends are brought together. A part of them stays loose: a dead branch owes its leaves zeros.
"""

from __future__ import annotations

from cases.builder import Unsuitable
from cases.choices import Choices
from cases.operands import Growing, bounded, draw_shape, leaf, scattered
from cases.plants import OPERATIONS, plant
from cases.record import Case

FEWEST, MOST = 5, 60
# Operations to be planted, at most. Small graphs are quicker, and easier to read where one fails.
SIZES = (10, 20, 40)
_JOIN = 3  # nodes that it takes at most to bring in a loose end
_ROOM = 8  # and that one planting adds


def dag(choices: Choices, fewest: int = FEWEST) -> Case:
    """Return a case of ``fewest`` to 60 nodes; one in five ends in an output that is no scalar."""
    b = Growing(choices)
    b.settle()
    _plant_leaves(b)
    for _ in choices.repeat(1, choices.one_of(SIZES)):
        if len(b.nodes) + _JOIN * len(b.loose_ends()) > MOST - _ROOM:
            break
        try:
            plant(b, choices.one_of(OPERATIONS))
        except Unsuitable:
            continue
    return _finished(b, fewest)


def focused(operation: str, choices: Choices) -> Case:
    """Return a small case that contains the operation: beneath it at most two others, above it a loss."""
    for _ in range(100):
        b = Growing(choices)
        b.settle()
        _plant_leaves(b)
        try:
            if choices.boolean(0.3):
                plant(b, choices.one_of(OPERATIONS))
            plant(b, operation)
        except Unsuitable:
            continue
        return _finished(b, fewest=1)
    raise AssertionError(f"No graph was found with {operation}; its planting asks for too much.")


def _plant_leaves(b: Growing) -> None:
    for _ in b.choices.repeat(1, 3):
        leaf(b, draw_shape(b))
    if b.choices.boolean(0.08):
        shape = (*draw_shape(b, 0, 2), 0, *draw_shape(b, 0, 1))
        leaf(b, shape)


def _finished(b: Growing, fewest: int) -> Case:
    ends = _ends_to_keep(b)
    if ends and b.choices.boolean(0.2) and b.values[ends[-1]].size:
        output = ends.pop()
        for end in ends:
            output = b.apply("add", output, scalar(b, end))
    else:
        output = together(b, [scalar(b, end) for end in ends or list(b.values)[:1]])
    while len(b.nodes) < fewest:
        output = b.apply(b.choices.one_of(("sin", "cos", "square")), bounded(b, output, 4.0))
    return b.case("dag", output, "dag")


def _ends_to_keep(b: Growing) -> list[str]:
    ends = b.loose_ends()
    if len(ends) > 1 and b.choices.boolean(0.2):
        del ends[b.choices.integer(0, len(ends) - 1)]
    room = (MOST - len(b.nodes)) // _JOIN
    return ends[-room:] if room > 0 else ends[-1:]


def scalar(b: Growing, name: str) -> str:
    """Reduce a value to one number, as a rule with different weights.

    Under a plain sum a softmax or a normalisation has no gradient, and mistakes in it hide.
    """
    if not b.shape(name) or b.choices.boolean(0.1):
        return name if not b.shape(name) else b.apply("sum", name)
    if b.values[name].size and b.choices.boolean(0.3):
        return b.apply("squared_error", name, b.input(scattered(b.shape(name), 1)))
    weights = b.input(scattered(b.shape(name), 0))
    return b.apply("sum", b.apply("multiply", name, weights))


def together(b: Growing, scalars: list[str]) -> str:
    """Add numbers up, one by one or stacked."""
    if len(scalars) > 2 and b.choices.boolean():
        return b.apply("sum", b.apply("stack", *scalars))
    total = scalars[0]
    for scalar in scalars[1:]:
        total = b.apply("add", total, scalar)
    return total
