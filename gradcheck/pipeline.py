"""The one road that every subject takes: claimed gradients, screening, entries, verdicts.

What only some kinds of subject have (source lines, variations, other witnesses) is added by their own
modules to the outcome of this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from gradcheck import edges, findings, judge, power, suspects, ties
from gradcheck.every import Tally, examine_every
from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.judge import SINGLE, Tolerance
from gradcheck.locate import Entries, entry_probe
from gradcheck.numerical import roundoff
from gradcheck.numerical.line import line_step
from gradcheck.options import Options
from gradcheck.probes import Probe, Pulled
from gradcheck.progress import Watch
from gradcheck.report.records import Verdict
from gradcheck.report.words import counted
from gradcheck.rounding import SCALE
from gradcheck.screening import Screening, screen
from gradcheck.subjects.base import Subject

# Forward evaluations, and seconds, that halving groups of suspect parameters may take.
_HALVING, _HALVING_SECONDS = 4000, 60.0
# Seconds spent on the entries of one leaf whose probe met a kink.
_TIE_SECONDS = 0.5
# Noise of so many times the rounding error may come from a narrower format inside; formats of a spacing
# beyond the second number are narrow themselves.
_MUCH, _FINE = 1e3, 1e-9
# Shares from here on are told in per cent.
_ROUGHLY = 1e-3
# A gradient that changes by more than this under a scaled cotangent is not just rounded.
_LINEAR = 1e-6
NOT_LINEAR = "backward is not linear"
NOT_REPEATED = (
    "cannot be verified: the forward pass gives another value each time it is run on the same numbers; "
    "the global generators of PyTorch, NumPy and Python are put back before each run, so what it draws "
    "from, or counts, lies elsewhere"
)


@dataclass
class Outcome:
    """All that the pipeline found: one Finding per parameter, and what it was found with.

    ``seconds_apart`` were spent on further directions because of the power of the first; ``floor`` is the
    rounding error of <u, outputs>, once somebody asked.
    """

    exam: Examination
    pulls: list[Pulled]
    findings: dict[str, Finding]
    tolerances: Mapping[str, Tolerance]
    joint: list[Probe] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds_apart: float = 0.0
    floor: float | None = None

    @property
    def failing(self) -> list[str]:
        """The parameters found wrong."""
        return [name for name, finding in self.findings.items() if finding.verdict is Verdict.FAIL]

    @property
    def in_doubt(self) -> bool:
        """Whether some parameter was found wrong, or it cannot be told from its numbers alone."""
        for finding in self.findings.values():
            if finding.verdict is Verdict.FAIL or finding.ties or finding.endless:
                return True
        return False

    @property
    def tied(self) -> list[str]:
        """The parameters whose gradient is off along a direction through kinks, but not entry by entry."""
        return [name for name, f in self.findings.items() if f.tied is not None and f.verdict is Verdict.PASS]

    @property
    def endless(self) -> list[str]:
        """The parameters that claim a number where the slope has no end."""
        return [name for name, finding in self.findings.items() if finding.endless]

    @property
    def at_kinks(self) -> bool:
        """Whether some probe met a kink."""
        for probes in (self.joint, *[finding.probes for finding in self.findings.values()]):
            if True in [probe.estimate.kink for probe in probes]:
                return True
        return False


@np.errstate(all="ignore")  # infinite inputs and gradients are judged, and no fault of ours
def examine_subject(
    subject: Subject, options: Options, dtypes: Mapping[str, str], locate_seconds: float = suspects.SECONDS
) -> Outcome:
    """Verify every leaf of a subject.

    ``dtypes`` names the number format whose tolerance applies to each leaf; ``locate_seconds`` is what may be
    spent on the entries of one suspect leaf.
    """
    exam = Examination(subject, options.seed)
    pulled = exam.pull()
    tolerances = {
        name: _above_nothing(exam, pulled, name, judge.tolerance(dtypes[name], options.rtol, options.atol))
        for name in exam.values
    }
    exam.rounding.check_linearity(pulled)
    known = [name for name, value in exam.values.items() if name in pulled.gradients and value.size]
    budget = min(_HALVING, int(_HALVING_SECONDS / max(exam.seconds_per_evaluation, 1e-6)))
    screening = screen(exam, pulled, {name: tolerances[name] for name in known}, budget)
    if _is_coarse(exam, screening):
        return _examine_coarse(subject, options, dtypes, locate_seconds)
    outcome = Outcome(exam, screening.pulls, {name: Finding(name) for name in exam.values}, tolerances)
    outcome.joint = screening.joint
    _judge(outcome, screening, known, options, locate_seconds)
    if outcome.at_kinks:
        ties.look_closer(outcome, min(locate_seconds, _TIE_SECONDS))
    _structure(outcome)
    _outside(outcome)
    return outcome


def _is_coarse(exam: Examination, screening: Screening) -> bool:
    """Whether the forward pass computes in single precision inside, whatever its outputs' format.

    Looked into where the first probe had to measure the noise, and found much of it.
    """
    probe, epsilon = screening.joint[0] if screening.joint else None, exam.subject.epsilon
    if probe is None or not probe.estimate.noise or epsilon > _FINE or not hasattr(exam.subject, "coarsen"):
        return False
    if probe.estimate.noise <= _MUCH * roundoff.floor(exam.base, probe.pulled.flat, epsilon):
        return False
    direction = exam.direction(probe.pulled, list(probe.parts))
    return roundoff.is_single(exam.line(direction, probe.pulled))


def _examine_coarse(
    subject: Subject, options: Options, dtypes: Mapping[str, str], locate_seconds: float
) -> Outcome:
    """Examine anew with the steps and tolerances of the precision that the forward pass has."""
    subject.coarsen(SINGLE)  # type: ignore[attr-defined]  # asked for by _is_coarse
    wider = {name: judge.coarser(dtype, "float32") for name, dtype in dtypes.items()}
    outcome = examine_subject(subject, options, wider, locate_seconds)
    outcome.notes.insert(0, "the forward pass computes in float32 inside: verified with its tolerances")
    return outcome


def _outside(outcome: Outcome) -> None:
    """Say what outputs that are no numbers leave unverified: where all are, everything."""
    exam = outcome.exam
    if exam.outside and not exam.base.shape[0]:
        for finding in outcome.findings.values():
            finding.verdict, finding.notes = Verdict.INCONCLUSIVE, []
            finding.message = "no output is finite here: give values inside the domain of the function"
        return
    note = edges.undefined_outputs(exam)
    outcome.notes += [note] if note else []


def _above_nothing(exam: Examination, pulled: Pulled, name: str, tolerance: Tolerance) -> Tolerance:
    """Return the tolerance; where all outputs are zero, with what rounding may hide of what keeps them so.

    The loss of a saturated softmax, log(sum(exp(80), ...)) - 80, is zero and stays so while its gradient
    is 1e-35. Zeros do not tell how large the numbers were that they are the difference of: those of the leaf
    are taken for it.
    """
    if exam.magnitude > 0 or not pulled.flat.shape[0]:
        return tolerance
    scale = max(float(np.min(exam.scales[name])), 1e-300)
    weight = float(abs(pulled.flat).max()) * exam.largest[name] / scale
    epsilon = exam.subject.epsilon
    return replace(tolerance, of_nothing=2 * epsilon / line_step(epsilon) * weight)


def _judge(
    outcome: Outcome, screening: Screening, known: Sequence[str], options: Options, locate_seconds: float
) -> None:
    for name in known:
        own = screening.own.get(name)
        probes, shared = (own, 1) if own else (screening.joint, len(known))
        if not own and any(probe.suspect or probe.estimate.kink for probe in screening.joint):
            probes, shared = _clean(screening, name, outcome, len(known))
        finding = findings.from_probes(name, probes, shared, outcome.tolerances[name], outcome.exam.magnitude)
        outcome.findings[name] = finding
        if finding.verdict is Verdict.INCONCLUSIVE:
            # kinks at several distances, or one entry without a derivative, blur a direction, not every entry
            screening.suspects += [] if name in screening.suspects else [name]
    for name in screening.unexamined:
        finding = outcome.findings[name]
        finding.verdict = Verdict.INCONCLUSIVE
        finding.message = "not examined on its own: other parameters took the budget; verify it alone"
    if options.effort == "every":
        _examine_all(outcome, screening, known)
        return
    short = power.look_apart(outcome, screening, known) if options.effort == "auto" else []
    suspects.look_at(outcome, screening.suspects, locate_seconds)
    power.look_at_entries(outcome, short)


def _clean(screening: Screening, name: str, outcome: Outcome, shared: int) -> tuple[list[Probe], int]:
    """Return the probes of the groups in which a parameter was cleared; none were kept, so probe it alone."""
    probe = outcome.exam.probe(screening.pulls[0], [name])
    if probe.suspect and name not in screening.suspects and name not in screening.unexamined:
        screening.suspects.append(name)
    return [probe], 1


def _examine_all(outcome: Outcome, screening: Screening, known: Sequence[str]) -> None:
    exam, pulled, tally = outcome.exam, outcome.pulls[0], Tally()
    with Watch(sum(exam.values[name].size for name in known)) as watch:
        for name in known:
            look = partial(_every_entry, exam, name, watch, tally)
            if name in screening.suspects:
                suspects.examine_one(outcome, name, look)
            else:
                entries, finding = look(pulled), outcome.findings[name]
                findings.from_entries(exam, pulled, finding, entries, outcome.tolerances[name])
    if tally.entries:
        outcome.notes.append(tally.note())


def _every_entry(exam: Examination, name: str, watch: Watch, tally: Tally, pulled: Pulled) -> Entries:
    return examine_every(exam, pulled, name, watch, tally)


def _structure(outcome: Outcome) -> None:
    """Judge what is wrong with a gradient before its numbers: missing, misshapen, not finite, not linear."""
    pulled, deviations = outcome.pulls[0], outcome.exam.rounding.deviations
    for name, finding in outcome.findings.items():
        if name in pulled.misshapen:
            shape, true = pulled.misshapen[name], outcome.exam.values[name].shape
            _fail(finding, f"the gradient has shape {shape}, the parameter {tuple(true)}")
        elif name in pulled.missing and finding.verdict is Verdict.FAIL:
            finding.message = "no gradient reaches this parameter, although the outputs depend on it"
        elif name in pulled.missing and finding.verdict is Verdict.PASS and not finding.notes:
            finding.notes.append("the outputs do not depend on it")
        elif not outcome.exam.values[name].size:
            finding.notes.append("no entries: there is nothing to verify")
        elif name in pulled.finite:
            _judge_nonfinite(outcome, finding, pulled.finite[name])
        elif deviations.get(name, 0.0) > max(_LINEAR, outcome.tolerances[name].relative):
            _judge_nonlinear(outcome, finding, deviations[name])


def _fail(finding: Finding, message: str) -> None:
    finding.verdict, finding.message = Verdict.FAIL, message


def _judge_nonfinite(outcome: Outcome, finding: Finding, finite: np.ndarray) -> None:
    """Fail NaN and infinity where finite differences resolve a finite derivative."""
    where = np.flatnonzero(~finite)
    if outcome.exam.outside:
        finding.notes.append(f"{where.size} entries are NaN or infinite, as some outputs are")
        return
    scales = np.broadcast_to(outcome.exam.scales[finding.name], finite.shape).reshape(-1)
    for i in where[:4]:
        estimate = entry_probe(
            outcome.exam, outcome.pulls[0], finding.name, int(i), float(scales[i]), blind=True
        ).estimate
        size = max(abs(estimate.lower), abs(estimate.upper), 1e-6)
        if estimate.resolved and estimate.uncertainty <= 1e-3 * size:
            index = tuple(int(k) for k in np.unravel_index(int(i), finite.shape)) if finite.shape else ()
            true = estimate.value / float(scales[i])
            entries = f"{counted(finite.size, 'entry')} {'is' if finite.size == 1 else 'are'} NaN or infinite"
            place = f" at {list(index)}" if index else ""
            said = f"{where.size} of {entries},{place} where finite differences give {true:.6g}"
            _fail(finding, said)
            claimed = outcome.pulls[0].raw[finding.name].reshape(-1)[i]
            bar = estimate.uncertainty / float(scales[i])
            tau = outcome.tolerances[finding.name].of(abs(true), abs(true))
            finding.comparison = findings.not_finite(
                claimed, true, index, bar, tau, (where.size, finite.size)
            )
            return
    finding.notes.append(
        f"{where.size} entries are NaN or infinite, where the forward pass is not smooth either"
    )


def _judge_nonlinear(outcome: Outcome, finding: Finding, deviation: float) -> None:
    first = outcome.pulls[0]
    again = outcome.exam.pull(first.cotangents)
    other = again.gradients.get(finding.name)
    if other is not None and not np.allclose(other, first.gradients[finding.name], rtol=1e-9, atol=0):
        _fail(finding, _irreproducible(outcome.exam))
        lost = finding.comparison is not None and not np.isfinite(finding.comparison.expected)
        if lost or finding.message == NOT_REPEATED:
            finding.comparison = finding.digits = None  # nothing that could be compared with anything
    else:
        off = outcome.exam.rounding.measured[finding.name]
        place = [int(k) for k in np.unravel_index(int(off.argmax()), off.shape)] if off.shape else []
        share = f"{deviation:.1%}" if deviation >= _ROUGHLY else f"{deviation:.1g}"
        _fail(
            finding,
            f"{NOT_LINEAR} in the cotangent: the gradient of {SCALE} times the cotangent, divided by "
            f"{SCALE}, differs from that of the cotangent by {share} of its largest entry"
            + (f", most at {place}" if place else ""),
        )


def _irreproducible(exam: Examination) -> str:
    """Say whether the forward pass repeats, where the gradient does not."""
    if exam.repeats():
        return "the gradient differs from one backward pass to the next, with nothing changed in between"
    return NOT_REPEATED
