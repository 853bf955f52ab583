"""One operation's vjp against finite differences of the operation, along random directions.

A discrepancy is confirmed before it counts: with another direction and cotangent, with grad mode on as in the
run, and with the rounding of the backward pass measured by scaling its cotangent. At a kink the claimed
value may lie anywhere between the one-sided derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradcheck.blame import kinks
from gradcheck.blame.bench import BackwardRaisedError, Bench, Probe, Pulled
from gradcheck.report.records import Verdict


@dataclass(frozen=True)
class Verification:
    """What came out: the claimed and the expected derivative along a random direction.

    ``suspect``: they differ by more than their error bars, though within tolerance. ``arguments`` names
    those whose gradient is wrong. ``evaluations`` and ``backwards`` count runs of this operation.
    """

    verdict: Verdict
    claimed: float = math.nan
    expected: float = math.nan
    uncertainty: float = math.inf
    size: float = 0.0
    kink: bool = False
    suspect: bool = False
    arguments: tuple[str, ...] = ()
    message: str = ""
    evaluations: int = 0
    backwards: int = 0


def verify(bench: Bench) -> Verification:
    """Verify one problem.

    An operation that cannot be run alone is inconclusive; one whose backward pass raises has failed.
    """
    try:
        found = _verify(bench)
    except BackwardRaisedError as error:
        found = Verification(Verdict.FAIL, message=f"its backward pass raises {error}")
    except Exception as error:
        found = Verification(
            Verdict.INCONCLUSIVE, message=f"cannot be run alone: {type(error).__name__}: {error}"
        )
    return replace(found, evaluations=bench.evaluations, backwards=bench.backwards)


def _verify(bench: Bench) -> Verification:
    pulled = bench.pull()
    if not pulled.chosen:
        return Verification(Verdict.PASS)
    directions = bench.directions()
    first = bench.probe(pulled, directions)
    if first.distance <= first.uncertainty:
        return _outcome(_judge(bench, pulled, first), first)
    first = replace(first, noise=bench.noise(pulled, directions))
    verdict = _judge(bench, pulled, first)
    if verdict is not Verdict.FAIL and first.distance <= first.uncertainty:
        return _outcome(verdict, first)
    return _confirm(bench, pulled, first)


def _confirm(bench: Bench, pulled: Pulled, first: Probe) -> Verification:
    """Look again: with a fresh cotangent and direction, and grad mode on."""
    again = bench.pull()
    directions = bench.directions()
    second = bench.probe(again, directions, noise=bench.noise(again, directions), track=True)
    verdicts = {_judge(bench, pulled, first), _judge(bench, again, second)}
    beyond = all(probe.distance > probe.uncertainty for probe in (first, second))
    if Verdict.FAIL not in verdicts:
        return _outcome(
            Verdict.PASS if Verdict.PASS in verdicts else Verdict.INCONCLUSIVE, first, suspect=beyond
        )
    if not beyond:
        return _outcome(Verdict.INCONCLUSIVE, first)
    if (first.estimate.kink or second.estimate.kink) and kinks.excuse(bench, again):
        return replace(_outcome(Verdict.PASS, first), kink=True)
    return _by_argument(bench, again, first)


def _by_argument(bench: Bench, pulled: Pulled, first: Probe) -> Verification:
    """Say which arguments' gradients are wrong, with the numbers of the first of them."""
    names = bench.problem.names
    if len(names) == 1:
        return replace(_outcome(Verdict.FAIL, first), arguments=names)
    wrong = {}
    for i, name in enumerate(names):
        alone = [direction if k == i else None for k, direction in enumerate(bench.directions())]
        probe = bench.probe(pulled, alone, noise=bench.noise(pulled, alone))
        if _judge(bench, pulled, probe) is Verdict.FAIL:
            wrong[name] = probe
    worst_probe = next(iter(wrong.values()), first)
    return replace(_outcome(Verdict.FAIL, worst_probe), arguments=tuple(wrong))


def _judge(bench: Bench, pulled: Pulled, probe: Probe) -> Verdict:
    if not probe.estimate.resolved:
        return Verdict.INCONCLUSIVE
    tau = bench.tolerance(pulled, probe)
    if probe.distance - probe.uncertainty > tau:
        return Verdict.FAIL
    enough = max(tau, bench.resolvable(pulled))
    return Verdict.PASS if probe.distance + probe.uncertainty <= enough else Verdict.INCONCLUSIVE


def _outcome(verdict: Verdict, probe: Probe, suspect: bool = False) -> Verification:
    estimate = probe.estimate
    return Verification(
        verdict,
        probe.claimed,
        estimate.value,
        probe.uncertainty,
        probe.size,
        estimate.kink,
        suspect,
        message="" if estimate.resolved else estimate.message,
    )


def worst(verifications: Sequence[Verification]) -> Verification:
    """Return the worst of several verifications of one operation, with all their runs counted."""
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    chosen = min(verifications, key=lambda v: (order.index(v.verdict), not v.suspect))
    return replace(
        chosen,
        kink=any(v.kink for v in verifications),
        evaluations=sum(v.evaluations for v in verifications),
        backwards=sum(v.backwards for v in verifications),
    )
