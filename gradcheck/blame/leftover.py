"""Whom to blame when no operation alone was found wrong: the one backward pass that is not PyTorch's own.

PyTorch's own operations go on being right in company. Of a hand-written one no more is said than is known:
that it is right alone only where that was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from gradcheck.report.records import Blame, Call, ParameterResult, Verdict
from gradcheck.subjects.torch.randomness import Randomness

_RIGHT_IN_DOUBLE = "right in float64, "
_NARROW = (
    "right in float64, wrong in the format of its arguments: does it convert to a narrower one, or do "
    "something else for some formats?"
)
_DRAWS = "draws random numbers again in its backward pass: keep what the forward pass drew"
_IN_COMPANY = "right when run alone: does it keep, or change in place, a tensor that others change or use?"
_UNRESOLVED = "a hand-written backward pass that could not be judged alone; all else is PyTorch's own"


def only_backward(
    subject: Any, own: Sequence[Blame], trace: Sequence[Call], results: Iterable[ParameterResult]
) -> tuple[Blame, ...]:
    """Return the one backward pass among an open subject's ``own`` hand-written ones; () of several."""
    if len(own) != 1:
        return ()
    return (replace(own[0], message=_what(subject, own[0], trace, results)),)


def _what(subject: Any, own: Blame, trace: Sequence[Call], results: Iterable[ParameterResult]) -> str:
    failing = [result for result in results if result.verdict is Verdict.FAIL]
    if all(result.message.startswith(_RIGHT_IN_DOUBLE) for result in failing):
        return _NARROW
    if _draws_in_backward(subject):
        return _DRAWS
    called = own.operation.removesuffix(".backward")
    verdicts = [call.verdict for call in trace if call.operation.removesuffix(".apply") == called]
    alone = bool(verdicts) and all(verdict is Verdict.PASS for verdict in verdicts)
    return _IN_COMPANY if alone else _UNRESOLVED


def _draws_in_backward(subject: Any) -> bool:
    """Whether the backward pass moves a random generator."""
    try:
        with torch.enable_grad(), subject.running({}) as (leaves, outputs):
            before = Randomness()
            subject.gradients(leaves, outputs, None)
            return before.moved
    except Exception:  # a backward pass that raises has its own sentence
        return False
