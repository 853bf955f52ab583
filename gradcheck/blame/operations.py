"""Operations whose vjp is wrong: each verified alone, and what fails heard again before it is accused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradcheck.blame import messages
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.mistake import Inspector
from gradcheck.blame.session import Session
from gradcheck.blame.tangents import Tangents, natural
from gradcheck.blame.trace import Key
from gradcheck.blame.verifier import Settings, Verifier
from gradcheck.report.records import Verdict

# Calls of one operation in one place that are looked at again.
_HEARD = 3
# Tangents along which a call must be right before it is cleared.
_TANGENTS = 2


class Operations:
    """The calls that a gradient in question passes through. ``order`` 2: their vjps' vjps, too."""

    def __init__(self, session: Session, order: int, rtol: float | None) -> None:
        self._session, self._rtol = session, rtol
        calls = session.recording.calls
        self._order = 2 if any(call.keeps_graph for call in calls) else order
        self.calls = [call for call in calls if call.differentiable and self._matters(call)]

    def _matters(self, call: TracedCall) -> bool:
        recording = self._session.recording
        unused = call.user_defined and not call.cotangents and recording.error is None
        reached = call.id in recording.ancestry.reaching
        return reached and not unused and not call.differentiates and self._session.concerns(call)

    def wrong(self) -> list[TracedCall]:
        """Verify each call and return those that are wrong under what really reaches them, in order."""
        self._verify(self.calls)
        failed = [c for c in self.calls if has_failed(c) or (c.user_defined and is_suspect(c))]
        if not failed or self._session.recording.error is not None:
            return failed
        return self._confirmed(failed)

    def _verify(
        self, calls: Sequence[TracedCall], *, actual: bool = False, tangents: Tangents | None = None
    ) -> None:
        if not calls:
            return
        session = self._session
        settings = Settings(session.chance, self._order, self._rtol, actual, tangents or {})
        session.run_traced(Verifier({call.key: call for call in calls}, settings))
        session.examined = max(session.examined, len(calls))
        for call in calls:
            if call.verification is not None:
                session.evaluations += call.verification.evaluations
                session.pullbacks += call.verification.backwards

    def _confirmed(self, failed: list[TracedCall]) -> list[TracedCall]:
        """Look again, under the cotangents and along the tangents that really arrive.

        A few calls speak for all of one operation in one place.
        """
        pending, guilty = groups(failed), list[list[TracedCall]]()
        heard = {call.key for group in pending for call in group[:_HEARD]}
        kept = {call.key: call for call in self._session.record(keep=heard).calls if call.kept}
        for _ in range(_TANGENTS):
            again = [kept[call.key] for group in pending for call in group if call.key in kept]
            self._verify(again, actual=True, tangents=self._tangents(again))
            guilty += [group for group in pending if not _is_cleared(group, kept)]
            pending = [group for group in pending if _is_cleared(group, kept)]
        for group in pending:
            found = next(kept[call.key].verification for call in group if call.key in kept)
            for call in group:
                call.verification = found
        accused = {call.id for group in guilty for call in group}
        return [call for call in failed if call.id in accused and not self._raises_only_alone(call, kept)]

    def _raises_only_alone(self, call: TracedCall, kept: Mapping[Key, TracedCall]) -> bool:
        """Whether the backward pass raises alone, though it did not in the run: that proves nothing."""
        found = kept[call.key].verification if call.key in kept else None
        if found is None or not found.raised or found.order > 1:
            return False
        call.verification = replace(found, verdict=Verdict.INCONCLUSIVE)
        return True

    def _tangents(self, calls: Sequence[TracedCall]) -> Tangents:
        if not calls:
            return {}
        session = self._session
        session.runs += 2
        return natural(session.computation, session.direction(), calls, session.track)

    def look_into(self, calls: Sequence[TracedCall]) -> None:
        """Name the mistakes in guilty operations of the user's, each of its place by its first call."""
        firsts = [group[0] for group in groups(calls) if _can_be_read(group[0])]
        session = self._session
        if not firsts or session.recording.error is not None:
            return
        inspector = Inspector({call.key: call for call in firsts}, session.chance)
        session.run_traced(inspector)
        session.evaluations += inspector.evaluations
        session.pullbacks += inspector.backwards

    def unverified(self) -> list[str]:
        """Say which calls could not be judged, and why."""
        notes = []
        for call in self.calls:
            found = call.verification
            if found is None:
                notes.append(f"{described(call)}: not met again")
            elif found.verdict is Verdict.INCONCLUSIVE:
                notes.append(f"{described(call)}: {found.message or 'not resolved by finite differences'}")
        return notes

    def kinks(self) -> list[str]:
        """Name the calls that sat on a kink."""
        return [described(c) for c in self.calls if c.verification is not None and c.verification.kink]


def has_failed(call: TracedCall) -> bool:
    """Whether the call was found wrong."""
    return call.verification is not None and call.verification.verdict is Verdict.FAIL


def is_suspect(call: TracedCall) -> bool:
    """Whether the call is off by more than its error bars, though within tolerance."""
    return call.verification is not None and call.verification.suspect


def _can_be_read(call: TracedCall) -> bool:
    """Whether looking into the operation can tell more than its verification did."""
    found = call.verification
    return call.user_defined and found is not None and not found.raised and found.order == 1


def _is_cleared(group: Sequence[TracedCall], kept: Mapping[Key, TracedCall]) -> bool:
    """Whether a second look found nothing wrong with any of those looked at."""
    found = [kept[call.key].verification for call in group if call.key in kept]
    return bool(found) and all(v is not None and v.verdict is Verdict.PASS and not v.suspect for v in found)


def groups(calls: Sequence[TracedCall]) -> list[list[TracedCall]]:
    """Return the calls of one operation in one place together, the last called first."""
    found: dict[Any, list[TracedCall]] = {}
    for call in reversed(calls):
        place = call.backward if call.user_defined and call.backward else call.place
        found.setdefault((messages.backward_name(call), place), []).append(call)
    return list(found.values())


def described(call: TracedCall) -> str:
    """Return the operation and its place."""
    return f"{call.operation}{messages.at(call.place)}"
