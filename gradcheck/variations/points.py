"""Whether a point at which a gradient seems wrong is one to judge at.

A variation moves a subject to where nobody asked for it to work: a matrix without full rank, equal
eigenvalues, an iteration that does not settle. What is found there counts only where the function has a
derivative that could be had.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gradcheck import judge, tolerances
from gradcheck.pipeline import NOT_LINEAR, NOT_REPEATED, Outcome
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.iterating import iterates, operations
from gradcheck.variations import digits, witness
from gradcheck.variations.base import Context, Gradients, Skip, apart
from gradcheck.variations.keeping import INDICES

# So often the forward pass is asked to repeat: where memory lies decides about rounding, and not each time.
_REPEATED = 4
# So many numbers of either sign have the same one by chance in a quarter of all cases.
_ONE_SIDED = 3
# Most entries of a gradient differ by more than this share, and are larger than usual by this power of the
# spacing of numbers (a million times in double precision).
_NOISE, _HUGE, _MOST = 1e-3, -0.4, 0.9

# What changes outputs by less than this share changes nothing. Noise is less than this share of a gradient,
# and an error at most so many times what a few roundings do.
_NOTHING, _LITTLE, _AS_MUCH = 1e-6, 1e-3, 3.0
# Errors of up to this share of the largest entry are slight; inputs hardly move by four times this share of
# their size.
_SLIGHT, _HARDLY = 1e-3, 3e-8

# An iteration that takes so many times as many steps has come to its limit.
_STEPS = 4
# One that starts at its solution takes less than the inverse of this.
_FEWER = 2


class NoPoint(Skip):
    """Raised where a discrepancy is no fault; the text says why."""


def check(context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]) -> None:
    """Raise ``NoPoint`` where what is wrong at the subject's inputs is the point, not the backward pass."""
    try:
        reason = _reason(context, subject, outcome, wrong)
    except Exception:  # what cannot be looked into excuses nothing
        return
    if reason:
        raise NoPoint(reason)


def _reason(context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]) -> str:
    told = any(outcome.findings[name].message == NOT_REPEATED for name in wrong)
    if told or not all(outcome.exam.repeats() for _ in range(_REPEATED)):
        return "the forward pass gives another value each time there"
    if tolerances.explains(subject, outcome, wrong):
        return "an iteration's tolerance explains it"
    reason = _runs_otherwise(context, subject)
    if reason:
        return reason
    if _is_on_stairs(context, outcome, wrong):
        return "the forward pass, which moves in steps, does not move there"
    if _stands_for_something(context, subject, outcome, wrong):
        return "0 is not among the integers given, and may stand for something else (a blank, padding)"
    if digits.lost(context.subject, subject, subject.outputs, context.subject.outputs):
        return "rounding of the inputs alone changes the value there"
    if _backward_has_no_digits(context, subject, outcome, wrong):
        return "rounding of the inputs alone changes the whole gradient there"
    if _is_nothing(context, subject, outcome, wrong):
        return "what is wrong there changes next to nothing in the outputs, or is rounding"
    if _is_ill_conditioned(context, subject, outcome, wrong):
        return "moving the inputs by a ten-millionth changes the gradient there by more than it is off"
    if _changes_sign(context, subject) and _turns_erratic(context, subject):
        return "given inputs all have one sign, and with another one the value is erratic"
    if witness.fails_by_itself(context, subject, outcome, wrong):
        return "PyTorch's own gradient of the same forward pass is none there, either"
    return ""


# The forward pass


def _runs_otherwise(context: Context, subject: TorchSubject) -> str:
    """Say how a forward pass that iterates does so at these values of the same shapes; "" where as usual.

    From where it starts it stops at once, and beside there after as few steps as the change is small: what it
    gives then has another slope than the solution.
    """
    shapes = [[t.shape for t in s.inputs.values()] for s in (context.subject, subject)]
    if shapes[0] != shapes[1]:
        return ""
    here, there = operations(context.subject), operations(subject)
    if here is None or there is None:
        return ""
    if there > _STEPS * here and iterates(context.subject):
        return "the forward pass takes many more steps there: an iteration that does not settle"
    if here > _FEWER * there and iterates(context.subject):
        return "the forward pass takes far fewer steps there: an iteration that starts at its solution"
    return ""


def _is_on_stairs(context: Context, outcome: Outcome, wrong: Sequence[str]) -> bool:
    """Whether the value does not move where that of the given inputs moves in steps of its own.

    So does a bisection in so many steps, which gives an end of its bracket for all that lies beyond. Steps of
    single precision inside are none of its own: a clamp has them as well, and owes a gradient of zero.
    """
    seen = [outcome.findings[name].comparison for name in wrong]
    if not all(c is not None and c.expected == 0 for c in seen):
        return False
    return digits.in_steps(context.subject, context.subject.outputs)


def _backward_has_no_digits(
    context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]
) -> bool:
    """Whether at another size moving the inputs by next to nothing gives wholly other gradients.

    So does the inverse of a matrix that has no full rank any more: five equations for thirty-three unknowns.
    A gradient that differs between two passes over the same numbers is taken for that only where it is huge,
    as it may hold what lay about in memory.
    """
    if all(context.subject.variables[name].shape == subject.variables[name].shape for name in subject.names):
        return False
    cotangents = outcome.pulls[0].cotangents
    values = digits.moved(context.subject, subject, subject.epsilon, np.random.default_rng(0))
    with torch.enable_grad(), subject.running(values) as (leaves, outputs):
        other = subject.gradients(leaves, outputs, cotangents)
    first, again = subject.pull_back(cotangents), subject.pull_back(cotangents)
    return _differing(first, other, wrong) > _MOST and (
        _differing(first, again, wrong) == 0 or all(_is_huge(context, subject, n, first[n]) for n in wrong)
    )


def _is_nothing(context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]) -> bool:
    """Whether what is wrong is next to nothing in the outputs, were the leaf moved by its own size, or noise.

    Where a softmax saturates, gradients are differences of large numbers that should be equal, and what keeps
    a division from zero, or the rounding of an exponent, is more than is left of them.
    """
    effects = {name: _effect(outcome, name) for name in wrong}
    largest, slight = max(effects.values()), _NOTHING * outcome.exam.magnitude
    if largest == np.inf or largest <= slight:
        return largest <= slight
    noise = _noise(context, subject, outcome, wrong)
    return all(effect <= slight + _AS_MUCH * noise[name] for name, effect in effects.items())


def _noise(
    context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]
) -> dict[str, float]:
    """Return what rounding the inputs does to gradients, for leaves moved by their size; 0 where it is much.

    What is much beside the gradient of the given inputs is a kink, or a mask.
    """
    cotangents, generator = outcome.pulls[0].cotangents, np.random.default_rng(0)
    given = subject.pull_back(cotangents)
    moves = dict.fromkeys(wrong, 0.0)
    for _ in range(_REPEATED):
        values = digits.moved(subject, subject, subject.epsilon, generator)
        with torch.enable_grad(), subject.running(values) as (leaves, outputs):
            other = subject.gradients(leaves, outputs, cotangents)
        moves = {name: max(move, _distance(other[name], given[name])) for name, move in moves.items()}
    slight = {name: _LITTLE * _distance(context.gradients[name], None) for name in wrong}
    return {
        name: move * float(np.max(outcome.exam.scales[name])) if move <= slight[name] else 0.0
        for name, move in moves.items()
    }


def _distance(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    """Return the largest difference of two gradients, of which none is one of zeros."""
    if a is None:
        return 0.0 if b is None else _largest(b)
    return _largest(a if b is None else a - b)


def _effect(outcome: Outcome, name: str) -> float:
    """Return how far outputs are off, weighted as they are, for an entry moved by its own size."""
    finding, exam = outcome.findings[name], outcome.exam
    nonlinear = finding.message.startswith(NOT_LINEAR)
    if (finding.message and not nonlinear) or finding.comparison is None or finding.tied is not None:
        return np.inf
    scale = float(np.max(exam.scales[name]))
    size = 1.0 if finding.entries is None or finding.by_directions else scale
    bent = exam.rounding.measured.get(name) if nonlinear else None
    return max(
        finding.comparison.abs_error * size, 0.0 if bent is None else float(bent.max(initial=0.0)) * scale
    )


def _is_ill_conditioned(
    context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]
) -> bool:
    """Whether slight errors are less than what hardly moving the inputs does to the same gradient.

    Close singular values: a backward pass that keeps clear of dividing by their distance is off by little.
    """
    slight = [_slightly_off(outcome, name) for name in wrong]
    if subject.epsilon >= judge.SINGLE or not all(slight):
        return False
    cotangents, generator = outcome.pulls[0].cotangents, np.random.default_rng(0)
    values = digits.moved(context.subject, subject, _HARDLY, generator)
    with torch.enable_grad(), subject.running(values) as (leaves, outputs):
        other = subject.gradients(leaves, outputs, cotangents)
    given = subject.pull_back(cotangents)
    return all(apart(other[name], given[name]) > off for name, off in zip(wrong, slight, strict=True))


def _slightly_off(outcome: Outcome, name: str) -> float:
    """Return by what share of its largest entry a gradient is off; 0 where not slightly, or not known."""
    finding, gradient = outcome.findings[name], outcome.pulls[0].gradients[name]
    if finding.message or finding.tied is not None or finding.comparison is None:
        return 0.0
    largest = max(float(np.abs(gradient).max(initial=0.0)), 1e-300)
    along = finding.entries is None or finding.by_directions
    share = finding.comparison.rel_error if along else finding.comparison.abs_error / largest
    return share if share <= _SLIGHT else 0.0


def _differing(a: Gradients, b: Gradients, names: Sequence[str]) -> float:
    """Return the share of entries that differ visibly, among those that are not zero both times."""
    pairs = [(a[name], b[name]) for name in names]
    counted = [(x.flatten(), y.flatten()) for x, y in pairs if x is not None and y is not None]
    if len(counted) < len(pairs):
        return 0.0
    x, y = (torch.cat(each) for each in zip(*counted, strict=True))
    return _share(((x - y).abs() > _NOISE * x.abs())[(x != 0) | (y != 0)])


def _is_huge(context: Context, subject: TorchSubject, name: str, g: torch.Tensor | None) -> bool:
    known = context.gradients.get(name)
    if g is None or known is None:
        return False
    return _share(g.abs() > subject.epsilon**_HUGE * _largest(torch.nan_to_num(known))) > _MOST


def _share(where: torch.Tensor) -> float:
    return float(where.to(torch.float64).mean()) if where.numel() else 0.0


# The inputs


def _stands_for_something(
    context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]
) -> bool:
    """Whether a zero was put among integers that had none and are no lengths, and only numbers differ."""
    if any(name in outcome.pulls[0].finite for name in wrong):
        return False
    pairs = zip(context.subject.inputs.values(), subject.inputs.values(), strict=True)
    return any(
        a.dtype in INDICES and bool((a > 0).all()) and bool((b == 0).any()) and not _are_lengths(context, a)
        for a, b in pairs
        if a.numel() and b.numel()
    )


def _are_lengths(context: Context, t: torch.Tensor) -> bool:
    """Whether the largest is the length of an axis, as it is where others are padded to it."""
    floats = [other for other in context.subject.inputs.values() if other.is_floating_point()]
    return int(t.max()) in {n for other in floats for n in other.shape}


def _changes_sign(context: Context, subject: TorchSubject) -> bool:
    """Whether numbers that were all of one sign now have the other; zero, where a domain ends, is none."""
    pairs = zip(context.subject.inputs.values(), subject.inputs.values(), strict=True)
    return any(
        a.is_floating_point() and a.numel() >= _ONE_SIDED and _is_one_sided(a) and _is_across(a, b)
        for a, b in pairs
    )


def _is_one_sided(t: torch.Tensor) -> bool:
    return bool((t > 0).all() or (t < 0).all())


def _is_across(given: torch.Tensor, t: torch.Tensor) -> bool:
    return bool((t * given.flatten()[0].sign().to(t) < 0).any())


def _turns_erratic(context: Context, subject: TorchSubject) -> bool:
    given = context.subject
    return digits.erratic(subject, subject.outputs) and not digits.erratic(given, given.outputs)


def _largest(t: torch.Tensor) -> float:
    return float(t.abs().max()) if t.numel() else 0.0
