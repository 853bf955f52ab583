"""The same function at other sizes: nothing, one, one more, more than a block, more than many blocks.

What a kernel does with the last, incomplete block, or beyond the width that one block takes, shows at these
alone. A size that the forward pass refuses is none of its sizes; one that it must divide is tried instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from gradcheck.pipeline import Outcome
from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations import domain
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.elsewhere import at, has_value, value_time
from gradcheck.variations.keeping import INDICES, Change, kept
from gradcheck.variations.points import NoPoint

# Inputs are not grown beyond this many entries: three axes of 4 made 33 would be most of the cost of a run.
# A wide axis is tried for its length, not for what it costs, which is looked at first.
_LARGEST, _LARGEST_WIDE = 20_000, 200_000
# Kernels go over to several blocks at widths up to this; that so wide an axis is affordable is seen at one of
# an eighth of it, whose forward pass may take these seconds: 64 times as long at worst, a few dozen times.
_WIDE, _EIGHTH, _AFFORDABLE = 2049, 8, 4e-4
_EVEN = "wrong, and right at the next even length: is it meant for odd ones?"
# Outputs so many times as large as the given ones are those of an iteration that does not settle there.
_RUNS_AWAY = 1e6
# No further axis is made wide after so long: functions with many kinks take longest.
_WIDE_SECONDS = 0.2


def other_sizes(context: Context) -> VariationResult:
    """Grow and shrink axes of equal length together."""
    name = "other sizes"
    tensors = [t for t in context.subject.inputs.values() if t.layout is torch.strided]
    lengths = list(dict.fromkeys(n for t in tensors for n in reversed(t.shape) if n > 0))[:3]
    if not lengths:
        raise Skip("no input has an axis")
    tried: list[str] = []
    doubts: list[str] = []
    refusals: list[str] = []
    on_wide = 0.0
    for length in lengths:
        unfit = math.inf
        for choices in _sizes(length, context.handwritten):
            if choices[0] > unfit or (choices[0] >= _WIDE and on_wide > _WIDE_SECONDS):
                continue
            start = time.perf_counter()
            try:
                result = _first(context, tensors, length, choices)
            except NoPoint as reason:
                refusals.append(str(reason))
                unfit, result = choices[0], None
            on_wide += time.perf_counter() - start if choices[0] >= _WIDE else 0.0
            if result is None:
                continue
            tried.append(result.name)
            doubts += [result.message] if "is it meant" in result.message else []
            if result.verdict is Verdict.FAIL and choices == (1,) and not _is_an_axis(context, length):
                refusals.append(f"with axes of {length} made 1: they only fit as they are broadcast")
            elif result.verdict is Verdict.FAIL:
                return failed(name, result.message, result.parameters)
    if not tried or len(tried) == len(refusals):
        raise Skip(refusals[0] if refusals else "the forward pass takes no other size")
    return passed(name, "; ".join(["axes of " + ", ".join(tried), *doubts[:1]]))


def _sizes(length: int, handwritten: bool) -> Iterator[tuple[int, ...]]:
    """Yield lengths to try, each with what to try where the forward pass does not take it.

    An axis without entries, of which some of PyTorch's kernels die, and a wide one, which only a kernel of
    one's own has to fear, only where a backward pass is hand-written.
    """
    block = 33 if length < 33 else 65 if length < 65 else length + 1
    yield (1,)
    yield length + 1, length + 2
    if block != length + 1:
        yield block, _multiple(length, block)
    if handwritten and length < _WIDE:
        yield (_multiple(length, _WIDE),)
    if handwritten:
        yield (0,)


def _multiple(length: int, least: int) -> int:
    """Return a multiple of the length, at least so large, but none of 32."""
    times = -(-least // length)
    while times * length % 32 == 0 and length % 32:
        times += 1
    return times * length


def _first(
    context: Context, tensors: Sequence[torch.Tensor], length: int, choices: Sequence[int]
) -> VariationResult | None:
    """Verify at the first of the lengths that the forward pass takes; None where it takes none."""
    for new in choices:
        largest = _LARGEST_WIDE if new >= _WIDE else _LARGEST
        if time.perf_counter() > context.deadline or _grown(tensors, length, new) > largest:
            continue
        if new == length or _is_spoken_of(context.subject, length, new):
            continue
        if new >= _WIDE and not _affordable(context, length, new):
            continue
        label = f"axes of {length} made {new}"
        change = kept(context.subject, _resized(length, new))
        try:
            unless = partial(_is_for_even_lengths, context, length, new)
            result = at(context, label, change, _RUNS_AWAY, may_raise=True, unless=unless)
        except NoPoint as reason:
            raise NoPoint(f"with {label}: {reason}") from reason
        if result is not None:
            return VariationResult(f"{length} to {new}", result.verdict, result.message, result.parameters)
    return None


def _is_for_even_lengths(
    context: Context, length: int, new: int, outcome: Outcome, wrong: Sequence[str]
) -> str:
    """Say so where most entries are wrong at two odd lengths, none at the even one between; one was given.

    A rotation of one half into the other has no such halves. A tail that is forgotten leaves the rest right,
    and what is wrong of a single class is right of three.
    """
    findings = [outcome.findings[name] for name in wrong]
    looked_at = sum(f.entries.flat.size for f in findings if f.entries is not None)
    if length % 2 or new % 2 == 0 or 2 * sum(f.wrong.size for f in findings) <= looked_at:
        return ""
    for longer, verdict in ((new + 1, Verdict.PASS), (new + 2, Verdict.FAIL)):
        result = at(context, "", kept(context.subject, _resized(length, longer)), _RUNS_AWAY)
        if result is None or result.verdict is not verdict:
            return ""
    return _EVEN


def _is_an_axis(context: Context, length: int) -> bool:
    """Whether the forward pass takes axes of this length longer, too.

    Where it does not, something that is not resized has it as well, a closure's target or a weight. One is
    all that fits beside it, and is broadcast: another function than that of the given size.
    """
    longer = (length + 1, length + 2, *(_multiple(length, least) for least in (length + 1, 33)))
    return any(has_value(context, kept(context.subject, _resized(length, new))) for new in longer)


def _affordable(context: Context, length: int, new: int) -> bool:
    seconds = value_time(context, kept(context.subject, _resized(length, _multiple(length, new // _EIGHTH))))
    return seconds is not None and seconds <= _AFFORDABLE


def _is_spoken_of(subject: TorchSubject, length: int, new: int) -> bool:
    """Whether integers among the arguments say, or count on, how long the axis is.

    A length given as a number would no longer be true; an index, or a length in a tensor, would point beyond
    the end. Not every kernel checks, and a crash could not be caught.
    """
    if length in _integers((subject.args, subject.kwargs)):
        return True
    indices = [t for t in subject.inputs.values() if t.dtype in INDICES and t.numel()]
    return new < length and any(int(t.max()) >= new for t in indices)


def _integers(given: Any) -> Iterator[int]:
    if isinstance(given, int) and not isinstance(given, bool):
        yield given
    elif isinstance(given, (list, tuple)):
        for child in given:
            yield from _integers(child)
    elif isinstance(given, Mapping):
        for child in given.values():
            yield from _integers(child)


def _grown(tensors: Sequence[torch.Tensor], length: int, new: int) -> int:
    """Return how many entries the inputs have with every axis of this length made ``new``."""
    return sum(math.prod(new if n == length else n for n in t.shape) for t in tensors)


def _resized(length: int, new: int) -> Change:
    def change(t: torch.Tensor, _: int) -> torch.Tensor:
        if t.layout is not torch.strided:
            return t
        given = t
        if t.dtype in INDICES and domain.are_places(t.cpu().numpy()):
            return _placed(t, length, new)
        if t.dtype in INDICES and _is_permuted(t, length) and new > length:
            return torch.from_numpy(domain.grown_permutation(t.cpu().numpy(), new)).to(t)
        axes = [axis for axis in range(t.ndim) if t.shape[axis] == length]
        for axis in axes:
            t = t.index_select(axis, torch.arange(new, device=t.device) % length)
        if new > length and (t.is_floating_point() or t.is_complex()):
            if len(axes) > 1:  # a matrix keeps its norm: what contracts goes on contracting
                t = t * (length / new) ** (len(axes) - 1)
            jitter = torch.rand(t.shape, generator=torch.Generator().manual_seed(new), dtype=torch.float64)
            t = t * (0.9 + 0.2 * jitter).to(
                dtype=t.real.dtype if t.is_complex() else t.dtype, device=t.device
            )
            t = _in_the_ball(t, given)
        return t

    return change


def _in_the_ball(t: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Keep rows no longer than given ones that are all shorter than one: points of a hyperbolic space."""
    longest = (
        float(torch.linalg.vector_norm(given, dim=-1).max()) if given.ndim > 1 and given.numel() else 1.0
    )
    if not 0 < longest < 1:
        return t
    lengths = torch.linalg.vector_norm(t, dim=-1, keepdim=True)
    shorter: torch.Tensor = t * (longest / lengths.clamp_min(longest))
    return shorter


def _is_permuted(t: torch.Tensor, length: int) -> bool:
    return t.ndim > 0 and t.shape[-1] == length and domain.is_permutation(t.cpu().numpy())


def _placed(t: torch.Tensor, length: int, new: int) -> torch.Tensor:
    """Keep places in order, and an end at the end: the last segment takes what an axis gains."""
    t = torch.where(t == length, new, t)
    if t.shape[0] == length and new > length:
        t = torch.cat([t, t[-1:].expand(new - length)])
    return t[:new] if t.shape[0] == length else t
