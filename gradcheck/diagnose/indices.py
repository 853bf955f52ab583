"""A set of indices along an axis in words and as a slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.words import listing

# Of fewer indices, those at equal distances are often so by accident.
_FEW = 6


@dataclass(frozen=True)
class Indices:
    """``words`` ("the last row"), ``slice`` as in Python ("3:"), and what the description costs."""

    words: str
    slice: str
    cost: float


def describe_indices(hit: Array, seen: Array, one: str, many: str) -> Indices | None:
    """Describe the indices that are hit among those that were seen; None where there is no simple way.

    ``one`` and ``many`` are the words for an index and for several ("row", "rows"). Not all seen are hit.
    """
    chosen, missed = np.flatnonzero(hit), np.flatnonzero(seen & ~hit)
    first, last = int(chosen[0]), int(chosen[-1])
    if chosen.size == 1:
        return _single(first, hit.size, one)
    if missed.size == 1 and int(missed[0]) == 0:
        return Indices(f"all {many} but the first", "1:", 0.2)
    if missed.size == 1 and int(missed[0]) == hit.size - 1:
        return Indices(f"all {many} but the last", ":-1", 0.2)
    if first > missed[-1]:
        return Indices(f"the {many} from {first} on", f"{first}:", 0.2)
    if last < missed[0]:
        return Indices(f"the {many} before {last + 1}", f":{last + 1}", 0.2)
    if not ((missed > first) & (missed < last)).any():
        return Indices(f"the {many} {first} to {last}", f"{first}:{last + 1}", 0.4)
    steps = np.unique(np.diff(chosen))
    if steps.size == 1 and chosen.size > 2 and seen.sum() >= _FEW:
        return Indices(f"every {_nth(int(steps[0]))} {one} from {first} on", f"{first}::{steps[0]}", 0.5)
    if chosen.size <= max(1, int(seen.sum()) // 2):
        cost = 0.6 + 0.1 * min(int(chosen.size), 10)
        return Indices(f"the {many} {listing(chosen.tolist())}", f"[{listing(chosen.tolist())}]", cost)
    return None


def _single(i: int, length: int, one: str) -> Indices:
    if i in (0, length - 1):
        return Indices(f"the {'first' if i == 0 else 'last'} {one}", "0" if i == 0 else "-1", 0.0)
    return Indices(f"the {one} {i}" if one != "entry" else f"entry {i}", f"{i}", 0.0)


def _nth(n: int) -> str:
    return {2: "second", 3: "third"}.get(n, f"{n}th")
