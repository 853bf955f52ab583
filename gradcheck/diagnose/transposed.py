"""The right numbers with two axes exchanged: a transposition too many, or one missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scale import ratio_of
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import listing, number, shape_text

_MOST_AXES = 5
# Below this share of the error explained a factor is not looked up: the hypothesis is lost anyway.
_WORTH_NAMING = 0.9


def transposed(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a transposition, one hidden in a reshape, or a matrix used untransposed."""
    claimed = sample.claimed
    if claimed.size != sample.expected.size or not 2 <= len(sample.shape) <= _MOST_AXES:
        return
    if claimed.ndim == len(sample.shape):
        yield from _axes(sample, scene)
    yield from _reshaped(sample)
    yield from _untransposed_factor(sample, scene)


def _axes(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    ndim = len(sample.shape)
    for axes in itertools.permutations(range(ndim)):
        long = [axis for axis in axes if sample.claimed.shape[axis] > 1]
        if not sample.misshapen and long == sorted(long):  # no number would move
            continue
        moved = sample.claimed.transpose(axes)
        if moved.shape != sample.shape:
            continue
        repaired = sample.at(moved)
        yield from with_factor(
            sample, scene, "transposed", _words(sample, axes), repaired, 2.0, {"axes": list(axes)}
        )


def _words(sample: Sample, axes: tuple[int, ...]) -> str:
    where = f" (shape {shape_text(sample.claimed.shape)})" if sample.misshapen else ""
    if len(axes) == 2:
        return f"{sample.name}'s gradient{where} is the transpose of the true one"
    moved = [axis for axis, other in enumerate(axes) if axis != other]
    how = (
        f"axes {listing(moved)} exchanged" if len(moved) == 2 else f"its axes in the order {shape_text(axes)}"
    )
    return f"{sample.name}'s gradient{where} is the true one with {how}"


def with_factor(
    sample: Sample,
    scene: Scene,
    kind: str,
    words: str,
    repaired: Array,
    cost: float,
    details: dict[str, object],
    question: str = "",
) -> Iterator[Hypothesis]:
    """Propose a rearranged gradient, and the same with a sign or a known factor besides.

    ``repaired`` holds its values at the known entries.
    """
    fit = sample.fit_at(repaired)
    end = f": {question}" if question else "."
    yield Hypothesis(kind, words + end, fit, cost, details)
    if fit.exact:
        return
    found = ratio_of(repaired, sample)
    if found is None or found[0] == 0 or not sample.clear:
        return
    ratio, uncertainty = found
    again = sample.fit_at(repaired / ratio)
    if again.share < _WORTH_NAMING:
        return
    named = scene.name_factor(sample.name, ratio.real, uncertainty) if ratio.imag == 0 else None
    if abs(ratio + 1) > 1e-9 and named is None:
        return
    text = "the wrong sign" if abs(ratio + 1) <= 1e-9 else f"the factor {number(ratio)}"
    text += named.after(number(ratio)) if named and "sign" not in text else ""
    yield Hypothesis(
        kind, f"{words}, and has {text}{end}", again, cost + 1.5, {**details, "ratio": ratio.real}
    )


def _reshaped(sample: Sample) -> Iterator[Hypothesis]:
    """Axes exchanged and then forced into the right shape, as when reshape stands for a transpose."""
    ndim = len(sample.shape)
    if min(sample.shape) < 2:
        return
    flat = sample.claimed.reshape(-1)
    for axes in itertools.permutations(range(ndim)):
        if axes == tuple(range(ndim)):
            continue
        given = flat.reshape([sample.shape[axis] for axis in axes])
        message = (
            f"{sample.name}'s gradient holds the right numbers in transposed order: "
            "is it reshaped where it should be transposed?"
        )
        fit = sample.fit(given.transpose(np.argsort(axes)))
        yield Hypothesis("transposed", message, fit, 2.5, {"reshaped": True, "axes": list(axes)})


def _untransposed_factor(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose dx = dy W instead of dy Wᵀ: claimed W⁻¹ Wᵀ = true, where nothing elementwise lies between."""
    if sample.misshapen or len(sample.shape) != 2 or not sample.clear or not sample.complete:
        return
    for name, matrix in scene.known_arrays(sample.name).items():
        square = np.asarray(matrix)
        if square.ndim != 2 or square.shape[0] != square.shape[1] or square.dtype.kind not in "fc":
            continue
        if name == sample.name or square.shape[0] < 2 or np.linalg.cond(square) > 1e6:
            continue
        inverse = np.linalg.inv(square)
        for side, (left, right) in {
            "right": (None, inverse @ square.T),
            "left": (square.T @ inverse, None),
        }.items():
            if square.shape[0] != sample.shape[1 if side == "right" else 0]:
                continue
            for turn in (False, True):
                repaired = _sandwich(sample.claimed, left, right, turn)
                message = (
                    f"{sample.name}'s gradient is as if {name} had been used where its transpose belongs "
                    "(or the other way round) in the backward pass."
                )
                noise = sample.noise * max(1.0, float(np.linalg.cond(square)))
                fit = sample.fit_at(repaired.reshape(-1), noise)
                yield Hypothesis("transposed", message, fit, 4.0, {"matrix": name, "side": side})


def _sandwich(claimed: Array, left: Array | None, right: Array | None, turn: bool) -> Array:
    """Multiply from one side, by the matrix or by its inverse."""
    result: Array
    if right is not None:
        result = claimed @ (np.linalg.inv(right) if turn else right)
    else:
        assert left is not None
        result = (np.linalg.inv(left) if turn else left) @ claimed
    return result
