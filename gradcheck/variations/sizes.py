"""The same function at other sizes: nothing, one, one more, more than a block, more than many blocks.

What a kernel does with the last, incomplete block, or beyond the width that one block takes, shows at these
alone. A size that the forward pass refuses is none of its sizes; one that it must divide is tried instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.elsewhere import Change, at, value_time

# Inputs are not grown beyond this many entries: three axes of 4 made 33 would be most of the cost of a run.
_LARGEST = 20_000
_INDICES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# Kernels go over to several blocks at widths up to this; that so wide an axis is affordable is seen at one of
# an eighth of it, whose forward pass may take these seconds: 64 times as long at worst, a few dozen times.
_WIDE, _EIGHTH, _AFFORDABLE = 2049, 8, 3e-4
# To make room for a wide axis, the others are made this long.
_NARROW = 2

# From the length that axes have to the one they are given.
Lengths = Mapping[int, int]


def other_sizes(context: Context) -> VariationResult:
    """Grow and shrink axes of equal length together."""
    name = "other sizes"
    tensors = [t for t in context.subject.inputs.values() if t.layout is torch.strided]
    lengths = list(dict.fromkeys(n for t in tensors for n in reversed(t.shape) if n > 0))[:3]
    if not lengths:
        raise Skip("no input has an axis")
    tried: list[str] = []
    for length in lengths:
        for choices in _sizes(length, tensors, context.handwritten):
            result = _first(context, tensors, length, choices)
            if result is None:
                continue
            tried.append(result.name)
            if result.verdict is Verdict.FAIL:
                return failed(name, result.message, result.parameters)
    if not tried:
        raise Skip("the forward pass takes no other size")
    return passed(name, "axes of " + ", ".join(tried))


def _sizes(length: int, tensors: Sequence[torch.Tensor], handwritten: bool) -> Iterator[tuple[Lengths, ...]]:
    """Yield sizes to try, each with what to try where the forward pass does not take it.

    An axis without entries, of which some of PyTorch's kernels die, and a wide one, which only a kernel of
    one's own has to fear, only where a backward pass is hand-written.
    """
    block = 33 if length < 33 else 65 if length < 65 else length + 1
    yield ({length: 1},)
    yield ({length: length + 1}, {length: length + 2})
    if block != length + 1:
        yield ({length: block}, {length: _multiple(length, block)})
    if handwritten and length < _WIDE:
        wide = _multiple(length, _WIDE)
        yield (_with_room(tensors, length, wide),)
    if handwritten:
        yield ({length: 0},)


def _multiple(length: int, least: int) -> int:
    """Return a multiple of the length, at least so large, but none of 32."""
    times = -(-least // length)
    while times * length % 32 == 0 and length % 32:
        times += 1
    return times * length


def _with_room(tensors: Sequence[torch.Tensor], length: int, new: int) -> Lengths:
    """Shorten the other axes where the inputs would be too large with one axis made wide."""
    if _grown(tensors, {length: new}) <= _LARGEST:
        return {length: new}
    others = {n for t in tensors for n in t.shape if n > _NARROW and n != length}
    return {length: new, **dict.fromkeys(sorted(others), _NARROW)}


def _first(
    context: Context, tensors: Sequence[torch.Tensor], length: int, choices: Sequence[Lengths]
) -> VariationResult | None:
    """Verify at the first of the sizes that the forward pass takes; None where it takes none."""
    for lengths in choices:
        if time.perf_counter() > context.deadline or _grown(tensors, lengths) > _LARGEST:
            continue
        if lengths.get(length) == length or _are_spoken_of(context.subject, lengths):
            continue
        if lengths[length] >= _WIDE and not _affordable(context, lengths, length):
            continue
        label = ", ".join(f"axes of {old} made {new}" for old, new in lengths.items())
        result = at(context, label, _resized(lengths))
        if result is not None:
            short = f"{length} to {lengths[length]}"
            return VariationResult(short, result.verdict, result.message, result.parameters)
    return None


def _affordable(context: Context, lengths: Lengths, length: int) -> bool:
    eighth = _multiple(length, lengths[length] // _EIGHTH)
    seconds = value_time(context, _resized({**lengths, length: eighth}))
    return seconds is not None and seconds <= _AFFORDABLE


def _are_spoken_of(subject: TorchSubject, lengths: Lengths) -> bool:
    """Whether integers among the arguments say, or count on, how long the axes are.

    A length given as a number would no longer be true; an index, or a length in a tensor, would point beyond
    the end. Not every kernel checks, and a crash could not be caught.
    """
    if not set(lengths).isdisjoint(_integers((subject.args, subject.kwargs))):
        return True
    least = min((new for old, new in lengths.items() if new < old), default=None)
    indices = [t for t in subject.inputs.values() if t.dtype in _INDICES and t.numel()]
    return least is not None and any(int(t.max()) >= least for t in indices)


def _integers(given: Any) -> Iterator[int]:
    if isinstance(given, int) and not isinstance(given, bool):
        yield given
    elif isinstance(given, (list, tuple)):
        for child in given:
            yield from _integers(child)
    elif isinstance(given, Mapping):
        for child in given.values():
            yield from _integers(child)


def _grown(tensors: Sequence[torch.Tensor], lengths: Lengths) -> int:
    """Return how many entries the inputs have with the lengths of their axes changed."""
    return sum(math.prod(lengths.get(n, n) for n in t.shape) for t in tensors)


def _resized(lengths: Lengths) -> Change:
    def change(t: torch.Tensor, _: int) -> torch.Tensor:
        if t.layout is not torch.strided:
            return t
        grown = False
        for axis, length in enumerate(t.shape):
            new = lengths.get(length, length)
            if new != length:
                t = t.index_select(axis, torch.arange(new, device=t.device) % length)
            grown |= new > length
        return _jittered(t, max(lengths.values())) if grown else t

    return change


def _jittered(t: torch.Tensor, seed: int) -> torch.Tensor:
    """Make entries that repeat each other differ by up to a tenth."""
    if not t.is_floating_point() and not t.is_complex():
        return t
    jitter = torch.rand(t.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    dtype = t.real.dtype if t.is_complex() else t.dtype
    return t * (0.9 + 0.2 * jitter).to(dtype=dtype, device=t.device)
