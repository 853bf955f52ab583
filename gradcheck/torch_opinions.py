"""Further opinions on torch code: a reference, its own number format, second order, other circumstances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gradcheck import against_reference, explanation, findings, own_precision, torch_blame, torch_facts
from gradcheck.diagnose import Facts
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.probes import Pulled
from gradcheck.report.records import Comparison, ParameterResult, VariationResult, Verdict
from gradcheck.subjects.torch import SecondOrderSubject, TorchSubject, layout
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.torch_collected import Collected

_SECOND = "second order: "


def reference(subject: TorchSubject, options: Options, parts: Collected) -> dict[str, Comparison]:
    """Compare with the user's plain implementation, where there is one, by leaf."""
    if options.reference is None:
        return {}
    with subject.suspended():
        comparisons, message = against_reference.compare(subject, options.reference)
    parts.message = message
    return comparisons


def with_reference(result: ParameterResult, comparison: Comparison) -> ParameterResult:
    """Add the reference's opinion. It is ground truth where finite differences could not decide."""
    both = {**result.comparisons, against_reference.WITNESS: comparison}
    verdict = result.verdict
    if verdict is Verdict.INCONCLUSIVE or comparison.verdict is Verdict.FAIL:
        verdict = comparison.verdict
    message = result.message if verdict is not Verdict.PASS else ""
    if comparison.verdict is Verdict.FAIL and not message:
        message = "errs more than twice as much as the reference does in the same number format"
    return replace(result, comparisons=both, verdict=verdict, message=message)


def in_own_precision(subject: TorchSubject, outcome: Outcome, parts: Collected) -> None:
    """Compare the gradients in the user's own number format with those in double precision."""
    try:
        kept = own_precision.compare(subject, outcome.exam, outcome.pulls[0])
    except BackwardError as error:
        parts.message = f"right in float64, but in its own precision the backward pass raises {error}"
        return
    except Exception as error:  # users' code may run in float64 only
        parts.notes.append(f"not compared in its own precision: {type(error).__name__}: {error}"[:200])
        return
    for name, precision in kept.items():
        result = parts.parameters[name]
        failed = precision.verdict is Verdict.FAIL
        if result.vanishes and not failed:  # it has no digits in any format
            continue
        noted = precision.message and not failed
        notes = (*result.notes, precision.message) if noted else result.notes
        parts.parameters[name] = replace(
            result,
            digits=precision.digits,
            notes=notes,
            verdict=precision.verdict if failed else result.verdict,
            message=precision.message if failed else result.message,
        )


def second_order(subject: TorchSubject, outcome: Outcome, options: Options, parts: Collected) -> None:
    """Verify the gradients of the gradients; results are named after their leaf."""
    try:
        second = SecondOrderSubject(subject, outcome.pulls[0].cotangents)
        dtypes = {name: layout.label(t.dtype) for name, t in second.variables.items()}
        found = examine_subject(second, options, dtypes)
    except RuntimeError as error:
        parts.message = f"the backward pass cannot be differentiated: {str(error).splitlines()[0]}"
        blame = torch_blame.search(subject, outcome, [], parts, order=2)
        if blame is not None:
            parts.blame(blame)
        return
    parts.count(found.exam)
    parts.notes += [_SECOND + note for note in found.notes]
    if found.failing:
        blame = torch_blame.search(
            subject, outcome, [name for name in found.failing if name in subject.names], parts, order=2
        )
        if blame is not None and blame.all_calls_right and blame.kinks:
            parts.notes.append("second order: at a kink; every operation alone is right")
            return
        if blame is not None:
            parts.blame(blame)
    diagnoses = (
        explanation.explain(found, Facts(numbers=torch_facts.numbers(subject))) if found.failing else None
    )
    for name, finding in found.findings.items():
        result = findings.result(found.exam, finding, dtypes[name])
        result = explanation.complete(found, result, diagnoses.of(name) if diagnoses else ())
        label = _SECOND + name
        parts.parameters[label] = replace(result, name=label)


def vary(
    subject: TorchSubject, outcome: Outcome, options: Options, parts: Collected
) -> tuple[VariationResult, ...]:
    """Try the gradients in other circumstances."""
    from gradcheck.variations.base import Context
    from gradcheck.variations.names import RULES, advice
    from gradcheck.variations.run import run

    pulled = outcome.pulls[0]
    context = Context(
        subject,
        outcome.exam,
        pulled,
        {name: _claimed(subject, pulled, name) for name in pulled.gradients},
        options,
        torch_blame.elsewhere,
        find_own_code=lambda: torch_blame.own_code_of(subject),
        imprecise=frozenset(name for name, finding in outcome.findings.items() if finding.imprecise),
        holding=frozenset(name for name, finding in outcome.findings.items() if finding.holds_constant),
    )
    forward, backward = subject.forward_runs, subject.backward_runs
    results = run(context, outcome.exam.seconds_per_pull)
    parts.forward += subject.forward_runs - forward
    parts.backward += subject.backward_runs - backward
    failed = [result.name for result in results if result.verdict is Verdict.FAIL]
    parts.notes += filter(None, [advice(failed)])
    if not RULES.issuperset(failed) and not parts.blames and len(context.own_code.backwards) == 1:
        parts.blames += context.own_code.backwards
    return results


def _claimed(subject: TorchSubject, pulled: Pulled, name: str) -> Tensor | None:
    """Return a claimed gradient as it came, with the entries that are not finite; it may share memory."""
    if name in pulled.missing:
        return None
    gradient = pulled.gradients[name]
    if name in pulled.finite:
        gradient = np.where(pulled.finite[name], gradient, np.nan)
    leaf = subject.variables[name]
    return torch.from_numpy(gradient).to(leaf.device, leaf.dtype)
