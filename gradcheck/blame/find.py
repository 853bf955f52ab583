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

from gradcheck.blame import messages
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.chance import Chance
from gradcheck.blame.computation import Computation, OfSubject, WithLeaves
from gradcheck.blame.hooks import WatchedHook
from gradcheck.blame.recording import Gradients, Recording, pull_back, record
from gradcheck.blame.result import BlameCost, BlameResult
from gradcheck.blame.search import necessary
from gradcheck.blame.severed import Scales, suspects
from gradcheck.blame.tangents import Tangents, natural
from gradcheck.blame.trace import Key, run_traced
from gradcheck.blame.verifier import Settings, Verifier
from gradcheck.report.records import Blame, Call, Verdict

_SAME = 1e-9
# Calls of one operation in one place that are looked at again.
_HEARD = 3
# Tangents along which a call must be right before it is cleared.
_TANGENTS = 2


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
) -> BlameResult:
    """As ``find_blame``, for a ``TorchSubject`` that has been started and whose context is entered."""
    return _search(OfSubject(subject), wrong, cotangents, rng, order, rtol)


def _search(computation: Computation, *options: Any) -> BlameResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user has met them; every further run would repeat them
        return _Search(computation, *options).result()


class _Search:
    def __init__(
        self,
        computation: Computation,
        wrong: Sequence[str],
        cotangents: Sequence[torch.Tensor | None] | None,
        rng: np.random.Generator | None,
        order: int,
        rtol: float | None,
    ) -> None:
        self.computation, self.order, self.rtol = computation, order, rtol
        self.wrong = frozenset(wrong)
        self.chance = Chance(rng if rng is not None else np.random.default_rng(0))
        self.runs = self.backwards = self.evaluations = self.pullbacks = self.examined = 0
        self.recording = self._record(cotangents)
        self.cotangents = self.recording.cotangents

    def _record(self, cotangents: Sequence[torch.Tensor | None] | None, **options: Any) -> Recording:
        self.runs += 1
        self.backwards += 1
        return record(self.computation, self.chance, cotangents, **options)

    def result(self) -> BlameResult:
        calls = self._relevant()
        self._verify(calls)
        failed = self._confirmed(calls)
        severed = self._severed()
        hooks = self._hooks()
        if failed:  # what cannot be differentiated twice has no gradient inside either
            severed = [call for call in severed if not call.keeps_graph]
        blames = [*_grouped(failed), *(self._severed_blame(call) for call in reversed(severed))]
        blames += [messages.hook(hook) for hook in hooks]
        if not blames:
            blames = self._last_resort(calls)
        unverified = self._unverified(calls)
        right = not blames and not unverified and not any(_is_suspect(call) for call in calls)
        return BlameResult(
            tuple(dict.fromkeys(blames)),
            tuple(_public(call) for call in self.recording.calls),
            right,
            tuple(dict.fromkeys(_described(call) for call in calls if _at_kink(call))),
            unverified,
            BlameCost(self.runs, self.backwards, self.examined, self.evaluations, self.pullbacks),
        )

    # Operations

    def _relevant(self) -> list[TracedCall]:
        """Return the calls that a wrong leaf's gradient passes through."""
        return [call for call in self.recording.calls if call.differentiable and self._matters(call)]

    def _matters(self, call: TracedCall) -> bool:
        if call.differentiates:
            return False
        recording = self.recording
        if call.user_defined and not call.cotangents and recording.error is None:
            return False
        return call.id in recording.ancestry.reaching and self._concerns(call)

    def _concerns(self, call: TracedCall) -> bool:
        leaves = self.recording.ancestry.leaves_of[call.id]
        return not self.wrong or not leaves or bool(leaves & self.wrong)

    def _verify(
        self, calls: Sequence[TracedCall], *, actual: bool = False, tangents: Tangents | None = None
    ) -> None:
        if not calls:
            return
        order = 2 if any(call.keeps_graph for call in self.recording.calls) else self.order
        settings = Settings(self.chance, order, self.rtol, actual, tangents or {})
        verifier = Verifier({call.key: call for call in calls}, settings)

        def run() -> None:
            with self.computation.running({}, track=True):
                pass

        run_traced(run, verifier)
        self.runs += 1
        self.examined = max(self.examined, len(calls))
        for call in calls:
            if call.verification is not None:
                self.evaluations += call.verification.evaluations
                self.pullbacks += call.verification.backwards

    def _confirmed(self, calls: Sequence[TracedCall]) -> list[TracedCall]:
        """Look again at what failed, under the cotangents and along the tangents that really arrive.

        A few calls speak for all of one operation in one place.
        """
        failed = [call for call in calls if _has_failed(call) or (call.user_defined and _is_suspect(call))]
        if not failed or self.recording.error is not None:
            return failed
        pending, confirmed = _groups(failed), list[TracedCall]()
        again = self._record(self.cotangents, keep={call.key for group in pending for call in group[:_HEARD]})
        kept = {call.key: call for call in again.calls if call.kept}
        for _ in range(_TANGENTS):
            heard = [kept[call.key] for group in pending for call in group if call.key in kept]
            self._verify(heard, actual=True, tangents=self._tangents(heard))
            guilty = [group for group in pending if not _is_cleared(group, kept)]
            pending = [group for group in pending if group not in guilty]
            confirmed += [call for group in guilty for call in group]
            if not pending:
                break
        for group in pending:
            for call in group:
                call.verification = next(kept[c.key].verification for c in group if c.key in kept)
        return [call for call in calls if call in confirmed]

    def _tangents(self, calls: Sequence[TracedCall]) -> Tangents:
        if not calls:
            return {}
        track = any(call.differentiates for call in self.recording.calls)
        self.runs += 2
        return natural(self.computation, self._direction(), calls, track)

    # Paths

    def _severed(self) -> list[TracedCall]:
        candidates = [call for call in suspects(self.recording.calls) if self._concerns(call)]
        if not candidates:
            return []
        track = any(call.differentiates for call in self.recording.calls)
        scales = Scales(self.computation, self._direction(), self.cotangents, track)
        try:
            return scales.guilty(candidates)
        finally:
            self.runs += scales.evaluations

    def _direction(self) -> dict[str, torch.Tensor]:
        names = [name for name in self.computation.values if not self.wrong or name in self.wrong]
        return {name: self.chance.direction(self.computation.values[name]) for name in names}

    def _severed_blame(self, call: TracedCall) -> Blame:
        leaves = self.recording.ancestry.cut_by(call)
        return messages.severed(call, leaves & self.wrong if self.wrong else leaves)

    # Hooks

    def _hooks(self) -> list[WatchedHook]:
        altering = self.recording.hooks.altering
        if not altering:
            return []
        every = self._gradients_without(altering)

        def enough(some: Sequence[WatchedHook]) -> bool:
            return self._same(self._gradients_without(some), every)

        if self._same(self.recording.gradients, every):
            return []
        return necessary(altering, enough)

    def _gradients_without(self, hooks: Sequence[WatchedHook]) -> Gradients:
        disabled = {hook.id for hook in hooks}
        return self._record(self.cotangents, disabled_hooks=disabled).gradients

    def _same(self, a: Gradients, b: Gradients) -> bool:
        names = [name for name in b if not self.wrong or name in self.wrong]
        return all(_close(a.get(name), b.get(name)) for name in names)

    # When nothing else is found

    def _last_resort(self, calls: Sequence[TracedCall]) -> list[Blame]:
        recording = self.recording
        if recording.error is not None:
            what = f"the backward pass raises {type(recording.error).__name__}: {recording.error}"
            return [messages.blame("backward", recording.raised, what)]
        found = self._checkpoints()
        return found or _grouped([call for call in calls if _is_suspect(call)])

    def _checkpoints(self) -> list[Blame]:
        """Compare the recorded gradient, for which nothing was computed again, with the real one."""
        if not self.recording.checkpoints:
            return []
        with self.computation.running({}, track=True) as (leaves, outputs):
            real = pull_back(leaves, outputs, self.cotangents, accumulate=True)
        self.runs += 1
        self.backwards += 1
        if self._same(real, self.recording.gradients):
            return []
        return [messages.checkpoint(place) for place in self.recording.checkpoints]

    def _unverified(self, calls: Sequence[TracedCall]) -> tuple[str, ...]:
        notes = [f"{name}: not seen by the trace" for name in self.recording.unseen]
        for call in calls:
            found = call.verification
            if found is None:
                notes.append(f"{_described(call)}: not met again")
            elif found.verdict is Verdict.INCONCLUSIVE:
                notes.append(f"{_described(call)}: {found.message or 'not resolved by finite differences'}")
        return tuple(dict.fromkeys(notes))


def _has_failed(call: TracedCall) -> bool:
    return call.verification is not None and call.verification.verdict is Verdict.FAIL


def _at_kink(call: TracedCall) -> bool:
    return call.verification is not None and call.verification.kink


def _is_suspect(call: TracedCall) -> bool:
    return call.verification is not None and call.verification.suspect


def _is_cleared(group: Sequence[TracedCall], kept: Mapping[Key, TracedCall]) -> bool:
    """Whether a second look found nothing wrong with any of those looked at."""
    found = [kept[call.key].verification for call in group if call.key in kept]
    return bool(found) and all(v is not None and v.verdict is Verdict.PASS and not v.suspect for v in found)


def _groups(calls: Sequence[TracedCall]) -> list[list[TracedCall]]:
    """Return the calls of one operation in one place together, the last called first."""
    groups: dict[Any, list[TracedCall]] = {}
    for call in reversed(calls):
        place = call.backward if call.user_defined and call.backward else call.place
        groups.setdefault((messages.backward_name(call), place), []).append(call)
    return list(groups.values())


def _grouped(calls: Sequence[TracedCall]) -> list[Blame]:
    """Return one blame per place, the last called first: seen from the output, the error enters there."""
    return [messages.wrong_calls(group) for group in _groups(calls)]


def _described(call: TracedCall) -> str:
    return f"{call.operation}{messages.at(call.place)}"


def _public(call: TracedCall) -> Call:
    verdict = call.verification.verdict if call.verification is not None else None
    return Call(call.id, call.operation, str(call.place) if call.place else None, call.inputs, verdict)


def _close(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        other = b if a is None else a
        return other is None or not bool(other.any())
    largest = float(b.abs().max()) if b.numel() else 0.0
    return torch.allclose(a, b, rtol=_SAME, atol=_SAME * largest, equal_nan=True)
