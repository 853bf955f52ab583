"""The same function at other points: judged there, beside what holds at the given one.

At such points kinks are the rule. A discrepancy found there counts only where a single operation's own
backward pass is wrong at its own inputs; what right operations do together at a kink is no fault.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from gradcheck import conventions, judge
from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.pipeline import NOT_LINEAR, Outcome, examine_subject
from gradcheck.report.records import Blame, VariationResult
from gradcheck.subjects.torch import TorchSubject, layout, tree
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import onset, points
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.keeping import Change

# What may be spent on single entries at one such point.
_LOCATE_SECONDS = 0.3
_GRADUAL = (
    "claimed and numerical derivatives part little by little on the way there, as rounding makes them, and "
    "iterations that no longer settle: not judged"
)
# What ``reshape(-1, features)`` raises with no features: an axis that may be empty for no model.
_AMBIGUOUS = "cannot reshape tensor of 0 elements"
# A singular matrix, which a forward pass may take by chance of rounding: the end of its domain.
_SINGULAR = "LinAlgError"
# So often a forward pass is timed.
_TIMED = 4

# Takes a share of the way to a change, from 0 to 1.
Way = Callable[[float], Change]
# Says of an outcome, and the leaves that are wrong in it, why that is no fault; "" where it may be one.
Unless = Callable[[Outcome, Sequence[str]], str]


def at(
    context: Context,
    label: str,
    change: Change,
    within: float = math.inf,
    may_raise: bool = False,
    way: Way | None = None,
    unless: Unless | None = None,
) -> VariationResult | None:
    """Verify the subject with its inputs changed; None where it has no value there.

    ``within``: how many times as large outputs may be as the given ones. ``may_raise``: whether a backward
    pass that raises there says that the function is not meant for it. ``way``: the changes on the way there.
    ``unless`` has the last word.
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
        return judge_subject(context, subject, label, may_raise=may_raise, way=way, unless=unless)


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
        return subject.at(args, kwargs)
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
    context: Context,
    subject: TorchSubject,
    label: str,
    search: bool = True,
    may_raise: bool = False,
    way: Way | None = None,
    unless: Unless | None = None,
) -> VariationResult | None:
    """Verify a started subject that is not the user's own; None where it is no circumstance.

    Without ``search`` for the guilty operation, a discrepancy away from kinks is believed as it is.
    ``may_raise``, ``way`` and ``unless``: see ``at``. Raises ``NoPoint`` where the point is what is wrong.
    """
    subject.coarsen(context.subject.epsilon)
    inside = judge.format_of(subject.epsilon)
    dtypes = {
        name: judge.coarser(layout.label(tensor.dtype), inside) for name, tensor in subject.variables.items()
    }
    try:
        outcome = examine_subject(subject, context.options.quick(), dtypes, locate_seconds=_LOCATE_SECONDS)
    except BackwardError as error:
        if not context.handwritten:
            raise Skip(f"PyTorch's own backward pass raises {str(error)[:100]}") from error
        if any(reason in str(error) for reason in (_AMBIGUOUS, _SINGULAR)):
            return None
        raised = f"with {label}, backward raises {str(error)[:160]}"
        return passed(label, f"{raised}: is it meant to work there?") if may_raise else failed(label, raised)
    conventions.accept(outcome)
    _count(context.exam, outcome.exam)
    off = outcome.failing or (outcome.tied if search else ())
    wrong = [name for name in off if name not in context.holding]
    if not wrong:
        return passed(label)
    points.check(context, subject, outcome, wrong)
    blames = _of_the_user(context, subject) if search else ()
    if blames is None:
        return passed(
            label, f"with {label}: every operation alone is right, at a point where not all are smooth"
        )
    if way is not None and _is_gradual(context, subject, outcome, way):
        return passed(label, f"with {label}: {_GRADUAL}")
    reason = unless(outcome, wrong) if unless is not None else ""
    if reason:
        return passed(label, f"with {label}: {reason}")
    message = f"with {label}, the gradient of {wrong[0]} is wrong{_numbers(outcome.findings[wrong[0]])}"
    if blames:
        message += f"; enters at {blames[0].location}, {blames[0].operation}"
    return failed(label, message, wrong)


def _is_gradual(context: Context, subject: TorchSubject, outcome: Outcome, way: Way) -> bool:
    """Whether what is wrong there, numbers and nothing else, came little by little on the way."""
    wrong = [outcome.findings[name] for name in outcome.failing]
    if not wrong or any(f.message and not f.message.startswith(NOT_LINEAR) for f in wrong):
        return False

    def on_the_way(share: float) -> TorchSubject | None:
        moved = _moved(context.subject, way(share))
        if moved is not None:
            moved.coarsen(subject.epsilon)
        return moved

    return all(
        onset.is_gradual(on_the_way, finding, outcome.pulls[0], context.options.seed) for finding in wrong
    )


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
