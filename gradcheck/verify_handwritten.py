"""Hand-written gradients: the pipeline, and everything that goes wrong before a number is compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck import conventions, explanation, findings, judge, mixtures
from gradcheck.diagnose import Findings
from gradcheck.errors import UsageError
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Cost, Diagnosis, ParameterResult, Report, Verdict
from gradcheck.subjects.handwritten import HandWritten
from gradcheck.suggest import did_you_mean
from gradcheck.waivers import waived

Array = npt.NDArray[Any]
Function = Callable[[Any], Any]
# Relative error, in norm, at which a gradient in its own narrow format is no longer taken as rounded.
_ACCEPTED = 1e-2
# So many roundings of the loss may be left of a gradient that is zero.
_OF_ZERO = 1e3


def verify_handwritten(
    loss: Function | None,
    params: Any,
    gradient: Function | None,
    value_and_gradient: Function | None,
    options: Options,
) -> Report:
    """Verify gradient(params) of loss(params), or both from value_and_gradient(params)."""
    start = time.perf_counter()
    if options.order == 2 or options.reference is not None:
        wrong = "order=2" if options.order == 2 else "reference"
        raise UsageError(f"{wrong} is for PyTorch functions; for a hand-written gradient leave it out.")
    own = HandWritten(loss, params, gradient, value_and_gradient, options.name)
    for name in options.allow:
        if name not in own.variables:
            raise UsageError(
                f"allow names {name!r}, which is not verified here."
                + did_you_mean(name, own.variables, "Verified are")
            )
    unsteady = own.unsteady()
    if unsteady is not None:
        return _unsteady(own, unsteady, options, time.perf_counter() - start)
    subject = own.in_double() or own
    outcome = examine_subject(subject, options, subject.dtypes)
    for name in mixtures.standing(outcome):
        findings.fail_tied(outcome.findings[name], outcome.tolerances[name])
    conventions.accept(outcome)
    found = explanation.explain(outcome, subject.facts())
    results = _results(own, subject, outcome, found)
    results = {name: waived(result, options) for name, result in results.items()}
    return Report(
        name=own.name,
        verdict=judge.worst([result.verdict for result in results.values()]),
        parameters=results,
        cost=Cost(outcome.exam.forward_evaluations, 2, time.perf_counter() - start),
        seed=options.seed,
        notes=(*own.notes, *outcome.notes, *explanation.story(found), *_without_variations(options)),
        options=options.to_dict(),
    )


def _without_variations(options: Options) -> tuple[str, ...]:
    """Say that variations asked for by name are not tried, which pyproject.toml may do for other targets."""
    if not isinstance(options.variations, frozenset) or not options.variations:
        return ()
    return ("variations are for PyTorch and JAX functions: none was tried of this hand-written gradient",)


def _unsteady(own: HandWritten, diagnosis: Diagnosis, options: Options, seconds: float) -> Report:
    """Report a loss that gives another value each time, once: no difference of its values means anything."""
    results = {
        name: ParameterResult(
            name,
            Verdict.FAIL,
            tuple(value.shape),
            own.dtypes[name],
            message="the loss is another one at each call: nothing could be compared",
            diagnoses=() if i else (diagnosis,),
        )
        for i, (name, value) in enumerate(own.variables.items())
    }
    results = {name: waived(result, options) for name, result in results.items()}
    return Report(
        name=own.name,
        verdict=judge.worst([result.verdict for result in results.values()]),
        parameters=results,
        cost=Cost(2, 2, seconds),
        seed=options.seed,
        message="cannot be verified: the loss differs from one call to the next",
        notes=tuple(own.notes),
        options=options.to_dict(),
    )


def _results(
    own: HandWritten, subject: HandWritten, outcome: Outcome, found: Findings
) -> dict[str, ParameterResult]:
    early = {**subject.structural_findings(), **own.structural_findings()}
    results = {}
    for name, finding in outcome.findings.items():
        result = findings.result(outcome.exam, finding, own.dtypes[name])
        result = explanation.complete(outcome, result, found.of(name))
        if name in early:
            result = _with_early(result, early[name])
        elif own is not subject and result.verdict is Verdict.PASS:
            result = _own_precision(result, own.claims[name], subject.claims[name], _floor(outcome, name))
        results[name] = result
    return results


def _with_early(result: ParameterResult, diagnosis: Diagnosis) -> ParameterResult:
    """Put what was wrong before any number was compared first, unless the numbers tell what it comes from."""
    if diagnosis.kind == "shape" and any(d.kind == "shape" for d in result.diagnoses):
        first = result.diagnoses[0]
        message = diagnosis.message if first.kind == "shape" else first.message
        return replace(result, verdict=Verdict.FAIL, message=message)
    others = tuple(d for d in result.diagnoses if d.kind not in (diagnosis.kind, "unexplained"))
    return replace(result, verdict=Verdict.FAIL, message=diagnosis.message, diagnoses=(diagnosis, *others))


def _floor(outcome: Outcome, name: str) -> float:
    """Return the size, in units of the format's spacing, below which an entry is rounding."""
    scale = max(float(np.min(outcome.exam.scales[name])), 1e-300)
    return _OF_ZERO * outcome.exam.magnitude / scale


def _own_precision(
    result: ParameterResult, claimed: Array | None, exact: Array | None, floor: float
) -> ParameterResult:
    """Compare the gradient in the user's own narrow format with the same code run in double precision."""
    if claimed is None or exact is None or claimed.shape != exact.shape or not exact.size:
        return result
    norm = float(np.linalg.norm(exact.reshape(-1)))
    error = float(np.linalg.norm((claimed.astype(exact.dtype) - exact).reshape(-1)))
    digits = judge.digits(error, norm)
    rounding = float(np.finfo(claimed.dtype).eps) * floor * np.sqrt(exact.size)
    if norm == 0 or error <= max(_ACCEPTED * norm, rounding):
        return replace(result, digits=digits)
    note = f"right in float64, but computed in {claimed.dtype} it is off by {error / norm:.1%} of its norm"
    return replace(result, digits=digits, notes=(*result.notes, note))
