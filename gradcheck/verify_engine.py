"""An engine on a case: three witnesses, and which of them is the odd one out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck import explanation, findings, judge
from gradcheck.diagnose import Facts
from gradcheck.engines.base import Engine, call_engine
from gradcheck.engines.own_format import in_own_format
from gradcheck.judge import Tolerance
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Comparison, Cost, ParameterResult, Report, Verdict
from gradcheck.subjects.engine import EngineSubject

Array = npt.NDArray[Any]
AUTOGRAD, REFERENCE = "autograd", "reference"
# Two correct backward passes differ by the rounding of sums: so many spacings of the largest entry.
_ROUNDING = 1e4


def verify_engine(case: Any, engine: Engine, options: Options, *, arbitrate: bool = True) -> Report:
    """Verify an engine's gradients of one case. See ``gradcheck.verify_case``.

    ``arbitrate`` says whether every operation is heard before a discrepancy at kinks is believed.
    """
    start = time.perf_counter()
    case, narrow = in_own_format(case, engine)
    subject = EngineSubject(case, engine)
    dtypes = {name: str(value.dtype) for name, value in case.values.items()}
    outcome = examine_subject(subject, options, dtypes)
    others = _witnesses(case, engine)
    if arbitrate:
        _hear_single_operations(case, engine, options, outcome, subject)
    for name in outcome.tied:
        if any(_disagrees(outcome, subject, name, gradients[name]) for gradients in others.values()):
            findings.fail_tied(outcome.findings[name], outcome.tolerances[name])
    found = explanation.explain(outcome, Facts()) if outcome.failing else None
    parameters = {}
    for name in outcome.findings:
        result = _result(outcome, name, dtypes[name], subject, others)
        parameters[name] = explanation.complete(outcome, result, found.of(name) if found else ())
    value_notes = _compare_values(case, subject)
    verdicts = [result.verdict for result in parameters.values()]
    return Report(
        name=options.name or subject.name,
        verdict=judge.worst([*verdicts, *([Verdict.FAIL] if value_notes else [])]),
        parameters=parameters,
        cost=Cost(outcome.exam.forward_evaluations, 1, time.perf_counter() - start),
        seed=options.seed,
        message=value_notes,
        notes=(*outcome.notes, *filter(None, [narrow])),
        options=options.to_dict(),
    )


def _hear_single_operations(
    case: Any, engine: Engine, options: Options, outcome: Outcome, subject: EngineSubject
) -> None:
    """Pass what follows by the chain rule from right choices at single kinks."""
    from gradcheck.engines.conventions import kinks_explain
    from gradcheck.engines.reference import ReferenceEngine
    from gradcheck.engines.torch import TorchEngine

    misfits = outcome.pulls[0].misshapen
    suspects = [outcome.findings[name] for name in (*outcome.failing, *outcome.tied) if name not in misfits]
    suspects = [finding for finding in suspects if not finding.message]
    if not suspects:
        return
    other: Engine = ReferenceEngine() if isinstance(engine, TorchEngine) else TorchEngine()

    def is_right(single: Any) -> bool:
        return verify_engine(single, engine, replace(options, name=None), arbitrate=False).ok

    kink = kinks_explain(case, engine, other, subject.answer.gradients, is_right)
    for finding in suspects if kink else ():
        findings.explain_by_kink(finding, kink)


def _disagrees(outcome: Outcome, subject: EngineSubject, name: str, expected: Array) -> bool:
    claimed = np.asarray(subject.answer.gradients[name])
    compared = compare(AUTOGRAD, claimed, np.asarray(expected), outcome.tolerances[name], subject.precision)
    return compared is not None and compared.verdict is Verdict.FAIL


def _witnesses(case: Any, engine: Engine) -> dict[str, Mapping[str, Array]]:
    """Return the gradients by every other implementation that can run the case."""
    from gradcheck.engines.reference import ReferenceEngine
    from gradcheck.engines.torch import TorchEngine

    found: dict[str, Mapping[str, Array]] = {}
    witness: Engine
    for label, witness in ((AUTOGRAD, TorchEngine()), (REFERENCE, ReferenceEngine())):
        able = all(witness.supports(node.operation) for node in case.graph.nodes)
        if able and type(witness) is not type(engine):
            found[label] = call_engine(witness, case.graph, case.values, finite=False).gradients
    return found


def _compare_values(case: Any, subject: EngineSubject) -> str:
    """Check the primal before the derivative: an engine that computes another function cannot be judged."""
    claimed = np.asarray(subject.answer.value)
    expected = np.asarray(subject.evaluate({})[0])
    tol = (
        judge.tolerance(str(np.result_type(*case.values.values())))
        if case.values
        else judge.tolerance("float64")
    )
    largest = float(np.abs(expected).max(initial=0))
    difference = np.abs(claimed - expected)
    if (
        not difference.size
        or float(difference.max()) <= max(tol.relative, 1e-9) * max(largest, 1e-30)
        or not np.isfinite(largest)
    ):
        return ""
    at = np.unravel_index(int(np.argmax(difference)), difference.shape)
    return (
        f"the value itself differs, before any gradient: the engine gives {claimed[at]:.9g}, "
        f"the reference forward pass {float(np.real(expected[at])):.9g}"
    )


def _result(
    outcome: Outcome, name: str, dtype: str, subject: EngineSubject, others: Mapping[str, Mapping[str, Array]]
) -> ParameterResult:
    result = findings.result(outcome.exam, outcome.findings[name], dtype)
    claimed = np.asarray(subject.answer.gradients[name])
    tol = outcome.tolerances[name]
    comparisons = dict(result.comparisons)
    for label, gradients in others.items():
        compared = compare(label, claimed, np.asarray(gradients[name]), tol, subject.precision)
        if compared is not None and compared.verdict is Verdict.FAIL:
            rounded = outcome.exam.rounding.in_doubt(name)
            compared = compare(label, claimed, np.asarray(gradients[name]), tol, subject.precision, rounded)
        if compared is not None:
            comparisons[label] = compared
    return _odd_one_out(_vouched_for(replace(result, comparisons=comparisons), subject))


def _vouched_for(result: ParameterResult, subject: EngineSubject) -> ParameterResult:
    """Take the other witnesses' word where rounding to a narrow format hides what differences show."""
    others = [c.verdict for label, c in result.comparisons.items() if label in (AUTOGRAD, REFERENCE)]
    narrow = subject.precision > float(np.finfo(np.float64).eps)
    if result.verdict is not Verdict.INCONCLUSIVE or not narrow or others != [Verdict.PASS] * 2:
        return result
    note = "finite differences do not resolve it; autograd and the reference agree with the claimed gradient"
    return replace(result, verdict=Verdict.PASS, message="", notes=(*result.notes, note))


def compare(
    label: str,
    claimed: Array,
    expected: Array,
    tol: Tolerance,
    precision: float,
    rounded: Array | float = 0.0,
) -> Comparison | None:
    """Compare two gradients entry by entry; None where there is no entry.

    ``rounded`` is what is known of each entry's rounding beyond what its leaf's largest says.
    """
    if claimed.size == 0:
        return None
    difference = np.abs(claimed - expected)
    largest = float(np.abs(expected).max())
    tau = tol.relative * np.abs(expected) + tol.of_largest * largest + tol.absolute
    rounding = np.broadcast_to(_ROUNDING * precision * max(largest, 1e-30) + rounded, claimed.shape)
    excess = np.where(np.isfinite(difference), difference - tau, np.inf)
    excess = np.where(np.isnan(claimed) & np.isnan(expected), -1.0, excess)
    at = tuple(int(k) for k in np.unravel_index(int(np.argmax(excess)), claimed.shape))
    wrong = int((excess > rounding).sum())
    size = max(abs(claimed[at]), abs(expected[at]))
    return Comparison(
        witness=label,
        claimed=_plain(claimed[at]),
        expected=_plain(expected[at]),
        index=at,
        abs_error=float(difference[at]),
        rel_error=float(difference[at] / size) if size > 0 else 0.0,
        uncertainty=float(rounding[at]),
        tolerance=float(tau[at]),
        mismatched=wrong,
        compared=int(claimed.size),
        verdict=Verdict.FAIL if wrong else Verdict.PASS,
    )


def _plain(number: Any) -> float | complex:
    return complex(number) if np.iscomplexobj(number) else float(number)


def _odd_one_out(result: ParameterResult) -> ParameterResult:
    """Say which witness stands alone; the claimed gradient is wrong only where finite differences say so."""
    against = [label for label, c in result.comparisons.items() if c.verdict is Verdict.FAIL]
    agreeing = [label for label, c in result.comparisons.items() if c.verdict is Verdict.PASS]
    numerical = result.comparisons.get(findings.NUMERICAL)
    if numerical is None or not against or (result.message and result.verdict is Verdict.FAIL):
        return result
    if numerical.verdict is Verdict.FAIL and agreeing:
        others = " and ".join(agreeing)
        note = f"finite differences are the odd one out: {others} agree with the claimed gradient"
        return replace(result, notes=(*result.notes, note))
    if numerical.verdict is Verdict.FAIL:
        return replace(
            result,
            message=result.message
            or "the claimed gradient is the odd one out: every other witness disagrees",
        )
    note = f"{' and '.join(against)} disagrees with the claimed gradient, finite differences agree with it"
    kink = any("kink" in text for text in result.notes)
    return replace(result, notes=(*result.notes, note + (" (a convention at a kink)" if kink else "")))
