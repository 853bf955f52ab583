"""PyTorch subjects: what the pipeline finds, and what only torch code can tell besides.

The order matters: a discrepancy is believed only after every operation has been heard (what right operations
do together at a kink is no fault); circumstances are varied only once the ordinary gradient is right.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcheck import (
    against_reference,
    conventions,
    explanation,
    findings,
    judge,
    own_precision,
    remarks,
    tolerances,
    torch_facts,
)
from gradcheck.blame import BlameResult, blame_subject, leftover
from gradcheck.blame.handwritten import OwnCode, own_code
from gradcheck.blame.inherit import inherited
from gradcheck.blame.undefined import find_undefined
from gradcheck.diagnose import Facts
from gradcheck.errors import UsageError
from gradcheck.examination import Examination, Pulled
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import (
    Blame,
    Call,
    Comparison,
    Cost,
    Diagnosis,
    ParameterResult,
    Report,
    VariationResult,
    Verdict,
)
from gradcheck.subjects.torch import SecondOrderSubject, TorchSubject, opened
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.suggest import did_you_mean
from gradcheck.waivers import waived

_SECOND = "second order: "
_INVALID = re.compile(
    r"invalid gradient at index (\d+) - got (\[.*?\]) but expected shape compatible with (\[.*?\])"
)


@dataclass
class Collected:
    """The parts of a report as they come in."""

    parameters: dict[str, ParameterResult] = field(default_factory=dict)
    variations: tuple[VariationResult, ...] = ()
    blames: list[Blame] = field(default_factory=list)
    trace: tuple[Call, ...] = ()
    notes: list[str] = field(default_factory=list)
    message: str = ""
    forward: int = 0
    backward: int = 0

    def count(self, exam: Examination) -> None:
        """Add what an examination has cost."""
        self.forward += exam.forward_evaluations
        self.backward += exam.backward_evaluations

    def blame(self, found: BlameResult) -> None:
        """Add what a search for the guilty operation brought to light."""
        self.blames += [blame for blame in found.blames if blame not in self.blames]
        self.trace = self.trace or found.trace
        self.forward += found.cost.forward_evaluations
        self.backward += found.cost.backward_evaluations


def verify_torch(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
) -> Report:
    """Verify a torch module or function at the given arguments."""
    start = time.perf_counter()
    with torch.inference_mode(False), opened(function, args, kwargs, options.name) as subject:
        _check_allowed(options, subject.names)
        parts = Collected()
        truths = _reference(subject, options, parts)
        try:
            _verify_open(subject, options, parts)
        except BackwardError as error:
            _backward_raised(subject, parts, error)
    for name, comparison in truths.items():
        parts.parameters[name] = _with_reference(parts.parameters[name], comparison)
    return _report(subject, options, parts, time.perf_counter() - start)


def _verify_open(subject: TorchSubject, options: Options, parts: Collected) -> None:
    outcome = examine_subject(subject, options, _dtypes(subject))
    parts.notes += outcome.notes
    elsewhere = tolerances.excuse(subject, outcome, options)
    blame = _arbitrate(subject, outcome, parts)
    parts.parameters = _results(subject, outcome, parts, blame)
    if blame is not None:
        parts.blame(blame)
    if outcome.failing:
        parts.notes += remarks.of(subject, outcome, options.allow)
    right = not outcome.failing and _unseen_is_right(subject, outcome, parts)
    if right and subject.double and subject.is_narrow and subject.randomised:
        parts.notes.append("draws random numbers, other ones in float64: not compared in its own precision")
    elif right and subject.double and subject.is_narrow:
        _own_precision(subject, outcome, parts)
    if right and options.order == 2:
        _second_order(subject, outcome, options, parts)
    if right and options.variations is not False:
        parts.variations = _variations(subject, outcome, elsewhere, parts)
    if not parts.blames and any(r.verdict is Verdict.FAIL for r in parts.parameters.values()):
        parts.blames += _undefined(subject, outcome, parts) or leftover.only_backward(
            subject, _own_code(subject).backwards, parts.trace, parts.parameters.values()
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
    names = {str(t.dtype).removeprefix("torch.") for t in subject.outputs}
    own = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in subject.variables.items()}
    return {name: judge.coarser(dtype, *names) for name, dtype in own.items()}


# Blame, and the arbitration of kinks


def _arbitrate(subject: TorchSubject, outcome: Outcome, parts: Collected) -> BlameResult | None:
    """Hear every operation before a discrepancy is believed."""
    undecided, endless = outcome.tied, outcome.endless
    suspects = [*outcome.failing, *undecided, *endless]
    if not suspects:
        return None
    found = _blame(subject, outcome, suspects, parts)
    if found is None:
        return None
    for name in suspects:
        finding = outcome.findings[name]
        if name in endless:
            if found.all_calls_right:
                finding.verdict, finding.message = Verdict.PASS, ""
                finding.notes.append("its slope has no end there; every operation alone is right")
        elif (
            found.all_calls_right
            and found.kinks
            and name not in outcome.pulls[0].misshapen
            and not finding.message
        ):
            finding.verdict, finding.wrong = Verdict.PASS, finding.wrong[:0]
            finding.notes.append(f"at a kink of {found.kinks[0]}; every operation alone is right")
        elif name in undecided and found.blames:
            findings.fail_tied(finding, outcome.tolerances[name])
    guilty = [blame.operation for blame in found.blames]
    conventions.accept(outcome, guilty, theirs=bool(guilty) and not found.of_the_user)
    return found if outcome.failing else None


def _blame(
    subject: TorchSubject, outcome: Outcome, wrong: Sequence[str], parts: Collected, order: int = 1
) -> BlameResult | None:
    try:
        return blame_subject(
            subject,
            wrong=wrong,
            cotangents=outcome.pulls[0].cotangents,
            rng=outcome.exam.generator,
            order=order,
        )
    except Exception as error:  # the search reruns users' code in unusual ways; the verdict stands without it
        parts.notes.append(
            f"the guilty operation could not be searched for ({type(error).__name__}: {error})"[:300]
        )
        return None


def _blame_elsewhere(subject: TorchSubject) -> tuple[Blame, ...] | None:
    """Return the user's faults at another point: None where that cannot be told, () where there are none."""
    try:
        found = blame_subject(subject, explain=False)
    except Exception:  # as in _blame
        return None
    return found.of_the_user if found.blames or found.all_calls_right else None


def _unseen_is_right(subject: TorchSubject, outcome: Outcome, parts: Collected) -> bool:
    """Verify operations one by one where a hand-written one lies before gradients too small to be seen.

    What reaches the first layers of a deep network may be nothing beside the outputs' rounding.
    """
    hidden = [name for name, finding in outcome.findings.items() if _is_unseen(outcome, finding)]
    if not hidden or not _own_code(subject).backwards:
        return True
    found = _blame(subject, outcome, hidden, parts)
    if found is None or not found.of_the_user:
        return True
    parts.blame(found)
    parts.message = (
        "a hand-written operation is wrong alone, before parameters whose gradients are too small to be told "
        f"from zero: {', '.join(hidden[:3])}" + (" and others" if len(hidden) > 3 else "")
    )
    return False


def _is_unseen(outcome: Outcome, finding: findings.Finding) -> bool:
    """Whether a gradient is claimed that no direction and no entry has told from zero."""
    if finding.entries is not None or not finding.probes or finding.detectable(outcome.exam) is not None:
        return False
    return bool(outcome.pulls[0].gradients[finding.name].any())


# Results


def _results(
    subject: TorchSubject, outcome: Outcome, parts: Collected, blame: BlameResult | None
) -> dict[str, ParameterResult]:
    found = explanation.explain(outcome, torch_facts.gather(subject, outcome)) if outcome.failing else None
    if found is not None:
        parts.notes += explanation.story(found, located=blame is not None and bool(blame.blames))
    originals = {**subject.parameters, **subject.inputs}
    results = {}
    for name, finding in outcome.findings.items():
        dtype = str(subject.original_dtypes[name]).removeprefix("torch.") if name in originals else "float64"
        result = findings.result(outcome.exam, finding, dtype)
        diagnoses = found.of(name) if found else ()
        if blame is not None:
            diagnoses = inherited(name, diagnoses, blame)
        results[name] = explanation.complete(outcome, result, diagnoses)
    return results


def _backward_raised(subject: TorchSubject, parts: Collected, error: BackwardError) -> None:
    """Report a backward pass that raises: a fault, not a crash."""
    parts.message = f"the backward pass raises {error}"
    try:
        parts.blame(blame_subject(subject))
    except Exception:  # the verdict stands without a place
        parts.notes.append("the place could not be found")
    for name, value in subject.variables.items():
        dtype = str(subject.original_dtypes[name]).removeprefix("torch.")
        if name not in parts.parameters or parts.parameters[name].verdict is Verdict.PASS:
            parts.parameters[name] = ParameterResult(
                name,
                Verdict.FAIL,
                tuple(value.shape),
                dtype,
                message="the backward pass raises",
                diagnoses=_of_shape(error),
            )


def _of_shape(error: BackwardError) -> tuple[Diagnosis, ...]:
    """Return the diagnosis that autograd itself makes: a gradient that does not fit its input."""
    found = _INVALID.search(str(error))
    if found is None:
        return ()
    index, got, wanted = found.groups()
    message = (
        f"A backward pass returns a gradient of shape {got} for its input {index}, whose shape is {wanted}: "
        "is a sum over a broadcast axis missing, or one too many?"
    )
    return (Diagnosis("shape", message, 1.0),)


def _report(subject: TorchSubject, options: Options, parts: Collected, seconds: float) -> Report:
    parameters = {name: waived(result, options) for name, result in parts.parameters.items()}
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


# Further opinions


def _reference(subject: TorchSubject, options: Options, parts: Collected) -> dict[str, Comparison]:
    if options.reference is None:
        return {}
    with subject.suspended():
        comparisons, message = against_reference.compare(subject, options.reference)
    parts.message = message
    return comparisons


def _with_reference(result: ParameterResult, comparison: Comparison) -> ParameterResult:
    """Add the reference's opinion. It is ground truth where finite differences could not decide."""
    both = {**result.comparisons, against_reference.WITNESS: comparison}
    verdict = result.verdict
    if verdict is Verdict.INCONCLUSIVE or comparison.verdict is Verdict.FAIL:
        verdict = comparison.verdict
    message = result.message if verdict is not Verdict.PASS else ""
    if comparison.verdict is Verdict.FAIL and not message:
        message = "errs more than twice as much as the reference does in the same number format"
    return replace(result, comparisons=both, verdict=verdict, message=message)


def _own_precision(subject: TorchSubject, outcome: Outcome, parts: Collected) -> None:
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


def _second_order(subject: TorchSubject, outcome: Outcome, options: Options, parts: Collected) -> None:
    """Verify the gradients of the gradients; results are named after their leaf."""
    try:
        second = SecondOrderSubject(subject, outcome.pulls[0].cotangents)
        dtypes = {name: str(t.dtype).removeprefix("torch.") for name, t in second.variables.items()}
        found = examine_subject(second, options, dtypes)
    except RuntimeError as error:
        parts.message = f"the backward pass cannot be differentiated: {str(error).splitlines()[0]}"
        blame = _blame(subject, outcome, [], parts, order=2)
        if blame is not None:
            parts.blame(blame)
        return
    parts.count(found.exam)
    parts.notes += [_SECOND + note for note in found.notes]
    if found.failing:
        blame = _blame(
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


def _variations(
    subject: TorchSubject, outcome: Outcome, options: Options, parts: Collected
) -> tuple[VariationResult, ...]:
    from gradcheck.variations.base import Context
    from gradcheck.variations.names import advice
    from gradcheck.variations.run import run

    pulled = outcome.pulls[0]
    context = Context(
        subject,
        outcome.exam,
        pulled,
        {name: _claimed(subject, pulled, name) for name in pulled.gradients},
        options,
        _blame_elsewhere,
        find_own_code=lambda: _own_code(subject),
        imprecise=frozenset(name for name, finding in outcome.findings.items() if finding.imprecise),
    )
    forward, backward = subject.forward_runs, subject.backward_runs
    results = run(context, outcome.exam.seconds_per_pull)
    parts.forward += subject.forward_runs - forward
    parts.backward += subject.backward_runs - backward
    failed = [result.name for result in results if result.verdict is Verdict.FAIL]
    parts.notes += filter(None, [advice(failed)])
    if failed and not parts.blames and len(context.own_code.backwards) == 1:
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


def _undefined(subject: TorchSubject, outcome: Outcome, parts: Collected) -> tuple[Blame, ...]:
    """Return the operation at which the gradient of a failing leaf stops being a number."""
    pulled = outcome.pulls[0]
    if not any(name in pulled.finite for name in outcome.failing):
        return ()
    return find_undefined(subject, pulled.cotangents, parts.trace)


def _own_code(subject: TorchSubject) -> OwnCode:
    try:
        return own_code(subject)
    except Exception:  # as in _blame
        return OwnCode()
