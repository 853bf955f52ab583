"""PyTorch subjects: what the pipeline finds, and what only torch code can tell besides.

The order matters: a discrepancy is believed only after every operation has been heard (what right operations
do together at a kink is no fault); circumstances are varied only once the ordinary gradient is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gradcheck import (
    explanation,
    findings,
    judge,
    remarks,
    tolerances,
    torch_blame,
    torch_facts,
    torch_opinions,
)
from gradcheck.blame import BlameResult, leftover
from gradcheck.blame.inherit import inherited
from gradcheck.errors import UsageError
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Cost, ParameterResult, Report, VariationResult, Verdict
from gradcheck.subjects.torch import Opened, TorchSubject, layout
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.suggest import did_you_mean
from gradcheck.torch_collected import Collected
from gradcheck.waivers import waived


def verify_torch(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
) -> Report:
    """Verify a torch module or function at the given arguments."""
    start = time.perf_counter()
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            return verify_torch(function, args, kwargs, options)
    with Opened(function, args, kwargs, options.name) as subject:
        _check_allowed(options, subject.names)
        parts = Collected()
        truths = torch_opinions.reference(subject, options, parts)
        try:
            _verify_open(subject, options, parts)
        except BackwardError as error:
            torch_blame.backward_raised(subject, parts, error)
    for name, comparison in truths.items():
        parts.parameters[name] = torch_opinions.with_reference(parts.parameters[name], comparison)
    return _report(subject, options, parts, time.perf_counter() - start)


def _verify_open(subject: TorchSubject, options: Options, parts: Collected) -> None:
    outcome = examine_subject(subject, options, _dtypes(subject))
    parts.notes += outcome.notes
    elsewhere, blame = options, None
    if outcome.in_doubt:
        elsewhere = tolerances.excuse(subject, outcome, options)
        blame = torch_blame.arbitrate(subject, outcome, parts)
    failing = outcome.failing
    parts.parameters = _results(subject, outcome, parts, blame)
    if blame is not None:
        parts.blame(blame)
    if failing:
        parts.notes += remarks.of(subject, outcome, options.allow)
    right = not failing and torch_blame.unseen_is_right(subject, outcome, parts)
    if right and subject.double and subject.is_narrow and subject.randomised:
        parts.notes.append("draws random numbers, other ones in float64: not compared in its own precision")
    elif right and subject.double and subject.is_narrow:
        torch_opinions.in_own_precision(subject, outcome, parts)
    if right and options.order == 2:
        torch_opinions.second_order(subject, outcome, options, parts)
    if right and options.variations is not False:
        parts.variations = torch_opinions.vary(subject, outcome, elsewhere, parts)
    if not parts.blames and any(r.verdict is Verdict.FAIL for r in parts.parameters.values()):
        parts.blames += torch_blame.undefined(subject, outcome, parts) or leftover.only_backward(
            subject, torch_blame.own_code_of(subject).backwards, parts.trace, parts.parameters.values()
        )
    parts.count(outcome.exam)


def _check_allowed(options: Options, names: Sequence[str]) -> None:
    for name in options.allow:
        if name not in names:
            raise UsageError(
                f"allow names {name!r}, which is not verified here."
                + did_you_mean(name, names, "Verified are")
            )


def _dtypes(subject: TorchSubject) -> dict[str, str]:
    """Return the dtype whose tolerance applies to each leaf: its own, or the coarsest output's."""
    outputs = {layout.label(out.dtype) for out in subject.outputs}
    return {
        name: judge.coarser(layout.label(leaf.dtype), *outputs) for name, leaf in subject.variables.items()
    }


def _results(
    subject: TorchSubject, outcome: Outcome, parts: Collected, blame: BlameResult | None
) -> dict[str, ParameterResult]:
    found = explanation.explain(outcome, torch_facts.gather(subject, outcome)) if outcome.failing else None
    if found is not None:
        parts.notes += explanation.story(found, located=blame is not None and bool(blame.blames))
    originals = {**subject.parameters, **subject.inputs}
    results = {}
    for name, finding in outcome.findings.items():
        dtype = layout.label(subject.original_dtypes[name]) if name in originals else "float64"
        result = findings.result(outcome.exam, finding, dtype)
        if finding.verdict is not Verdict.PASS or finding.imprecise:
            diagnoses = found.of(name) if found else ()
            if blame is not None:
                diagnoses = inherited(name, diagnoses, blame)
            result = explanation.complete(outcome, result, diagnoses)
        results[name] = result
    return results


def _report(subject: TorchSubject, options: Options, parts: Collected, seconds: float) -> Report:
    parameters = parts.parameters
    if options.allow:
        parameters = {name: waived(result, options) for name, result in parameters.items()}
    verdicts = [result.verdict for result in parameters.values()]
    verdicts += [
        v.verdict for v in parts.variations if v.verdict is not None and not _only_waived(v, options)
    ]
    if parts.message:
        verdicts.append(Verdict.FAIL)
    return Report(
        name=subject.name,
        verdict=judge.worst(verdicts),
        parameters=parameters,
        variations=parts.variations,
        blames=tuple(parts.blames),
        cost=Cost(parts.forward, parts.backward, seconds),
        seed=options.seed,
        message=parts.message,
        notes=tuple(dict.fromkeys([*subject.notes, *parts.notes])),
        trace=parts.trace,
        options=options.to_dict(),
    )


def _only_waived(variation: VariationResult, options: Options) -> bool:
    return bool(variation.parameters) and all(name in options.allow for name in variation.parameters)
