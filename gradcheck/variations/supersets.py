"""Inputs that nobody differentiates for, and a hand-written backward pass gives a gradient all the same.

``verify(module, x)`` verifies parameters. Where x goes into a Function, what its backward pass gives for x is
not used here, and is wherever the same module stands behind another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradcheck import conventions, judge, tolerances
from gradcheck.blame import patches
from gradcheck.blame.handwritten import own_code
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Blame, VariationResult
from gradcheck.subjects.torch import TorchSubject, layout
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations.base import Context, failed, started

# What may be spent on single entries.
_LOCATE_SECONDS = 0.3


def inputs_too(context: Context, name: str) -> VariationResult | None:
    """Verify the gradients of inputs of which none is differentiated; None where nothing wrong is found.

    What gets none, or zero, is taken for an input without gradient, such as a target. Deviations that are
    declared may concern inputs as well, and cannot be told apart.
    """
    inputs = [key for key, t in context.subject.inputs.items() if layout.is_number(t) and layout.is_finite(t)]
    if not inputs or context.inputs or context.options.allow or not _is_handwritten(context.subject):
        return None
    given = context.subject
    subject = given.at(given.args, given.kwargs, names=inputs)
    with started(subject) as ready:
        return None if ready is None else _judge(context, ready, name)


def _judge(context: Context, subject: TorchSubject, name: str) -> VariationResult | None:
    subject.coarsen(context.subject.epsilon)
    dtypes = dict.fromkeys(subject.names, judge.format_of(subject.epsilon))
    try:
        outcome = examine_subject(subject, context.options.quick(), dtypes, locate_seconds=_LOCATE_SECONDS)
    except BackwardError:  # what nobody asked for may be refused
        return None
    conventions.accept(outcome)
    wrong = [key for key in outcome.failing if _is_given(outcome, key)]
    if not wrong or tolerances.explains(subject, outcome, wrong):
        return None
    guilty = _guilty(context, subject)
    if not guilty:
        return None
    numbers = outcome.findings[wrong[0]].comparison
    told = f": claimed {numbers.claimed:.6g}, finite differences {numbers.expected:.6g}" if numbers else ""
    return failed(
        name,
        f"where inputs require grad, too, the gradient of {wrong[0]} is wrong{told}; "
        f"enters at {guilty[0].location}, {guilty[0].operation}",
        wrong,
    )


def _is_handwritten(subject: TorchSubject) -> bool:
    """Whether the forward pass calls a Function that is not PyTorch's own, differentiated or not."""
    seen: list[Any] = []

    def visit(cls: Any, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seen.append(cls)
        return real(*args, **kwargs)

    with patches.function_apply(visit), torch.set_grad_enabled(subject.needs_grad_mode):
        subject.run({}, track=subject.needs_grad_mode)
    return any(cls.__module__.partition(".")[0] != "torch" for cls in seen)


def _is_given(outcome: Outcome, name: str) -> bool:
    return name not in outcome.pulls[0].missing and bool(outcome.pulls[0].gradients[name].any())


def _guilty(context: Context, subject: TorchSubject) -> Sequence[Blame]:
    """Return the hand-written backward passes that give wrong numbers, rather than none."""
    written = {blame.operation for blame in own_code(subject).backwards}
    found = context.blame_at(subject) or ()
    return [b for b in found if b.operation in written and not b.message.startswith("no gradient")]
