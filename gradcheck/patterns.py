"""Where in a tensor the wrong entries lie, in words: rows, columns, the tail."""

from __future__ import annotations

import numpy as np


def describe(wrong: np.ndarray, known: np.ndarray) -> str:
    """Describe the positions of wrong entries.

    Args:
        wrong: mask of the tensor's shape.
        known: mask of the entries that were examined; all, where the others are known to be right.
    """
    count = int(wrong.sum())
    if count == 0:
        return ""
    if not known.all():
        return _sampled(wrong, known)
    if count == wrong.size:
        return "every entry"
    for axis in range(wrong.ndim):
        found = _slices(wrong, axis)
        if found:
            return found
    return _run(wrong.reshape(-1), count)


def _sampled(wrong: np.ndarray, known: np.ndarray) -> str:
    """Describe wrong entries of a sample, which may be all that are known of one slice."""
    for axis in range(wrong.ndim if wrong.ndim > 1 else 0):
        where = np.unique(np.nonzero(wrong)[axis])
        inside = np.take(wrong, where, axis=axis).sum() == np.take(known, where, axis=axis).sum()
        if where.size == 1 and inside and int(wrong.sum()) > 1:
            return f"{_noun(axis, wrong.ndim)} {int(where[0])} (from a sample)"
    return "spread over the tensor (from a sample)"


def _noun(axis: int, dimensions: int) -> str:
    named = {0: "row", 1: "column"}.get(axis) if dimensions == 2 else None
    return named or f"slice of axis {axis}"


def _slices(wrong: np.ndarray, axis: int) -> str:
    """Describe a mask that is a union of whole slices across one axis."""
    others = tuple(k for k in range(wrong.ndim) if k != axis)
    full, any_wrong = wrong.all(axis=others), wrong.any(axis=others)
    if wrong.ndim < 2 or not bool((full == any_wrong).all()):
        return ""
    where = [int(k) for k in np.flatnonzero(full)]
    noun = _noun(axis, wrong.ndim)
    if where == [wrong.shape[axis] - 1]:
        return f"the last {noun}"
    if len(where) == 1:
        return f"{noun} {where[0]}"
    shown = ", ".join(map(str, where[:6])) + (", ..." if len(where) > 6 else "")
    return f"{noun.replace('slice of', 'slices of') if 'slice' in noun else noun + 's'} {shown}"


def _run(flat: np.ndarray, count: int) -> str:
    where = np.flatnonzero(flat)
    first, last = int(where[0]), int(where[-1])
    if count > 1 and last - first + 1 == count:
        if last == flat.size - 1:
            return f"the tail: the last {count} entries"
        if first == 0:
            return f"the first {count} entries"
        return f"entries {first} to {last} in C order"
    steps = set(np.diff(where).tolist())
    if count > 2 and len(steps) == 1:
        return f"every {steps.pop()}th entry from {first} in C order"
    return "one entry" if count == 1 else "scattered"
