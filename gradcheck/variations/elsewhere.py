"""The same function at other points: special values put into its inputs, and other sizes.

At such points kinks are the rule. A discrepancy found there counts only where a single operation's own
backward pass is wrong at its own inputs; what right operations do together at a kink is no fault.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from gradcheck import conventions
from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject
from gradcheck.report.records import Blame, VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject, tree
from gradcheck.subjects.torch.subject import BackwardError
from gradcheck.variations.base import Context, Skip, failed, passed

# What may be spent on single entries at one such point.
_LOCATE_SECONDS = 0.3
# Inputs are not grown beyond this many entries: three axes of 4 made 33 would be most of the cost of a run.
_LARGEST = 20_000
_INDICES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# What ``reshape(-1, features)`` raises with no features: an axis that may be empty for no model.
_AMBIGUOUS = "cannot reshape tensor of 0 elements"
# A singular matrix, which a forward pass may take by chance of rounding: the end of its domain.
_SINGULAR = "LinAlgError"
# Formats coarser than this have less than four digits.
_HALF = 1e-4
# So many inputs are changed alone, where all of them together cannot be.
_ALONE = 4

# Takes an input and its number among the inputs.
Change = Callable[[torch.Tensor, int], torch.Tensor]


def at(context: Context, label: str, change: Change) -> VariationResult | None:
    """Verify the subject with its inputs changed; None where it has no value there."""
    subject = _moved(context.subject, change)
    if subject is None:
        return None
    with subject:
        try:
            subject.start()
        except Exception:  # outside its domain a forward pass raises what it likes
            return None
        if not _usable(subject):
            return None
        return _judge(context, subject, label)


def _moved(subject: TorchSubject, change: Change) -> TorchSubject | None:
    changed: dict[int, torch.Tensor] = {}

    def exchange(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in changed:
            wide = tensor.detach().to(subject._dtype(tensor))
            moved = _as_symmetric(change(wide, len(changed)), wide)
            changed[id(tensor)] = moved.clone().requires_grad_(tensor.requires_grad)
        return changed[id(tensor)]

    try:
        args, kwargs = tree.replace((subject.args, subject.kwargs), exchange)
        return TorchSubject(
            subject.function, args, kwargs, name=subject.name, double=subject.double, names=subject.names
        )
    except Exception:  # a change that an input does not admit is no variation of it
        return None


def _as_symmetric(changed: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Keep a symmetric matrix symmetric: what is meant for such owes nothing to others."""
    return (changed + changed.mH) / 2 if _is_symmetric(original) and _is_square(changed) else changed


def _is_symmetric(t: torch.Tensor) -> bool:
    numbers = t.layout is torch.strided and (t.is_floating_point() or t.is_complex())
    return numbers and _is_square(t) and t.shape[-1] > 1 and bool(torch.equal(t, t.mH))


def _is_square(t: torch.Tensor) -> bool:
    return t.ndim >= 2 and t.shape[-1] == t.shape[-2]


def _usable(subject: TorchSubject) -> bool:
    return all(bool(torch.isfinite(out).all()) for out in subject.outputs)


def _judge(context: Context, subject: TorchSubject, label: str) -> VariationResult | None:
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in subject.variables.items()}
    options = Options.of(
        seed=context.options.seed, effort="probe", rtol=context.options.rtol, atol=context.options.atol
    )
    try:
        outcome = examine_subject(subject, options, dtypes, locate_seconds=_LOCATE_SECONDS)
    except BackwardError as error:
        if not context.handwritten:
            raise Skip(f"PyTorch's own backward pass raises {str(error)[:100]}") from error
        if any(reason in str(error) for reason in (_AMBIGUOUS, _SINGULAR)):
            return None
        return failed(label, f"with {label}, backward raises {str(error)[:160]}")
    conventions.accept(outcome)
    _count(context.exam, outcome.exam)
    wrong = outcome.failing or outcome.tied
    if not wrong:
        return passed(label)
    blames = _of_the_user(context, subject)
    if blames is None:
        return passed(label, f"with {label}: PyTorch's own operations, at a point where they are not smooth")
    message = f"with {label}, the gradient of {wrong[0]} is wrong{_numbers(outcome.findings[wrong[0]])}"
    if blames:
        message += f"; enters at {blames[0].location}, {blames[0].operation}"
    return failed(label, message, wrong)


def _numbers(finding: Finding) -> str:
    if finding.message:
        return f": {finding.message}"
    if finding.tied is not None:
        claimed, expected = finding.tied.claimed, finding.tied.estimate.value
        return f": with all entries moved together, claimed {claimed:.6g}, finite differences {expected:.6g}"
    if finding.comparison is not None:
        c = finding.comparison
        return f": claimed {c.claimed:.6g}, finite differences {c.expected:.6g}"
    return ""


def _of_the_user(context: Context, subject: TorchSubject) -> Sequence[Blame] | None:
    """Return the user's code to blame; None where the fault is none of theirs."""
    blames = context.blame_at(subject)
    if blames is None:
        return () if context.handwritten else None
    return blames or None


def _count(total: Examination, more: Examination) -> None:
    total.forward_evaluations += more.forward_evaluations
    total.backward_evaluations += more.backward_evaluations


def _floats(change: Change) -> Change:
    return lambda t, number: change(t, number) if t.is_floating_point() or t.is_complex() else t


def _some_zeros(t: torch.Tensor, number: int) -> torch.Tensor:
    """Put zeros in every third entry; in other ones for each input, since 0 / 0 hides what x / 0 shows."""
    flat = t.clone().reshape(-1)
    flat[number % 3 :: 3] = 0
    return flat.reshape(t.shape)


def _ties(t: torch.Tensor, _: int) -> torch.Tensor:
    if t.is_complex() or t.numel() < 2:
        return t.clone()
    step = float(t.abs().mean()) or 1.0
    return (t / step).round() * step


def _one_index(t: torch.Tensor, _: int) -> torch.Tensor:
    if t.is_floating_point() or t.is_complex() or t.dtype is torch.bool or t.numel() < 2:
        return t
    return t.flatten()[0].expand(t.shape).clone()


SPECIAL: Mapping[str, Change] = {
    "zeros": _floats(lambda t, _: torch.zeros_like(t)),
    "some zeros": _floats(_some_zeros),
    "ties": _floats(_ties),
    "signs flipped": _floats(lambda t, _: -t),
    "large magnitudes": _floats(lambda t, _: t * 100.0),
    "repeated indices": _one_index,
}


def special(label: str) -> Callable[[Context], VariationResult]:
    """Return the variation that puts one kind of special value into the inputs."""

    def variation(context: Context) -> VariationResult:
        change = SPECIAL[label]
        if label == "large magnitudes" and context.subject.epsilon > _HALF:
            raise Skip("differences of large numbers in half precision tell nothing")
        inputs = list(context.subject.inputs.values())
        places = [i for i, t in enumerate(inputs) if not _unchanged(t, change(t.detach(), i))]
        if not places:
            raise Skip("no input has a place for them")
        result = at(context, label, change)
        if result is None and len(places) > 1:
            result = _one_by_one(context, label, change, places[:_ALONE])
        if result is None:
            raise Skip("the forward pass has no value there")
        return result

    return variation


def _one_by_one(
    context: Context, label: str, change: Change, places: Sequence[int]
) -> VariationResult | None:
    """Change one input after the other where the function has no value with all of them changed."""
    names = list(context.subject.inputs)
    done = []
    for place in places:
        result = at(context, f"{label} in {names[place]}", _only(change, place))
        if result is not None and result.verdict is Verdict.FAIL:
            return failed(label, result.message, result.parameters)
        done += [result] if result is not None else []
    return passed(label, done[0].message) if done else None


def _only(change: Change, place: int) -> Change:
    return lambda t, number: change(t, number) if number == place else t


def _unchanged(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.layout is not torch.strided or bool(torch.equal(before.detach(), after))


def other_sizes(context: Context) -> VariationResult:
    """Grow and shrink axes of equal length together: 0, 1, one more, more than a block."""
    name = "other sizes"
    tensors = [t for t in context.subject.inputs.values() if t.layout is torch.strided]
    lengths = list(dict.fromkeys(n for t in tensors for n in reversed(t.shape) if n > 0))[:3]
    if not lengths:
        raise Skip("no input has an axis")
    tried: list[str] = []
    for length in lengths:
        for new in _sizes(length, empty=context.handwritten):
            if time.perf_counter() > context.deadline or _grown(tensors, length, new) > _LARGEST:
                continue
            if _is_spoken_of(context.subject, length, new):
                continue
            label = f"axes of {length} made {new}"
            result = at(context, label, _resized(length, new))
            if result is not None:
                tried.append(f"{length} to {new}")
            if result is not None and result.verdict is Verdict.FAIL:
                return failed(name, result.message, result.parameters)
    if not tried:
        raise Skip("the forward pass takes no other size")
    return passed(name, "axes of " + ", ".join(tried))


def _is_spoken_of(subject: TorchSubject, length: int, new: int) -> bool:
    """Whether integers among the arguments say, or count on, how long the axis is.

    A length given as a number would no longer be true; an index, or a length in a tensor, would point beyond
    the end. Not every kernel checks, and a crash could not be caught.
    """
    if length in _integers((subject.args, subject.kwargs)):
        return True
    indices = [t for t in subject.inputs.values() if t.dtype in _INDICES and t.numel()]
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


def _sizes(length: int, empty: bool) -> list[int]:
    """Return the lengths to try; ``empty``: also none at all, of which some of PyTorch's kernels die."""
    block = 33 if length < 33 else 65 if length < 65 else length + 1
    sizes = (1, length + 1, block, 0) if empty else (1, length + 1, block)
    return [n for n in dict.fromkeys(sizes) if n != length]


def _resized(length: int, new: int) -> Change:
    def change(t: torch.Tensor, _: int) -> torch.Tensor:
        if t.layout is not torch.strided:
            return t
        for axis in range(t.ndim):
            if t.shape[axis] == length:
                t = t.index_select(axis, torch.arange(new, device=t.device) % length)
        if new > length and (t.is_floating_point() or t.is_complex()):
            jitter = torch.rand(t.shape, generator=torch.Generator().manual_seed(new), dtype=torch.float64)
            t = t * (0.9 + 0.2 * jitter).to(
                dtype=t.real.dtype if t.is_complex() else t.dtype, device=t.device
            )
        return t

    return change
