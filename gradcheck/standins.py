"""Whether a wrong gradient is the right one of another cotangent: reversed, averaged, conjugated, ignored.

Along a direction the true derivative under any cotangent is known once the derivative of the outputs is. So a
gradient is compared with what it would be, had the backward pass mistaken its cotangent in one of the ways
that are common: no further evaluation is needed for any of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

Cotangents = Sequence[np.ndarray]
_AXES = 4


def stand_ins(us: Cotangents, outputs: Sequence[str]) -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Yield (kind of mistake, words, cotangents): what may stand in the place of the cotangents ``us``."""
    yield "cotangent", "is ignored, and ones stand for it", [np.ones_like(u) for u in us]
    for k, u in enumerate(us):
        of = f" of {outputs[k]}" if len(us) > 1 else ""
        for kind, words, changed in _changed(u):
            yield kind, f"{of} {words}".strip() if of else words, _with(us, k, changed)
    for (i, a), (j, b) in itertools.combinations(enumerate(us), 2):
        if a.shape == b.shape:
            what = f"of {outputs[i]} is taken for that of {outputs[j]}, and the other way round"
            yield "swapped", what, [b if k == i else a if k == j else u for k, u in enumerate(us)]


def _with(us: Cotangents, k: int, changed: np.ndarray) -> list[np.ndarray]:
    return [changed if i == k else u for i, u in enumerate(us)]


def _changed(u: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    if u.size < 2:
        return
    yield "cotangent", "is squared", u * u
    yield "cotangent", "is replaced by its absolute value", np.abs(u).astype(u.dtype)
    yield "cotangent", "is replaced by its mean", np.full_like(u, u.mean())
    yield "cotangent", "is replaced by its sum", np.full_like(u, u.sum())
    yield "cotangent", "is replaced by its first entry", np.full_like(u, u.reshape(-1)[0])
    if np.iscomplexobj(u):
        yield "sign", "is conjugated, or a factor beside it is not", u.conj()
        yield "cotangent", "loses its imaginary part", u.real.astype(u.dtype)
    for axis in range(min(u.ndim, _AXES)):
        yield from _along(u, axis)
    for a, b in itertools.combinations(range(u.ndim), 2):
        if u.shape[a] == u.shape[b] > 1:
            words = f"is transposed, or summed over the wrong one of axes {a} and {b}"
            yield "transposed", words, np.ascontiguousarray(u.swapaxes(a, b))


def _along(u: np.ndarray, axis: int) -> Iterator[tuple[str, str, np.ndarray]]:
    n, where = u.shape[axis], f"along axis {axis}" if u.ndim > 1 else ""
    if n < 2:
        return
    yield "permuted", f"is read in reverse order {where}".strip(), np.flip(u, axis).copy()
    for by in (1, -1):
        yield "permuted", f"is shifted by {by} {where}".strip(), np.roll(u, by, axis)
        yield "permuted", f"is shifted by {by} {where}, with zero behind it".strip(), _pushed(u, by, axis)
    first = np.take(u, [0], axis)
    for words, value in (
        ("mean", u.mean(axis, keepdims=True)),
        ("sum", u.sum(axis, keepdims=True)),
        ("first entry", first),
    ):
        if u.ndim > 1:
            changed = np.broadcast_to(value, u.shape).copy()
            yield "cotangent", f"is replaced by its {words} {where}", changed


def _pushed(u: np.ndarray, by: int, axis: int) -> np.ndarray:
    pushed = np.roll(u, by, axis)
    edge = [slice(None)] * u.ndim
    edge[axis] = slice(0, 1) if by > 0 else slice(-1, None)
    pushed[tuple(edge)] = 0
    return pushed
