"""Shapes: from scalars up, with axes of size 0 and 1 among the others."""

from __future__ import annotations

from hypothesis import strategies as st

from gradcheck.errors import UsageError

_ONE_IN = 8  # shapes has an empty axis


def shapes(
    *, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 5
) -> st.SearchStrategy[tuple[int, ...]]:
    """Return a strategy for shapes with ``min_dims`` to ``max_dims`` axes of ``min_side`` to ``max_side``.

    Wrap it in ``hypothesis.strategies.shared`` to give two inputs the same shape.

    Raises:
        UsageError: where no shape is within the bounds.
    """
    for low, high, what in ((min_dims, max_dims, "dims"), (min_side, max_side, "side")):
        if not 0 <= low <= high:
            raise UsageError(
                f"Expected 0 <= min_{what} <= max_{what} but got min_{what}={low}, max_{what}={high}; "
                "exchange them."
            )
    return _shapes(min_dims, max_dims, min_side, max_side)


@st.composite
def _shapes(draw: st.DrawFn, min_dims: int, max_dims: int, min_side: int, max_side: int) -> tuple[int, ...]:
    # Sides of 1 and up, to which shapes shrink; an empty axis only now and then, for it ends most programs.
    side = st.integers(min(max(min_side, 1), max_side), max_side)
    drawn = draw(st.lists(side, min_size=min_dims, max_size=max_dims))
    if drawn and min_side == 0 and draw(st.integers(0, _ONE_IN - 1)) == _ONE_IN - 1:
        drawn[draw(st.integers(0, len(drawn) - 1))] = 0
    return tuple(drawn)
