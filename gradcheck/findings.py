"""From probes and examined entries to the result of one parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck import edges, judge
from gradcheck.confirmation import confirm
from gradcheck.examination import Examination
from gradcheck.judge import Tolerance
from gradcheck.locate import Entries
from gradcheck.numerical import directions
from gradcheck.probes import Probe, Pulled
from gradcheck.report.records import VANISHES, Comparison, Coverage, ParameterResult, Verdict

NUMERICAL = "finite differences"
TURNS = "the function turns within the first steps: much smaller ones confirm the claimed values"
_SHOWN = 8
# A discrepancy this many times its uncertainty is worth a note even where it is within tolerance.
_IMPRECISE = 10.0
# Errors below this share of the largest entry are those of what keeps a division from zero (1e-10, often), or
# of rounding, and are told but pass, unless the user says what to tolerate.
_SLIGHT = 1e-9
# An estimate whose bar is wider than this share of it is hardly one.
_VAGUE = 0.1
# What a backward pass in double precision rounds stays below so many roundings of its largest entry.
_DOUBLE = 1e4
_NONE = np.zeros(0, dtype=int)
_SINGLE = "imprecise: errors of the size of single-precision rounding"


@dataclass
class Finding:
    """What is known of one parameter while it is being verified.

    ``ties`` are probes through kinks along which the gradient is off although its entries are not.
    ``by_directions``: it is wrong along directions, and of its entries nothing is known.
    ``endless``: inconclusive because some entry, which claims a number, has a slope that has no end.
    ``steep``: some entries have a slope so steep that it tells nothing of what is claimed, nor do directions.
    ``imprecise``: it passes with errors that no rounding in its own format explains, as a note says.
    ``holds_constant``: it is meant for values held constant which the leaf moves, and passes as such.
    """

    name: str
    probes: list[Probe] = field(default_factory=list)
    shared: int = 1
    entries: Entries | None = None
    wrong: np.ndarray = field(default_factory=lambda: _NONE)
    verdict: Verdict = Verdict.PASS
    comparison: Comparison | None = None
    ties: list[Probe] = field(default_factory=list)
    by_directions: bool = False
    endless: bool = False
    imprecise: bool = False
    holds_constant: bool = False
    steep: bool = False
    message: str = ""
    notes: list[str] = field(default_factory=list)
    digits: float | None = None
    _seen: tuple[int, float | None] = (0, None)

    @property
    def tied(self) -> Probe | None:
        """The first of its ties."""
        return self.ties[0] if self.ties else None

    def detectable(self, exam: Examination) -> float | None:
        """Return the relative error that its probes see; None: it is zero for all they tell."""
        if self._seen[0] != len(self.probes):
            self._seen = (len(self.probes), detectable(exam, self.name, self.probes))
        return self._seen[1]


def excuse(finding: Finding, note: str) -> None:
    """Let a finding pass whose numbers tell nothing of the gradient, for the reason in the note."""
    finding.verdict, finding.wrong, finding.digits = Verdict.PASS, finding.wrong[:0], None
    finding.comparison, finding.message = None, ""
    finding.notes.append(note)


def from_probes(name: str, probes: list[Probe], shared: int, tol: Tolerance, magnitude: float) -> Finding:
    """Judge a parameter by directions alone.

    ``shared`` parameters were moved in each probe; ``magnitude`` is the size of <u, outputs>.
    """
    finding = Finding(name, probes, shared)
    if not probes:
        return finding
    worst = max(probes, key=_excess) if len(probes) > 1 else probes[0]
    claimed, size = worst.parts[name]
    tau = tol.of(size, size)
    if not worst.estimate.resolved:
        finding.verdict = Verdict.INCONCLUSIVE
        finding.message = worst.estimate.message
    elif size == 0 and worst.discrepancy <= worst.uncertainty:
        finding.verdict = Verdict.PASS
    else:
        finding.verdict = judge.verdict(worst.discrepancy, worst.uncertainty, tau)
        if worst.discrepancy <= worst.uncertainty:
            finding.verdict = _resolved_enough(worst, tau + tol.relative * magnitude, _share(tol))
            if (
                finding.verdict is Verdict.PASS
                and worst.uncertainty > tau + tol.relative * magnitude
                and shared == 1
            ):
                finding.notes.append(
                    f"resolved to {worst.uncertainty / max(size, 1e-300):.1e} of the gradient only"
                )
    if finding.verdict is Verdict.INCONCLUSIVE and not finding.message:
        finding.message = (
            f"finite differences resolve {worst.uncertainty / max(size, 1e-300):.1e} of this gradient, "
            f"the tolerance is {tau / max(size, 1e-300):.1e}"
        )
    if any(probe.estimate.kink for probe in probes):
        finding.notes.append("at a kink: the claimed value is a subgradient")
    expected = claimed - (worst.claimed - worst.estimate.value) if worst.estimate.resolved else math.nan
    if worst.estimate.kink:
        expected = claimed
    finding.comparison = _comparison(
        claimed, expected, None, worst, tol.of(worst.size, worst.size), finding.verdict, len(probes)
    )
    if worst.estimate.resolved and not worst.estimate.kink:
        finding.digits = judge.digits(worst.discrepancy, size) if size > worst.uncertainty else None
        given = name not in worst.pulled.missing and name not in worst.pulled.finite
        if size <= worst.uncertainty and given and finding.verdict is Verdict.PASS:
            finding.notes.append(f"{VANISHES} {worst.uncertainty:.1g}")
    return finding


def _excess(probe: Probe) -> float:
    return probe.discrepancy / probe.uncertainty if probe.uncertainty > 0 else probe.discrepancy


def _share(tol: Tolerance) -> float:
    """Return how coarse an error bar may be, as a share of the gradient, for agreement to count.

    Half-precision arithmetic alone resolves no more than gross errors.
    """
    return 0.5 if tol.relative > 0.02 else 0.05


def _resolved_enough(probe: Probe, tau: float, share: float) -> Verdict:
    """Agreement within the error bar counts where the bar itself would have shown a gross error.

    The bar of a joint probe is that of all its parameters; the tolerance of the smallest may lie below it.
    """
    return Verdict.PASS if probe.uncertainty <= tau + share * probe.size else Verdict.INCONCLUSIVE


def _comparison(
    claimed: float,
    expected: float,
    index: tuple[int, ...] | None,
    probe: Probe,
    tau: float,
    verdict: Verdict,
    compared: int,
) -> Comparison:
    difference = abs(claimed - expected)
    largest = max(abs(claimed), abs(expected))
    return Comparison(
        witness=NUMERICAL,
        claimed=claimed,
        expected=expected,
        index=index,
        abs_error=difference,
        rel_error=difference / largest if largest > 0 else 0.0,
        uncertainty=probe.uncertainty,
        tolerance=tau,
        mismatched=int(verdict is Verdict.FAIL),
        compared=compared,
        verdict=verdict,
    )


def not_finite(
    claimed: complex,
    expected: float,
    index: tuple[int, ...],
    uncertainty: float,
    tau: float,
    counts: tuple[int, int],
) -> Comparison:
    """Return the comparison of an entry that is claimed to be NaN or infinite; ``counts``: such ones, of all.

    What was moved along directions leaves such entries out, and says nothing of them.
    """
    return Comparison(
        witness=NUMERICAL,
        claimed=_plain(claimed),
        expected=expected,
        index=index,
        abs_error=math.inf,
        rel_error=math.inf,
        uncertainty=uncertainty,
        tolerance=tau,
        mismatched=counts[0],
        compared=counts[1],
        verdict=Verdict.FAIL,
    )


def from_entries(
    exam: Examination, pulled: Pulled, finding: Finding, entries: Entries, tol: Tolerance
) -> None:
    """Judge a parameter by its entries, and confirm before calling any wrong."""
    finding.entries = entries
    if entries.flat.size == 0:
        return
    gradient = pulled.gradients[finding.name]
    largest = float(max(np.abs(gradient).max(initial=0), np.abs(entries.expected).max(initial=0)))
    finding.message = ""
    d, u = entries.discrepancy, entries.uncertainty
    tau = np.asarray([tol.of(float(abs(e)), largest) for e in entries.expected])
    wrong = np.flatnonzero(d - u > tau)
    unresolved = np.flatnonzero(~(d + u <= tau) & ~(d - u > tau) & (d > u) | ~np.isfinite(u))
    if wrong.size and judge.like_rounding(d, u, largest):
        finding.imprecise = True
        finding.notes.append(_SINGLE)
        wrong = wrong[:0]
    finding.verdict = Verdict.PASS
    steep = _too_steep(exam, pulled, finding.name, entries, wrong)
    if steep.size:
        finding.steep, largest = True, _largest_but(gradient, entries, steep)
        tau = np.asarray([tol.of(float(abs(e)), largest) for e in entries.expected])
        wrong = np.setdiff1d(np.flatnonzero(d - u > tau), steep)
        unresolved = np.union1d(unresolved, steep).astype(int)
    if wrong.size and tol.of_largest and float(d[wrong].max()) <= _SLIGHT * largest:
        finding.imprecise = True
        finding.notes.append(f"imprecise: off by {float(d[wrong].max()) / largest:.1g} of its largest entry")
        wrong = wrong[:0]
    if wrong.size:
        outcome = confirm(exam, pulled, finding.name, entries, wrong, tol, largest)
        if outcome == "wrong":
            finding.verdict, finding.wrong = Verdict.FAIL, wrong
        elif outcome == "kink":
            finding.notes.append("at a kink: the claimed values lie between the derivatives nearby")
        elif outcome == "turns":
            finding.notes.append(TURNS)
        else:
            finding.verdict, finding.message = (
                Verdict.INCONCLUSIVE,
                "other step sizes contradict the first: a rough function",
            )
    elif unresolved.size == entries.flat.size and np.isfinite(u).any():
        finding.verdict = Verdict.INCONCLUSIVE
        finding.message = "no step size resolves this gradient to its tolerance"
    coarse = np.flatnonzero((d <= u) & (u > tau + _share(tol) * largest) & (entries.claimed != 0))
    if finding.verdict is Verdict.PASS:
        unresolved = _without_slope(exam, pulled, finding, entries, unresolved, coarse)
    if unresolved.size and (finding.endless or finding.verdict is not Verdict.INCONCLUSIVE):
        where = _indices(exam, finding.name, entries.flat[unresolved])
        finding.notes.append(f"{unresolved.size} of {d.size} entries could not be resolved: {where}")
    if (
        finding.verdict is Verdict.PASS
        and not finding.imprecise
        and _is_rounded_to_single(exam, finding.name, largest)
    ):
        finding.imprecise = True
        finding.notes.append(_SINGLE)
    _describe(finding, entries, gradient.shape, d, u, tau, largest, unresolved)


def _is_rounded_to_single(exam: Examination, name: str, largest: float) -> bool:
    """Whether the claimed gradient itself, as far as it is known to be rounded, is so to single precision."""
    rounding, epsilon = exam.rounding.measured.get(name), exam.subject.epsilon
    if rounding is None or epsilon >= judge.SINGLE:
        return False
    return judge.like_rounding(rounding, np.full(rounding.shape, _DOUBLE * epsilon * largest), largest)


def _largest_but(gradient: np.ndarray, entries: Entries, left_out: np.ndarray) -> float:
    """Return the largest entry that is claimed or expected, some of those examined left out."""
    claimed = np.delete(gradient.reshape(-1), entries.flat[left_out])
    expected = np.delete(entries.expected, left_out)
    return float(max(np.abs(claimed).max(initial=0), np.abs(expected).max(initial=0)))


def _too_steep(
    exam: Examination, pulled: Pulled, name: str, entries: Entries, wrong: np.ndarray
) -> np.ndarray:
    """Return the wrong entries at which no slope is had: hardly resolved, and on some side without an end.

    Beside the end of a logarithm, which a clamp holds, any claim is as good as the quotient of some step.
    """
    vague = wrong[entries.uncertainty[wrong] > _VAGUE * np.abs(entries.expected[wrong])]
    asked = vague[:_SHOWN]
    none = [row for row in asked if edges.growing_slopes(exam, pulled, name, int(entries.flat[row]))]
    return vague if len(none) == asked.size else np.asarray(none, dtype=int)


def _without_slope(
    exam: Examination,
    pulled: Pulled,
    finding: Finding,
    entries: Entries,
    unresolved: np.ndarray,
    coarse: np.ndarray,
) -> np.ndarray:
    """Return the entries that are not resolved: also ``coarse`` ones whose slope has no end.

    Where a finite number is claimed for such a slope, it does not pass. Zero does: a convention, of a mask
    before a square root, say.
    """
    asked = np.union1d(unresolved[entries.claimed[unresolved] != 0][:_SHOWN], coarse[:_SHOWN])
    endless = [
        row for row in asked if edges.has_endless_slope(exam, pulled, finding.name, int(entries.flat[row]))
    ]
    if endless:
        finding.verdict, finding.endless = Verdict.INCONCLUSIVE, True
        where = _indices(exam, finding.name, entries.flat[endless])
        claim = float(entries.claimed[endless[0]].real)
        finding.message = f"at {where} {edges.ENDLESS}, and {claim:.6g} is claimed"
    return np.union1d(unresolved, endless).astype(int)


def _indices(exam: Examination, name: str, flat: np.ndarray) -> str:
    shape = exam.values[name].shape
    listed = [str([int(k) for k in np.unravel_index(int(i), shape)]) if shape else "[]" for i in flat]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _describe(
    finding: Finding,
    entries: Entries,
    shape: tuple[int, ...],
    d: np.ndarray,
    u: np.ndarray,
    tau: np.ndarray,
    largest: float,
    unresolved: np.ndarray,
) -> None:
    finite = np.isfinite(u)
    finite[unresolved] &= unresolved.size == u.size
    beyond = np.where(finite, (d - u) / np.where(tau > 0, tau, 1e-300), -np.inf)
    row = int(np.argmax(beyond))
    if finding.wrong.size:
        row = int(finding.wrong[np.argmax(d[finding.wrong])])
    index = tuple(int(k) for k in np.unravel_index(int(entries.flat[row]), shape)) if shape else ()
    claimed, expected = _plain(entries.claimed[row]), _plain(entries.expected[row])
    size = max(abs(claimed), abs(expected))
    finding.comparison = Comparison(
        witness=NUMERICAL,
        claimed=claimed,
        expected=expected,
        index=index,
        abs_error=float(d[row]),
        rel_error=float(d[row]) / size if size > 0 else 0.0,
        uncertainty=float(u[row]),
        tolerance=float(tau[row]),
        mismatched=int(finding.wrong.size),
        compared=int(entries.flat.size),
        verdict=finding.verdict,
    )
    told = finite if finding.verdict is not Verdict.PASS else finite & (d - u <= tau)  # the rest are kinks
    finding.digits = judge.digits(float(d[told].max(initial=0)), largest) if told.any() else None
    if finding.verdict is Verdict.PASS and 0 < largest <= float(tau.max()):
        finding.digits = None
        finding.notes.append(f"{VANISHES} {float(tau.max()):.1g}")
    elif (
        finding.verdict is Verdict.PASS
        and not finding.imprecise
        and finding.digits is not None
        and finding.digits < 9
        and np.any(d[finite] > _IMPRECISE * u[finite])
    ):
        finding.imprecise = True
        finding.notes.append(
            f"imprecise: {finding.digits:.1f} digits agree, and {d.size} entries were examined"
        )


def _plain(number: complex) -> float | complex:
    return complex(number) if isinstance(number, complex | np.complexfloating) else float(number)


def fail_tied(finding: Finding, tol: Tolerance) -> None:
    """Believe the probe through kinks: the entries do not fit together."""
    probe = finding.tied
    assert probe is not None
    tau = tol.of(probe.size, probe.size)
    finding.verdict = Verdict.FAIL
    finding.comparison = _comparison(
        probe.claimed, probe.estimate.value, None, probe, tau, Verdict.FAIL, len(finding.probes)
    )
    finding.message = (
        "wrong at a tie or kink: each entry alone is a possible subgradient, all together are not "
        f"(moved together: claimed {probe.claimed:.6g}, finite differences {probe.estimate.value:.6g})"
    )


def explain_by_kink(finding: Finding, operation: str) -> None:
    """Take back a discrepancy: at kinks, right operations together can give what is no subgradient."""
    finding.verdict, finding.wrong, finding.ties = Verdict.PASS, finding.wrong[:0], []
    if finding.comparison is not None:
        finding.comparison = replace(finding.comparison, verdict=Verdict.PASS, mismatched=0)
    finding.notes.append(f"at a kink of {operation}; every operation alone is right")


def coverage(exam: Examination, finding: Finding) -> Coverage:
    """Return how much was looked at, and what would have been seen with probability 99.9%."""
    entries = 0 if finding.entries is None else int(finding.entries.flat.size)
    total = int(exam.values[finding.name].size)
    return Coverage(len(finding.probes), entries, total, finding.detectable(exam), finding.shared)


def detectable(exam: Examination, name: str, probes: Sequence[Probe]) -> float | None:
    """Return the relative error of a leaf's gradient that probes see; None: it is zero for all they tell."""
    bars = [probe.uncertainty for probe in probes]
    size = min([exam.size(probe.pulled, name) for probe in probes], default=0.0)
    return directions.detectable_by(bars, size) if size > min(bars, default=math.inf) else None


def sees(exam: Examination, name: str, probes: Sequence[Probe], relative: float) -> bool:
    """Whether probes see a relative error of a leaf's gradient: ``detectable``, for less."""
    bars = [probe.uncertainty for probe in probes]
    size = min([exam.size(probe.pulled, name) for probe in probes], default=0.0)
    return size > min(bars, default=math.inf) and directions.see(bars, relative * size)


def result(exam: Examination, finding: Finding, dtype: str) -> ParameterResult:
    """Return the parameter's record as far as numbers go; diagnosis and plots are added by others."""
    return ParameterResult(
        name=finding.name,
        verdict=finding.verdict,
        shape=exam.values[finding.name].shape,
        dtype=dtype,
        comparisons={} if finding.comparison is None else {NUMERICAL: finding.comparison},
        coverage=coverage(exam, finding),
        digits=finding.digits,
        message=finding.message,
        notes=tuple(dict.fromkeys(finding.notes)),
    )
