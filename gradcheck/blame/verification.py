"""One operation's vjp against finite differences of the operation, along random directions.

A discrepancy is confirmed before it counts: with another direction and cotangent, with grad mode on as in the
run, and with the rounding of the backward pass measured by scaling its cotangent. At a kink the claimed
value may lie anywhere between the one-sided derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from gradcheck.blame import kinks, neighbours
from gradcheck.blame.bench import BackwardRaisedError, Bench, Pulled
from gradcheck.blame.probe import Probe, probe, rounding
from gradcheck.report.records import Verdict

# Finite differences that resolve a derivative to this share know it.
_KNOWN = 1e-3


@dataclass(frozen=True)
class Verification:
    """What came out: the claimed and the expected derivative along a random direction.

    ``suspect``: they differ by more than their error bars, though within tolerance. ``arguments`` names
    those whose gradient is wrong. ``evaluations`` and ``backwards`` count runs of this operation.
    ``order`` is 2 where it is the vjp's own vjp; ``ran``: the operation could be run alone;
    ``raised``: its backward pass raised.
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
    order: int = 1
    ran: bool = True
    raised: bool = False


def verify(bench: Bench) -> Verification:
    """Verify one problem.

    An operation that cannot be run alone is inconclusive; one whose backward pass raises has failed.
    """
    try:
        found = _verify(bench)
    except BackwardRaisedError as error:
        message = f"the backward pass raises {error}"
        found = Verification(Verdict.FAIL, message=message, raised=True)
    except Exception as error:
        # a user's operation may raise anything outside its model
        what = f"cannot be run alone: {type(error).__name__}: {error}"
        found = Verification(Verdict.INCONCLUSIVE, message=what, ran=False)
    return replace(found, evaluations=bench.evaluations, backwards=bench.backwards)


def _verify(bench: Bench) -> Verification:
    found = _by_direction(bench)
    if found.verdict is not Verdict.FAIL and found.kink and not bench.problem.trusted:
        together = kinks.together(bench)
        if together is not None:
            message = "at a tie or kink, with all entries moved together"
            return replace(_outcome(Verdict.FAIL, together), kink=True, message=message)
        alone = kinks.singly(bench)
        if alone is not None:
            message = "at a kink, with one entry moved alone"
            return replace(_outcome(Verdict.FAIL, alone), kink=True, message=message)
    return found


def _by_direction(bench: Bench) -> Verification:
    pulled = bench.pull()
    if not pulled.chosen:
        return Verification(Verdict.PASS)
    directions = bench.directions()
    first = probe(bench, pulled, directions)
    if not math.isfinite(first.claimed) and not pulled.all_finite:
        pulled = bench.without_undefined(pulled)
        directions = bench.directions()
        first = probe(bench, pulled, directions)
    if not math.isfinite(first.claimed):
        return _undefined(bench, pulled, first)
    if not first.beyond:
        return _outcome(_judge(bench, pulled, first), first)
    first = replace(first, noise=rounding(bench, pulled, directions))
    if not first.beyond:
        return _outcome(_judge(bench, pulled, first), first)
    return _confirm(bench, pulled, first)


def _undefined(bench: Bench, pulled: Pulled, found: Probe) -> Verification:
    """Judge a gradient that is NaN or infinite: wrong where finite differences know a derivative."""
    if not pulled.all_finite:
        message = "neither its result nor its gradient is finite here"
        return Verification(Verdict.INCONCLUSIVE, message=message)
    estimate = found.estimate
    if not estimate.resolved or not estimate.uncertainty <= _KNOWN * abs(estimate.value):
        message = "its gradient is not finite here, and finite differences find no derivative"
        return Verification(Verdict.INCONCLUSIVE, message=message)
    pairs = zip(bench.problem.names, pulled.gradients, strict=True)
    names = tuple(name for name, g in pairs if g is not None and not bool(torch.isfinite(g).all()))
    message = f"the gradient for {', '.join(names)} is NaN or infinite, where finite differences are not"
    return Verification(Verdict.FAIL, arguments=names, message=message)


def _confirm(bench: Bench, pulled: Pulled, first: Probe) -> Verification:
    """Look again: with a fresh cotangent and direction, and grad mode on."""
    again = bench.pull()
    directions = bench.directions()
    second = probe(bench, again, directions, noise=rounding(bench, again, directions), track=True)
    verdicts = {_judge(bench, pulled, first), _judge(bench, again, second)}
    if Verdict.FAIL not in verdicts:
        verdict = Verdict.PASS if Verdict.PASS in verdicts else Verdict.INCONCLUSIVE
        return _outcome(verdict, first, suspect=second.beyond)
    if (first.kink or second.kink) and (kinks.excuse(bench, again) or neighbours.enclose(bench, again)):
        return replace(_outcome(Verdict.PASS, first), kink=True)
    if not second.beyond:
        return _outcome(Verdict.INCONCLUSIVE, first)
    return _by_argument(bench, again, first)


def _by_argument(bench: Bench, pulled: Pulled, first: Probe) -> Verification:
    """Say which arguments' gradients are wrong, with the numbers of the first of them."""
    names = bench.problem.names
    if len(names) == 1:
        return replace(_outcome(Verdict.FAIL, first), arguments=names)
    wrong = {}
    for i, name in enumerate(names):
        alone = [direction if k == i else None for k, direction in enumerate(bench.directions())]
        found = probe(bench, pulled, alone, noise=rounding(bench, pulled, alone))
        if _judge(bench, pulled, found) is Verdict.FAIL:
            wrong[name] = found
    shown = next(iter(wrong.values()), first)
    return replace(_outcome(Verdict.FAIL, shown), arguments=tuple(wrong))


def _judge(bench: Bench, pulled: Pulled, found: Probe) -> Verdict:
    if not found.estimate.resolved:
        return Verdict.INCONCLUSIVE
    row = bench.tolerance(pulled)
    size = found.size if math.isfinite(found.size) else 0.0
    tau = row.relative * max(size, abs(found.estimate.value)) + row.absolute
    if found.distance - found.uncertainty > tau:
        return Verdict.FAIL
    estimate, bar = found.estimate, found.uncertainty
    if found.kink and estimate.lower + bar <= found.claimed <= estimate.upper - bar:
        return Verdict.PASS  # well between the one-sided derivatives, however well those are known
    enough = max(tau, found.resolvable)
    return Verdict.PASS if found.distance + found.uncertainty <= enough else Verdict.INCONCLUSIVE


def _outcome(verdict: Verdict, found: Probe, suspect: bool = False) -> Verification:
    estimate = found.estimate
    return Verification(
        verdict,
        found.claimed,
        estimate.value,
        found.uncertainty,
        found.size,
        found.kink,
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
