"""The guilty operations of a failing computation.

By the chain rule the whole gradient is right if every operation's vjp is right at its own inputs, no path is
cut, and nothing alters a gradient on its way. So each of these is examined, and each accusation is proved: a
wrong vjp under the cotangent that really arrives, a cut path by making its value constant, a hook by leaving
it out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gradcheck.blame import messages, operations
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.computation import Computation, OfSubject, WithLeaves
from gradcheck.blame.hooks import WatchedHook
from gradcheck.blame.operations import Operations
from gradcheck.blame.recording import Gradients, pull_back
from gradcheck.blame.result import BlameResult, Cuts
from gradcheck.blame.search import necessary
from gradcheck.blame.session import Session
from gradcheck.blame.severed import Scales, suspects
from gradcheck.report.records import Blame, Call


def find_blame(
    run: Callable[[], Sequence[torch.Tensor]],
    leaves: Mapping[str, torch.Tensor],
    *,
    wrong: Sequence[str] = (),
    cotangents: Sequence[torch.Tensor | None] | None = None,
    rng: np.random.Generator | None = None,
    order: int = 1,
    rtol: float | None = None,
) -> BlameResult:
    """Return the operations whose gradient is wrong, with their source lines.

    Args:
        run: the forward pass; reads ``leaves`` and returns a flat list of output tensors. Random choices
            are repeated from PyTorch's, NumPy's and Python's global generators.
        leaves: tensors that require grad, by name; float64 where the computation runs so. Restored.
        wrong: the names whose gradients are wrong; calls that touch none of them are not blamed. Empty: all.
        cotangents: one per output, of its shape, under which the gradient was found wrong; None: random.
        rng: where random directions come from.
        order: 2 verifies each call's vjp of the vjp, too.
        rtol: in place of the table's relative tolerance.

    Raises:
        whatever ``run`` raises at the given point; a backward pass that raises is blamed.
    """
    return _search(WithLeaves(run, leaves), wrong, cotangents, rng, order, rtol)


def blame_subject(
    subject: Any,
    *,
    wrong: Sequence[str] = (),
    cotangents: Sequence[torch.Tensor | None] | None = None,
    rng: np.random.Generator | None = None,
    order: int = 1,
    rtol: float | None = None,
    explain: bool = True,
) -> BlameResult:
    """As ``find_blame``, for a ``TorchSubject`` that has been started and whose context is entered.

    Where ``explain`` is False only the places are wanted, not the mistakes in them.
    """
    return _search(OfSubject(subject), wrong, cotangents, rng, order, rtol, explain)


def _search(
    computation: Computation,
    wrong: Sequence[str],
    cotangents: Sequence[torch.Tensor | None] | None,
    rng: np.random.Generator | None,
    order: int,
    rtol: float | None,
    explain: bool = True,
) -> BlameResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user has met them; every further run would repeat them
        session = Session(computation, wrong, cotangents, rng)
        examined = Operations(session, order, rtol)
        blames, cuts = _blames(session, examined, explain)
    unverified = [*(f"{name}: not seen by the trace" for name in session.recording.unseen)]
    unverified += examined.unverified()
    suspect = any(operations.is_suspect(call) for call in examined.calls)
    return BlameResult(
        blames=tuple(dict.fromkeys(blames)),
        trace=tuple(_public(call) for call in session.recording.calls),
        all_calls_right=not blames and not unverified and not suspect,
        kinks=tuple(dict.fromkeys(examined.kinks())),
        unverified=tuple(dict.fromkeys(unverified)),
        cost=session.cost,
        of_the_user=_of_the_user(blames, examined),
        cuts=cuts,
        arguments=_arguments(session, examined),
    )


def _arguments(session: Session, examined: Operations) -> frozenset[str]:
    """Return the leaves that wrong operations take as they are."""
    taken = {source for call in examined.calls if operations.has_failed(call) for source in call.inputs}
    return frozenset(taken & session.recording.ancestry.names)


def _of_the_user(blames: Sequence[Blame], examined: Operations) -> tuple[Blame, ...]:
    """Return the blames that are not of PyTorch's own operations."""
    theirs = [
        call
        for call in examined.calls
        if not call.user_defined and (operations.has_failed(call) or operations.is_suspect(call))
    ]
    places = {(blame.operation, blame.location) for blame in _grouped(theirs)}
    own = [blame for blame in blames if (blame.operation, blame.location) not in places]
    return tuple(dict.fromkeys(own))


def _blames(session: Session, examined: Operations, explain: bool) -> tuple[list[Blame], Cuts]:
    """Return all blames, and those of cut paths with the leaves that these lead to."""
    wrong = examined.wrong()
    if explain:
        examined.look_into(wrong)
    severed = _severed(session)
    if wrong:  # what cannot be differentiated twice has no gradient inside either
        severed = [call for call in severed if not call.keeps_graph]
    found = _grouped(wrong)
    leaves = [_cut_off(session, call) for call in reversed(severed)]
    cuts = tuple(
        (messages.severed(call, cut), cut) for call, cut in zip(reversed(severed), leaves, strict=True)
    )
    found += [blame for blame, _ in cuts]
    found += [messages.hook(hook) for hook in _hooks(session)]
    return found or _last_resort(session, examined), cuts


def _grouped(calls: Sequence[TracedCall]) -> list[Blame]:
    """Return one blame per place, the last called first: seen from the output, the error enters there."""
    return [messages.wrong_calls(group) for group in operations.groups(calls)]


def _severed(session: Session) -> list[TracedCall]:
    """Return the calls that cut a path to a leaf in question."""
    recording = session.recording
    candidates = [
        call
        for call in suspects(recording.calls)
        # what a run writes into memory of its own, a new module's weights say, cuts nothing
        if session.concerns(call)
        and (recording.ancestry.leaves_of[call.id] or not call.unrecorded)
        # what its backward pass differentiates itself it need not be given
        and not (call.hidden and session.computation.accumulates)
    ]
    if not candidates:
        return []
    scales = Scales(session.computation, session.direction(), recording.cotangents, session.track)
    try:
        return scales.guilty(candidates)
    finally:
        session.runs += scales.evaluations


def _cut_off(session: Session, call: TracedCall) -> frozenset[str]:
    """Return the leaves in question to which a call cuts the path."""
    leaves = session.recording.ancestry.cut_by(call)
    return leaves & session.wrong if session.wrong else leaves


def _hooks(session: Session) -> list[WatchedHook]:
    """Return the hooks without which the gradients would be others."""
    altering = session.recording.hooks.altering

    def without(hooks: Sequence[WatchedHook]) -> Gradients:
        return session.record(disabled_hooks={hook.id for hook in hooks}).gradients

    if not altering:
        return []
    clean = without(altering)
    if session.same(session.recording.gradients, clean):
        return []
    return necessary(altering, lambda hooks: session.same(without(hooks), clean))


def _last_resort(session: Session, examined: Operations) -> list[Blame]:
    """Blame what is left when nothing else is found."""
    recording = session.recording
    if recording.error is not None:
        what = f"the backward pass raises {type(recording.error).__name__}: {recording.error}"
        return [messages.blame("backward", recording.raised, what)]
    suspect = [call for call in examined.calls if operations.is_suspect(call)]
    return _checkpoints(session) or _grouped(suspect)


def _checkpoints(session: Session) -> list[Blame]:
    """Compare the recorded gradient, for which nothing was computed again, with the real one."""
    recording = session.recording
    if not recording.checkpoints:
        return []
    with session.computation.running({}, track=True) as (leaves, outputs):
        real = pull_back(leaves, outputs, recording.cotangents, accumulate=True)
    session.runs += 1
    session.backwards += 1
    if session.same(real, recording.gradients):
        return []
    return [messages.checkpoint(place) for place in recording.checkpoints]


def _public(call: TracedCall) -> Call:
    verdict = call.verification.verdict if call.verification is not None else None
    return Call(call.id, call.operation, str(call.place) if call.place else None, call.inputs, verdict)
