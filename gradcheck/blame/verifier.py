"""The run once more, each call examined alone just before it is made, and forgotten after it.

So no activation is kept beyond what the run keeps. Which calls to examine, and with what cotangents, is known
from the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradcheck.blame import patches
from gradcheck.blame.bench import Bench
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.chance import Chance
from gradcheck.blame.problem import Problem, of_call, second_order
from gradcheck.blame.tangents import Tangents
from gradcheck.blame.trace import Invocation, Key, Passive, unique_tensors
from gradcheck.blame.verification import Verification, verify, worst
from gradcheck.report.records import Verdict
from gradcheck.subjects.torch.layout import is_number, wide


@dataclass(frozen=True)
class Settings:
    """How to examine.

    ``order`` 2: also each vjp's own vjp. ``actual``: with the cotangents that were kept. ``tangents``: along
    these directions, for the calls that have any; else along random ones.
    """

    chance: Chance
    order: int = 1
    rtol: float | None = None
    actual: bool = False
    tangents: Tangents = field(default_factory=dict)


class Verifier(Passive):
    """Examines the given calls as they come by; each gets its ``verification``."""

    def __init__(self, calls: Mapping[Key, TracedCall], settings: Settings) -> None:
        self._calls, self._settings = calls, settings

    def visit(self, invocation: Invocation) -> Any:
        """Examine the call, then make it."""
        call = self._calls.get(invocation.key)
        if call is not None:
            with patches.undisturbed():
                call.verification = verify_call(invocation, call, self._settings)
        return invocation.run()


def verify_call(invocation: Invocation, call: TracedCall, settings: Settings) -> Verification:
    """Verify one call alone, in double precision where it runs so; a user's own also as it was called."""
    arguments = unique_tensors((invocation.args, invocation.kwargs))
    narrow = any(is_number(t) and wide(t.dtype) is not t.dtype for t in arguments)
    if not narrow:
        return _all_orders(of_call(invocation, call, double=False), call, settings)
    double = _all_orders(of_call(invocation, call, double=True), call, settings)
    if double.ran and not call.user_defined:
        return double
    native = _all_orders(of_call(invocation, call, double=False), call, settings)
    return worst([native, double]) if double.ran else native


def _all_orders(problem: Problem, call: TracedCall, settings: Settings) -> Verification:
    actual = call.kept if settings.actual else None
    directions = settings.tangents.get(call.key)
    bench = Bench(problem, settings.chance, call.cotangents, actual, directions, settings.rtol)
    first = verify(bench)
    if settings.order < 2 or first.verdict is not Verdict.PASS:
        return first
    cotangents = bench.pull().cotangents
    second = Bench(second_order(problem, cotangents), settings.chance, rtol=settings.rtol)
    return worst([first, replace(verify(second), order=2)])
