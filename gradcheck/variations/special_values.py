"""Special values put into the inputs: zeros, ties, signs, magnitudes, indices, masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations import domain
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.elsewhere import Way, at
from gradcheck.variations.keeping import INDICES, Change, kept
from gradcheck.variations.points import NoPoint

# exp(1000) is infinite in float64, too.
_EXPONENT, _AT_LEAST, _MOST = 1000.0, 100.0, 1e4
# Formats coarser than this have less than four digits.
_HALF = 1e-4
# So many inputs are changed alone, where all of them together cannot be.
_ALONE = 4


def _floats(change: Change) -> Change:
    return lambda t, number: change(t, number) if t.is_floating_point() or t.is_complex() else t


def _some_zeros(t: torch.Tensor, number: int) -> torch.Tensor:
    """Put zeros in every third entry; in other ones for each input, since 0 / 0 hides what x / 0 shows."""
    flat = t.clone().reshape(-1)
    flat[number % 3 :: 3] = 0
    return flat.reshape(t.shape)


def _ties(t: torch.Tensor, _: int) -> torch.Tensor:
    """Round to multiples of a power of two: numbers around 1 fall on 0, 1 and -1, where domains end."""
    size = float(t.abs().mean()) if t.numel() > 1 and not t.is_complex() else 0.0
    step = 2.0 ** round(math.log2(size)) if 0 < size < math.inf else 1.0
    return t.clone() if t.is_complex() or t.numel() < 2 else (t / step).round() * step


def _multiplied(factor: Callable[[torch.Tensor], float]) -> Way:
    return lambda share: _floats(lambda t, _: t * factor(t) ** share)


def _large(t: torch.Tensor) -> float:
    """Return a factor that makes some number as large as 1000, of either sign where both occur.

    Its exponential is beyond every number format.
    """
    if not t.numel() or t.is_complex():
        return _AT_LEAST
    sides = [side for side in (float(t.max()), -float(t.min())) if side > 0]
    return max(_AT_LEAST, min(_EXPONENT / min(sides), _MOST) if sides else 0.0)


def _whole_and_empty(t: torch.Tensor, _: int) -> torch.Tensor:
    """Let the first row of a mask be nothing, and the last one everything."""
    if t.dtype is not torch.bool or t.ndim == 0 or not t.numel():
        return t
    t = t.clone()
    rows = t if t.ndim == 1 else t.reshape(-1, t.shape[-1])
    rows[0] = False
    rows[-1] = True
    return rows.reshape(t.shape)


def _zero_index(t: torch.Tensor, _: int) -> torch.Tensor:
    """Let the least length, label or offset be zero; offsets and sorted lengths stay in order."""
    if t.dtype not in INDICES or not bool((t > 0).any()):
        return t
    flat = t.clone().reshape(-1)
    flat[torch.where(flat > 0, flat, flat.max() + 1).argmin()] = 0
    return flat.reshape(t.shape)


def _one_index(t: torch.Tensor, _: int) -> torch.Tensor:
    if t.is_floating_point() or t.is_complex() or t.dtype is torch.bool or t.numel() < 2:
        return t
    return torch.from_numpy(domain.repeated(t.cpu().numpy())).to(t)


SPECIAL: Mapping[str, Change] = {
    "zeros": _floats(lambda t, _: torch.zeros_like(t)),
    "some zeros": _floats(_some_zeros),
    "ties": _floats(_ties),
    "signs flipped": _floats(lambda t, _: -t),
    "large magnitudes": _multiplied(_large)(1.0),
    "repeated indices": _one_index,
    "zero indices": _zero_index,
    "whole and empty masks": _whole_and_empty,
}
# Where there is a way to a special value, of points that are none: it, and one to try where that is too far.
_WAYS: Mapping[str, tuple[Way, ...]] = {
    "large magnitudes": (_multiplied(_large), _multiplied(lambda _: _AT_LEAST))
}


def special(label: str) -> Callable[[Context], VariationResult]:
    """Return the variation that puts one kind of special value into the inputs."""

    def variation(context: Context) -> VariationResult:
        if label == "large magnitudes" and context.subject.epsilon > _HALF:
            raise Skip("differences of large numbers in half precision tell nothing")
        subject = context.subject
        change, ways = kept(subject, SPECIAL[label]), [_kept(subject, way) for way in _WAYS.get(label, ())]
        inputs = list(subject.inputs.values())
        places = [i for i, t in enumerate(inputs) if not _unchanged(t, change(t.detach(), i))]
        if not places:
            raise Skip("no input has a place for them")
        result, reason = _together(context, label, change, ways, places)
        if result is None and len(places) > 1:
            result = _one_by_one(context, label, change, ways, places[:_ALONE])
        if result is None:
            raise Skip(reason or "the forward pass has no value there")
        return replace(result, message=result.message or reason)

    return variation


def _kept(subject: TorchSubject, way: Way) -> Way:
    return lambda share: kept(subject, way(share))


def _together(
    context: Context, label: str, change: Change, ways: Sequence[Way], places: Sequence[int]
) -> tuple[VariationResult | None, str]:
    """Change all inputs; what is wrong then is looked for with each of them changed alone."""
    names = list(context.subject.inputs)
    where = f"{label} in {', '.join(names[i] for i in places)}"
    try:
        result = at(context, where, change, way=ways[0] if ways else None)
        for way in ways[1:]:
            result = result or at(context, where, way(1.0), way=way)
    except NoPoint as reason:
        return None, f"with {where}: {reason}"
    if result is None:
        return None, ""
    if result.verdict is Verdict.FAIL and len(places) > 1:
        alone = _one_by_one(context, label, change, ways, places[:_ALONE])
        result = alone if alone is not None and alone.verdict is Verdict.FAIL else result
    return replace(result, name=label), ""


def _one_by_one(
    context: Context, label: str, change: Change, ways: Sequence[Way], places: Sequence[int]
) -> VariationResult | None:
    """Change one input after the other where the function has no value with all of them changed."""
    names = list(context.subject.inputs)
    done = []
    for place in places:
        alone = _along_one(ways[0], place) if ways else None
        try:
            result = at(context, f"{label} in {names[place]}", _only(change, place), way=alone)
        except NoPoint:
            continue
        if result is not None and result.verdict is Verdict.FAIL:
            return failed(label, result.message, result.parameters)
        done += [result] if result is not None else []
    return passed(label, done[0].message) if done else None


def _only(change: Change, place: int) -> Change:
    return lambda t, number: change(t, number) if number == place else t


def _along_one(way: Way, place: int) -> Way:
    return lambda share: _only(way(share), place)


def _unchanged(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.layout is not torch.strided or bool(torch.equal(before.detach(), after))
