"""From findings to what a reader is told: which entries, which mistake, and the data behind the plots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradcheck import patterns
from gradcheck.diagnose import Discrepancy, Facts, Findings, diagnose
from gradcheck.diagnose.explain import narrowness, with_slip
from gradcheck.findings import Finding
from gradcheck.locate import affordable_entries, examine
from gradcheck.numerical import directions
from gradcheck.pipeline import Outcome
from gradcheck.report.records import Diagnosis, Evidence, ParameterResult, Verdict, Wrong
from gradcheck.slips.record import Gradients, Rerun

_LISTED = 8
# What a changed gradient may be off by along a direction: error bars, and a share of its size.
_FEW, _ROUNDED = 3.0, 1e-9
_POINTS = 400
# Seconds for a search of the source, where numbers name the mistake, and where they do not.
_SEARCHED, _SEARCHED_WELL = 0.5, 4.0
# What takes longer, in seconds, cannot be run often enough for that.
_SLOW = 0.1
_CELLS = 32
# A gradient of another shape than its parameter: at most this many entries, and seconds, to find out why.
_RESHAPED, _RESHAPED_SECONDS = 512, 2.0


@dataclass(frozen=True)
class Field:
    """One parameter's gradients, laid out over its shape; ``known`` masks what was examined."""

    claimed: np.ndarray
    expected: np.ndarray
    uncertainty: np.ndarray
    known: np.ndarray
    wrong: np.ndarray


def field_of(outcome: Outcome, finding: Finding) -> Field | None:
    """Lay examined entries out over the parameter's shape; None where no entry was examined."""
    entries = finding.entries
    if entries is None or entries.flat.size == 0:
        return None
    pulled = entries.pulled or outcome.pulls[0]
    claimed = pulled.gradients[finding.name]
    dtype = np.result_type(claimed.dtype, entries.expected.dtype)
    expected = claimed.astype(dtype).reshape(-1).copy()
    uncertainty, known, wrong = (
        np.zeros(claimed.size),
        np.full(claimed.size, entries.exact),
        np.zeros(claimed.size, bool),
    )
    expected[entries.flat] = entries.expected
    uncertainty[entries.flat], known[entries.flat] = entries.uncertainty, True
    wrong[entries.flat[finding.wrong]] = True
    shape = claimed.shape
    return Field(claimed, *(a.reshape(shape) for a in (expected, uncertainty, known, wrong)))


def explain(outcome: Outcome, facts: Facts) -> Findings:
    """Name the mistakes behind the failing parameters, all parameters seen together."""
    seen = {name: finding for name, finding in outcome.findings.items() if not finding.by_directions}
    discrepancies = {name: _discrepancy(outcome, finding) for name, finding in seen.items()}
    slow = max(outcome.exam.seconds_per_evaluation, outcome.exam.seconds_per_pull) > _SLOW
    if facts.rerun is None or slow or not outcome.failing:
        return diagnose(discrepancies, facts)
    # a tenth of the start-up, which what is right need not take
    from gradcheck.slips.find import find_slip
    from gradcheck.slips.formats import narrow_somewhere

    found = diagnose(discrepancies, replace(facts, narrow=narrow_somewhere(facts.rerun)))
    unnamed = [name for name in outcome.failing if name in seen and not _is_named(found.of(name))]
    seconds = _SEARCHED_WELL if unnamed else _SEARCHED
    rerun = replace(facts.rerun, elsewhere=partial(_fits, outcome, facts.rerun))
    return with_slip(found, find_slip(rerun, discrepancies, seconds, unnamed))


def _fits(outcome: Outcome, rerun: Rerun, names: Sequence[str]) -> bool:
    """Whether a changed gradient also fits the directions along which the first was off, and another point.

    Of a large leaf few entries are known, and a change may put these right and others wrong.
    """
    claims: Gradients | None = None
    for probe in (probe for name in names for probe in outcome.findings[name].probes):
        if probe.direction is None or not probe.estimate.resolved or probe.pulled is not outcome.pulls[0]:
            continue
        claims = rerun.gradients() if claims is None else claims
        moved = probe.direction()
        if not all(claims.get(name) is not None for name in moved):
            continue
        shares = [directions.inner(np.asarray(claims[name]), v) for name, v in moved.items()]
        claimed, size = sum(share for share, _ in shares), math.hypot(*[size for _, size in shares])
        if probe.estimate.distance(claimed) > _FEW * probe.uncertainty + _ROUNDED * size:
            return False
    return rerun.elsewhere(names)


def _is_named(diagnoses: Sequence[Diagnosis]) -> bool:
    """Whether the mistake has a name, and not a place alone."""
    if not diagnoses or diagnoses[0].kind == "unexplained":
        return False
    return diagnoses[0].details.get("inside") != "" and "rank" not in diagnoses[0].details


def story(found: Findings, located: bool = False) -> tuple[str, ...]:
    """Return what the failing parameters together tell: one common mistake, and between which it enters.

    Where the guilty operation has been ``located``, it tells better than the parameters' order where that is.
    """
    joint = tuple(diagnosis.message for diagnosis in found.joint[:1])
    profile = "" if located else found.profile
    return (*joint, *filter(None, [profile, found.slip]))


def _discrepancy(outcome: Outcome, finding: Finding) -> Discrepancy:
    name, value = finding.name, outcome.exam.values[finding.name]
    pulled = outcome.pulls[0]
    few = value.size <= min(
        _RESHAPED, affordable_entries(outcome.exam.seconds_per_evaluation, _RESHAPED_SECONDS)
    )
    undefined = name in pulled.finite and finding.verdict is Verdict.FAIL and not outcome.exam.outside
    if name in pulled.misshapen or (undefined and few):
        return _estimated(outcome, name, few)
    laid = field_of(outcome, finding) if finding.verdict is Verdict.FAIL else None
    if laid is None:
        gradient = pulled.gradients[name]
        return Discrepancy(name, pulled.raw.get(name, gradient), gradient, value=value)
    laid = _without_kinks(finding, laid)
    if outcome.exam.outside and name in pulled.finite:  # where outputs are no numbers, nothing is owed
        known = laid.known & pulled.finite[name]
        return Discrepancy(name, laid.claimed, laid.expected, laid.uncertainty, value, known)
    claimed = None if name in pulled.missing else pulled.raw.get(name, laid.claimed)
    return Discrepancy(name, claimed, laid.expected, laid.uncertainty, value, laid.known)


def _without_kinks(finding: Finding, laid: Field) -> Field:
    """Leave out entries at kinks, where any of several numbers is right, if others are wrong."""
    entries = finding.entries
    if entries is None or not entries.kink.any():
        return laid
    bent = np.zeros(laid.claimed.shape, bool)
    bent.reshape(-1)[entries.flat[entries.kink]] = True
    return replace(laid, known=laid.known & ~bent) if (laid.wrong & ~bent).any() else laid


def _estimated(outcome: Outcome, name: str, few: bool) -> Discrepancy:
    """Estimate up to a few hundred entries, to see what is right but for the shape, or for NaN."""
    exam, pulled = outcome.exam, outcome.pulls[0]
    value, raw = exam.values[name], pulled.raw[name]
    expected: np.ndarray = np.zeros(value.size, value.dtype)
    uncertainty: np.ndarray = np.full(value.size, np.inf)
    if few:
        zeros = replace(pulled, gradients={**pulled.gradients, name: np.zeros(value.shape)})
        entries = examine(exam, zeros, name, np.arange(value.size), exact=True)
        expected, uncertainty = entries.expected, entries.uncertainty
    expected, uncertainty = expected.reshape(value.shape), uncertainty.reshape(value.shape)
    return Discrepancy(name, raw, expected, uncertainty, value, np.isfinite(uncertainty))


def imprecision(outcome: Outcome, finding: Finding) -> tuple[Diagnosis, ...]:
    """Say what makes a gradient that passes imprecise; () where it is not, or nothing explains it."""
    if not finding.imprecise:
        return ()
    laid = field_of(outcome, finding)
    if laid is None or finding.verdict is not Verdict.PASS:
        return ()
    value = outcome.exam.values[finding.name]
    return narrowness(
        Discrepancy(finding.name, laid.claimed, laid.expected, laid.uncertainty, value, laid.known)
    )


def complete(
    outcome: Outcome, result: ParameterResult, diagnoses: Sequence[Diagnosis] = ()
) -> ParameterResult:
    """Add the wrong entries, the diagnoses and the plots' data to a failing parameter's result."""
    finding = outcome.findings[result.name]
    if finding.verdict is Verdict.PASS:
        imprecise = imprecision(outcome, finding)
        return replace(result, diagnoses=imprecise) if imprecise else result
    laid = field_of(outcome, finding)
    if laid is None or finding.entries is None:
        return replace(result, diagnoses=tuple(diagnoses))
    return replace(
        result,
        diagnoses=tuple(diagnoses),
        wrong=_wrong(finding, laid),
        evidence=_evidence(finding, laid),
        message=result.message,
    )


def _wrong(finding: Finding, laid: Field) -> Wrong | None:
    entries = finding.entries
    if entries is None or not finding.wrong.size:
        return None
    examined = int(laid.known.sum())
    found = count = int(finding.wrong.size)
    if not entries.exact and entries.drawn.any():
        count = max(
            count, round(entries.drawn[finding.wrong].sum() / entries.drawn.sum() * laid.claimed.size)
        )
    rows = finding.wrong[:_LISTED]
    indices = tuple(
        tuple(int(k) for k in np.unravel_index(int(entries.flat[r]), laid.claimed.shape)) for r in rows
    )
    return Wrong(
        count=count,
        examined=examined,
        exact=entries.exact,
        at_least=not entries.exact and count == found,
        pattern=patterns.describe(laid.wrong, laid.known),
        indices=indices,
        claimed=tuple(_plain(entries.claimed[r]) for r in rows),
        expected=tuple(_plain(entries.expected[r]) for r in rows),
    )


def _plain(number: complex) -> float | complex:
    return complex(number) if np.iscomplexobj(number) else float(np.real(number))


def _evidence(finding: Finding, laid: Field) -> Evidence:
    entries = finding.entries
    assert entries is not None
    keep = np.linspace(0, entries.flat.size - 1, min(_POINTS, entries.flat.size)).astype(int)
    scatter = tuple((float(np.real(entries.claimed[k])), float(np.real(entries.expected[k]))) for k in keep)
    heat, block = _heat(np.where(laid.known, np.abs(laid.claimed - laid.expected), np.nan))
    worst = int(finding.wrong[0]) if finding.wrong.size else 0
    if len(entries.probes) < entries.flat.size:  # most were examined together; the worst is the first alone
        worst = 0
    steps = entries.probes[min(worst, len(entries.probes) - 1)].estimate.steps if entries.probes else ()
    return Evidence(scatter, heat, block, steps)


def _heat(error: np.ndarray) -> tuple[tuple[tuple[float | None, ...], ...], tuple[int, int]]:
    """Return the discrepancy as a matrix of at most 32 x 32 cells, each the maximum of its block."""
    matrix = error.reshape(1, -1) if error.ndim < 2 else error.reshape(error.shape[0], -1)
    block = (-(-matrix.shape[0] // _CELLS), -(-matrix.shape[1] // _CELLS))
    rows = []
    for i in range(0, matrix.shape[0], block[0]):
        cells = []
        for j in range(0, matrix.shape[1], block[1]):
            part = matrix[i : i + block[0], j : j + block[1]]
            known = part[np.isfinite(part)]
            cells.append(float(known.max()) if known.size else None)
        rows.append(tuple(cells))
    return tuple(rows), block


def numbers_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """Return quantities by which a gradient is often off, from the shapes of inputs and outputs."""
    found: dict[str, float] = {}
    for label, shape in shapes.items():
        if len(shape) > 1 and shape[0] > 1:
            found.setdefault(f"the size of the first axis of {label} (the batch size?)", float(shape[0]))
        size = int(np.prod(shape)) if shape else 1
        if size > 1:
            found[f"the number of entries of {label}"] = float(size)
        if len(shape) > 1 and shape[-1] > 1:
            found[f"the size of the last axis of {label}"] = float(shape[-1])
    return found


def numbers_among(named: Iterable[tuple[str, Any]]) -> dict[str, float]:
    """Return the positive numbers among named arguments: a factor may turn out to be one of them."""
    numbers = [(name, v) for name, v in named if isinstance(v, int | float) and not isinstance(v, bool)]
    return {name: float(v) for name, v in numbers if math.isfinite(v) and v > 0}
