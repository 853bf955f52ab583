"""The same function at other points: special values put into its inputs.

At such points kinks are the rule. A discrepancy found there counts only where a single operation's own
backward pass is wrong at its own inputs; what right operations do together at a kink is no fault.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from gradcheck import conventions, judge
from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject
from gradcheck.report.records import Blame, VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject, tree
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import domain, points
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.keeping import INDICES, Change, kept

# What may be spent on single entries at one such point.
_LOCATE_SECONDS = 0.3
# exp(1000) is infinite in float64, too.
_EXPONENT, _MOST = 1000.0, 1e4
# What ``reshape(-1, features)`` raises with no features: an axis that may be empty for no model.
_AMBIGUOUS = "cannot reshape tensor of 0 elements"
# A singular matrix, which a forward pass may take by chance of rounding: the end of its domain.
_SINGULAR = "LinAlgError"
# Formats coarser than this have less than four digits.
_HALF = 1e-4
# So often a forward pass is timed.
_TIMED = 4
# So many inputs are changed alone, where all of them together cannot be.
_ALONE = 4


def at(
    context: Context, label: str, change: Change, within: float = math.inf, may_raise: bool = False
) -> VariationResult | None:
    """Verify the subject with its inputs changed; None where it has no value there.

    ``within``: how many times as large outputs may be as the given ones. ``may_raise``: whether a backward
    pass that raises there says that the function is not meant for it.
    """
    subject = _moved(context.subject, change)
    if subject is None:
        return None
    with subject:
        try:
            subject.start()
        except Exception:  # outside its domain a forward pass raises what it likes
            return None
        if not _usable(subject) or _largest(subject) > within * (_largest(context.subject) or math.inf):
            return None
        return judge_subject(context, subject, label, may_raise=may_raise)


def value_time(context: Context, change: Change) -> float | None:
    """Return the seconds that the forward pass takes with the inputs changed; None where it has no value.

    The least of a few: another program on the machine makes a pass slow, never fast.
    """
    subject = _moved(context.subject, change)
    if subject is None:
        return None
    with subject, torch.no_grad():
        try:
            subject.start()
            return min(_seconds(subject) for _ in range(_TIMED))
        except Exception:  # as in ``at``
            return None


def has_value(context: Context, change: Change) -> bool:
    """Whether the forward pass takes the inputs so changed."""
    subject = _moved(context.subject, change)
    if subject is None:
        return False
    with subject, torch.no_grad():
        try:
            subject.function(*subject.args, **subject.kwargs)
        except Exception:  # as in ``at``
            return False
    return True


def _seconds(subject: TorchSubject) -> float:
    start = time.perf_counter()
    subject.function(*subject.args, **subject.kwargs)
    return time.perf_counter() - start


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


def _largest(subject: TorchSubject) -> float:
    return max((float(out.abs().max()) for out in subject.outputs if out.numel()), default=0.0)


def judge_subject(
    context: Context, subject: TorchSubject, label: str, search: bool = True, may_raise: bool = False
) -> VariationResult | None:
    """Verify a started subject that is not the user's own; None where it is no circumstance.

    Without ``search`` for the guilty operation, a discrepancy away from kinks is believed as it is.
    ``may_raise``: see ``at``.
    """
    subject.coarsen(context.subject.epsilon)
    inside = "float32" if subject.epsilon >= judge.SINGLE else "float64"
    dtypes = {
        name: judge.coarser(str(tensor.dtype).removeprefix("torch."), inside)
        for name, tensor in subject.variables.items()
    }
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
        raised = f"with {label}, backward raises {str(error)[:160]}"
        return passed(label, f"{raised}: is it meant to work there?") if may_raise else failed(label, raised)
    conventions.accept(outcome)
    _count(context.exam, outcome.exam)
    wrong = outcome.failing or (outcome.tied if search else ())
    if not wrong:
        return passed(label)
    points.check(context, subject, outcome, wrong)
    blames = _of_the_user(context, subject) if search else ()
    if blames is None:
        return passed(
            label, f"with {label}: every operation alone is right, at a point where not all are smooth"
        )
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
    """Round to multiples of a power of two: numbers around 1 fall on 0, 1 and -1, where domains end."""
    size = float(t.abs().mean()) if t.numel() > 1 and not t.is_complex() else 0.0
    step = 2.0 ** round(math.log2(size)) if 0 < size < math.inf else 1.0
    return t.clone() if t.is_complex() or t.numel() < 2 else (t / step).round() * step


def _large(t: torch.Tensor, _: int) -> torch.Tensor:
    """Multiply until there is a number as large as 1000, of either sign where both occur.

    Its exponential is beyond every number format.
    """
    if not t.numel() or t.is_complex():
        return t * 100.0
    sides = [side for side in (float(t.max()), -float(t.min())) if side > 0]
    return t * max(100.0, min(_EXPONENT / min(sides), _MOST) if sides else 0.0)


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
    "large magnitudes": _floats(_large),
    "repeated indices": _one_index,
    "zero indices": _zero_index,
    "whole and empty masks": _whole_and_empty,
}


def special(label: str) -> Callable[[Context], VariationResult]:
    """Return the variation that puts one kind of special value into the inputs."""

    def variation(context: Context) -> VariationResult:
        change = kept(context.subject, SPECIAL[label])
        if label == "large magnitudes" and context.subject.epsilon > _HALF:
            raise Skip("differences of large numbers in half precision tell nothing")
        inputs = list(context.subject.inputs.values())
        places = [i for i, t in enumerate(inputs) if not _unchanged(t, change(t.detach(), i))]
        if not places:
            raise Skip("no input has a place for them")
        result, reason = _together(context, label, change, places)
        if result is None and len(places) > 1:
            result = _one_by_one(context, label, change, places[:_ALONE])
        if result is None:
            raise Skip(reason or "the forward pass has no value there")
        return replace(result, message=result.message or reason)

    return variation


def _together(
    context: Context, label: str, change: Change, places: Sequence[int]
) -> tuple[VariationResult | None, str]:
    """Change all inputs; what is wrong then is looked for with each of them changed alone."""
    names = list(context.subject.inputs)
    where = f"{label} in {', '.join(names[i] for i in places)}"
    try:
        result = at(context, where, change)
        if result is None and label == "large magnitudes":
            result = at(context, where, kept(context.subject, _floats(lambda t, _: t * 100.0)))
    except points.NoPoint as reason:
        return None, f"with {where}: {reason}"
    if result is None:
        return None, ""
    if result.verdict is Verdict.FAIL and len(places) > 1:
        alone = _one_by_one(context, label, change, places[:_ALONE])
        result = alone if alone is not None and alone.verdict is Verdict.FAIL else result
    return replace(result, name=label), ""


def _one_by_one(
    context: Context, label: str, change: Change, places: Sequence[int]
) -> VariationResult | None:
    """Change one input after the other where the function has no value with all of them changed."""
    names = list(context.subject.inputs)
    done = []
    for place in places:
        try:
            result = at(context, f"{label} in {names[place]}", _only(change, place))
        except points.NoPoint:
            continue
        if result is not None and result.verdict is Verdict.FAIL:
            return failed(label, result.message, result.parameters)
        done += [result] if result is not None else []
    return passed(label, done[0].message) if done else None


def _only(change: Change, place: int) -> Change:
    return lambda t, number: change(t, number) if number == place else t


def _unchanged(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.layout is not torch.strided or bool(torch.equal(before.detach(), after))
