"""Other values that a setting may have: a number near it, the other truth value, another word of its kind.

Where 1 or 0 stands, anything may be forgotten without showing, and a number far from it is best. Others are
moved towards the next of -1, 0 and 1, where most domains end: probabilities, exponents, slopes and
temperatures stay in theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NEUTRAL = 0.7
_SHARE = 0.9
# Larger integers are sizes, lengths and counts rather than axes, strides and the like.
SMALL = 4
# What a flag promises of the data, as its name says, must be true of them.
_PROMISES = ("assume", "sorted", "unique", "distinct", "symmetric", "hermitian", "coalesced", "contiguous")
_WORDS = (
    ("mean", "sum", "none"),
    ("tanh", "none"),
    ("relu", "gelu", "silu", "tanh", "sigmoid"),
    ("zeros", "reflect", "replicate", "circular"),
)


def is_neutral(value: Any) -> bool:
    """Whether it is a 1 or a 0 that leaves something as it is."""
    return type(value) is float and value in (0.0, 1.0)


def near(value: float) -> float:
    """Return a number near a given one; 0.7 for 1 and 0."""
    if value in (0.0, 1.0):
        return _NEUTRAL
    size = abs(value)
    moved = _SHARE * size if size <= 1 else 1 + _SHARE * (size - 1)
    return moved if value > 0 else -moved


def others(value: Any, sizes: frozenset[int], name: str = "") -> Sequence[Any]:
    """Return what a flag, a small integer or a word may be instead, the likeliest first.

    ``sizes`` are lengths of axes: an integer that is one of them is no setting. ``name`` is what it is
    called.
    """
    if type(value) is bool:
        promises = not value and any(word in name for word in _PROMISES)
        return () if promises else (not value,)
    if type(value) is str:
        return [word for words in _WORDS if value in words for word in words if word != value][:3]
    if _is_small(value, sizes):
        return value + 1, value - 1
    if type(value) in (tuple, list) and value and all(_is_small(each, sizes) for each in value):
        return [type(value)(each + by for each in value) for by in (1, -1)]
    return ()


def _is_small(value: Any, sizes: frozenset[int]) -> bool:
    return type(value) is int and abs(value) <= SMALL and value not in sizes


def written(value: Any) -> str:
    """Return how a setting is written."""
    return f"{value:.4g}" if type(value) is float else repr(value)
