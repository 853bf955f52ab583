"""What a failure of a PyTorch subject may be by intention, or by chance: said beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import torch

from gradcheck.numerical import directions
from gradcheck.pipeline import Outcome
from gradcheck.subjects.torch import TorchSubject

# How far a leaf is moved, in units of its size, to see whether outputs depend on it.
_FAR = (1.0, -1.0, 3.0, -3.0)
# They do where they change by more than this share: what they do not feel at all may change their rounding.
_VISIBLE = 1e-6


def of(subject: TorchSubject, outcome: Outcome, declared: Collection[str]) -> Iterator[str]:
    """Yield what to say of the leaves that failed; ``declared`` are those whose deviation is."""
    for remark in (_surrogates, _random_numbers):
        try:
            yield from remark(subject, outcome, declared)
        except Exception:  # users' code run once more: what it raises says nothing new
            continue


def _surrogates(_: TorchSubject, outcome: Outcome, declared: Collection[str]) -> Iterator[str]:
    """Say where a gradient is claimed of what moves in steps: the true one is zero nearly everywhere."""
    names = [name for name in outcome.failing if name not in declared and _is_of_steps(outcome, name)]
    if names:
        listed = ", ".join(names[:3])
        yield (
            f"the outputs move in steps with {listed}: the true gradient is zero in between. If another is "
            "meant (a straight-through estimator, a surrogate gradient), declare it: "
            f"allow={{{names[0]!r}: 'straight-through'}}"
        )


def _is_of_steps(outcome: Outcome, name: str) -> bool:
    entries, exam = outcome.findings[name].entries, outcome.exam
    if entries is None or not np.any(entries.claimed):
        return False
    if np.any(np.abs(entries.expected) > entries.uncertainty):
        return False
    direction = directions.direction(exam.variables, [name], np.random.default_rng(0), exam.scales)
    for share in _FAR:
        pairs = zip(exam.displaced(direction, share), exam.outputs, strict=True)
        changes = [np.abs(directions.to_numpy(a) - directions.to_numpy(b)).max(initial=0) for a, b in pairs]
        if max(changes, default=0.0) > _VISIBLE * max(exam.sizes, default=0.0):
            return True
    return False


def _random_numbers(subject: TorchSubject, outcome: Outcome, _: Collection[str]) -> Iterator[str]:
    """Say where forward and backward pass both draw random numbers: a mask is drawn anew, perhaps."""
    if not subject.randomised:
        return
    with torch.enable_grad(), subject.running({}) as (leaves, outputs):
        before = torch.get_rng_state()
        subject.gradients(leaves, outputs, outcome.pulls[0].cotangents)
        drawn = not torch.equal(before, torch.get_rng_state())
    if drawn:
        yield (
            "the backward pass draws random numbers: where it runs the forward pass again, are that one's "
            "put back before (torch.get_rng_state, preserve_rng_state)?"
        )
