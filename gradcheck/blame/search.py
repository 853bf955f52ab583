"""Which of many suspects matter: delta debugging (Zeller and Hildebrandt 2002) over an ordered list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def necessary(suspects: Sequence[T], enough: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return suspects that are ``enough`` together, none of which can be left out.

    ``suspects`` are known to be enough. Neighbours are left out together first: k of n that matter cost
    O(k log n) questions, and two that only matter when parted are seldom parted.
    """
    kept = list(suspects)
    size = max(1, len(kept) // 2)
    while kept:
        start, before = 0, len(kept)
        while start < len(kept):
            trial = kept[:start] + kept[start + size :]
            if enough(trial):
                kept = trial
            else:
                start += size
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return kept
