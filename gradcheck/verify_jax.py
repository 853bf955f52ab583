"""JAX subjects: what the pipeline finds, the hand-written rules inside, and the same elsewhere.

As for PyTorch, a discrepancy at a kink is believed only after every hand-written rule has been heard alone,
and circumstances are varied only once the ordinary gradient is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck import explanation, findings, jax_rules, judge
from gradcheck.diagnose import Facts
from gradcheck.errors import UsageError
from gradcheck.numerical import directions
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import (
    Blame,
    Cost,
    Diagnosis,
    ParameterResult,
    Report,
    VariationResult,
    Verdict,
)
from gradcheck.subjects.jax import BackwardError, JaxSubject, make, spacing
from gradcheck.suggest import did_you_mean
from gradcheck.variations.jax import JaxContext
from gradcheck.variations.jax import run as run_variations
from gradcheck.variations.names import advice
from gradcheck.waivers import waived

Array = npt.NDArray[Any]

# Relative error, in norm, up to which a narrow format's gradient is taken as it is.
_ACCEPTED = {"float32": 1e-2, "complex64": 1e-2, "float16": 0.1, "bfloat16": 0.3}
# So many times what one rounding of the leaves changes is rounding, too; formats coarser than _HALF have few
# roundings to lose.
_SENSITIVE, _SENSITIVE_HALF, _HALF = 300.0, 30.0, 1e-4
# Share of the largest output by which the forward pass under differentiation may differ: roundings.
_SAME_VALUE = 1e3


@dataclass
class _Parts:
    parameters: dict[str, ParameterResult] = field(default_factory=dict)
    variations: tuple[VariationResult, ...] = ()
    blames: tuple[Blame, ...] = ()
    notes: list[str] = field(default_factory=list)
    message: str = ""


def verify_jax(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
) -> Report:
    """Verify ``jax.vjp`` of a function at the given arguments, hand-written rules in it included."""
    start = time.perf_counter()
    if options.order == 2 or options.reference is not None:
        wrong = "order=2" if options.order == 2 else "reference"
        raise UsageError(f"{wrong} is for PyTorch functions; for a JAX function leave it out.")
    subject = make(function, args, kwargs, options.name)
    for name in options.allow:
        if name not in subject.variables:
            raise UsageError(
                f"allow names {name!r}, which is not verified here."
                + did_you_mean(name, subject.names, "Verified are")
            )
    parts, cost = _Parts(notes=list(subject.notes)), Cost()
    try:
        cost = _verify(subject, options, parts)
    except BackwardError as error:
        _backward_raised(subject, parts, error)
    parameters = {name: waived(result, options) for name, result in parts.parameters.items()}
    verdicts = [result.verdict for result in parameters.values()]
    verdicts += [v.verdict for v in parts.variations if v.verdict is not None]
    verdicts += [Verdict.FAIL] if parts.message else []
    return Report(
        name=subject.name,
        verdict=judge.worst(verdicts),
        parameters=parameters,
        variations=parts.variations,
        blames=parts.blames,
        cost=replace(cost, seconds=time.perf_counter() - start),
        seed=options.seed,
        message=parts.message,
        notes=tuple(dict.fromkeys(parts.notes)),
        options=options.to_dict(),
    )


def _verify(subject: JaxSubject, options: Options, parts: _Parts) -> Cost:
    dtypes = jax_rules.dtypes(subject.variables, subject.outputs)
    outcome = examine_subject(subject, options, dtypes)
    rules = _rules(subject)
    _arbitrate(subject, outcome, options, parts, rules)
    parts.message = _other_value(subject)
    parts.parameters = _results(subject, outcome, parts)
    if any(array.dtype.kind == "c" for array in subject.variables.values()):
        parts.notes.append("complex gradients are shown conjugated: dL = Re(conj(g) dz)")
    if not outcome.failing and not parts.message:
        if subject.double:
            _own_precision(subject, outcome, parts)
        if options.variations is not False:
            pulled = outcome.pulls[0]
            gradients = {name: _claimed(outcome, name) for name in pulled.gradients}
            context = JaxContext(subject, outcome.exam, pulled.cotangents, gradients, options, rules)
            parts.variations = run_variations(context)
            wrong = [v.name for v in parts.variations if v.verdict is Verdict.FAIL]
            parts.notes += filter(None, [advice(wrong)])
    failed = any(v.verdict is Verdict.FAIL for v in parts.variations) or parts.message or outcome.failing
    if failed and not parts.blames and rules is not None:
        parts.blames = _only(rules)
    return Cost(outcome.exam.forward_evaluations, outcome.exam.backward_evaluations)


def _rules(subject: JaxSubject) -> list[jax_rules.Rule] | None:
    """Return the hand-written rules in the function, None where it cannot be traced."""
    try:
        return jax_rules.rules(subject)
    except Exception:  # Python code that looks at values; the verdict stands without it
        return None


def _arbitrate(
    subject: JaxSubject,
    outcome: Outcome,
    options: Options,
    parts: _Parts,
    rules: Sequence[jax_rules.Rule] | None,
) -> None:
    suspects = [*outcome.failing, *outcome.tied]
    if not suspects:
        return
    if rules:
        parts.blames = jax_rules.blame(rules, options)
    for name in outcome.tied:
        if parts.blames or (not rules and jax_rules.tied_fault(subject, options)):
            findings.fail_tied(outcome.findings[name], outcome.tolerances[name])
        else:
            outcome.findings[name].notes.append("at a kink; every hand-written rule alone is right")


def _only(rules: Sequence[jax_rules.Rule]) -> tuple[Blame, ...]:
    """Return the one hand-written rule, where there is one."""
    places = {(rule.name, rule.location) for rule in rules}
    if len(places) != 1:
        return ()
    ((name, location),) = places
    return (Blame(name, location, "the only hand-written backward pass"),)


def _other_value(subject: JaxSubject) -> str:
    """Compare the outputs with those that the forward rule computes: ``fwd`` may be another function."""
    with subject.precise():
        found, _ = subject.linearised()
    for path, own, other in zip(subject.output_paths, subject.outputs, found, strict=True):
        if own.shape != other.shape:
            return f"under differentiation output{path} has shape {other.shape}, otherwise {own.shape}"
        a, b = directions.to_numpy(own), directions.to_numpy(other)
        difference = np.where(np.isfinite(a) & np.isfinite(b), np.abs(a - b), 0)
        finite = np.abs(a)[np.isfinite(a)]
        if difference.max(initial=0) > _SAME_VALUE * subject.epsilon * finite.max(initial=0):
            at = np.unravel_index(int(np.argmax(difference)), a.shape)
            place = f"output{path}{list(map(int, at)) if at else ''}"
            return (
                f"the forward rule computes another value than the function: {place} is {b[at]:.6g} under "
                f"differentiation, {a[at]:.6g} otherwise"
            )
    return ""


def _claimed(outcome: Outcome, name: str) -> Array | None:
    """Return a claimed gradient as it came."""
    pulled = outcome.pulls[0]
    return None if name in pulled.missing else pulled.raw.get(name, pulled.gradients[name])


def _results(subject: JaxSubject, outcome: Outcome, parts: _Parts) -> dict[str, ParameterResult]:
    found = explanation.explain(outcome, _facts(subject, outcome)) if outcome.failing else None
    if found is not None:
        parts.notes += explanation.story(found)
    results = {}
    for name, finding in outcome.findings.items():
        result = findings.result(outcome.exam, finding, str(subject.original_dtypes[name]))
        results[name] = explanation.complete(outcome, result, found.of(name) if found else ())
    return results


def _facts(subject: JaxSubject, outcome: Outcome) -> Facts:
    shapes = {name: tuple(array.shape) for name, array in subject.arrays.items()}
    shapes |= {
        f"output{path}": tuple(out.shape)
        for path, out in zip(subject.output_paths, subject.outputs, strict=True)
    }
    arrays = {name: a for name, a in subject.arrays.items() if name not in subject.variables}
    for path, u in zip(subject.output_paths, outcome.pulls[0].cotangents, strict=True):
        arrays[f"the cotangent of {f'output{path}' if path else 'the output'}"] = directions.to_numpy(u)
    return Facts(numbers=explanation.numbers_of(shapes), arrays=arrays)


def _backward_raised(subject: JaxSubject, parts: _Parts, error: BackwardError) -> None:
    """Report a backward pass that raises, or returns what JAX refuses: a fault, not a crash."""
    parts.message = f"the backward pass raises {error}"
    parts.blames = _only(_rules(subject) or ())
    kinds = (Diagnosis("shape", "JAX refuses what the backward pass returns.", 1.0),)
    refused = any(word in str(error) for word in ("bwd rule", "cotangent", "Custom VJP"))
    for name, array in subject.variables.items():
        parts.parameters.setdefault(
            name,
            ParameterResult(
                name,
                Verdict.FAIL,
                tuple(array.shape),
                str(subject.original_dtypes[name]),
                message="the backward pass raises",
                diagnoses=kinds if refused else (),
            ),
        )


def _own_precision(subject: JaxSubject, outcome: Outcome, parts: _Parts) -> None:
    """Compare the gradient in the user's own number format with the one found right in float64."""
    own = JaxSubject(subject.function, subject.args, subject.kwargs, name=subject.name)
    us = [u.astype(out.dtype) for u, out in zip(outcome.pulls[0].cotangents, own.outputs, strict=True)]
    wide = [u.astype(out.dtype) for u, out in zip(us, subject.outputs, strict=True)]
    try:
        found, exact = own.pull_back(us), subject.pull_back(wide)
    except BackwardError as error:
        parts.message = f"right in float64, but in its own precision the backward pass raises {error}"
        return
    errors = {name: _relative(found[name], exact[name]) for name in exact}
    worth = {
        n
        for n, e in errors.items()
        if e > min(_accepted(parts.parameters[n].dtype), 1e3 * _spacing(subject, n))
    }
    shaken = _shaken(subject, wide) if worth else {}
    for name, off in errors.items():
        factor = _SENSITIVE if _spacing(subject, name) < _HALF else _SENSITIVE_HALF
        explained = factor * _relative(shaken.get(name), exact[name])
        result = parts.parameters[name]
        parts.parameters[name] = _with_precision(result, off, explained, name in worth)


def _with_precision(
    result: ParameterResult, error: float, explained: float, worth_a_note: bool
) -> ParameterResult:
    digits = judge.digits(error, 1.0)
    result = replace(result, digits=digits)
    if not worth_a_note:
        return result
    if error <= explained:
        note = f"ill-conditioned in {result.dtype}: {digits:.1f} digits survive"
        return replace(result, notes=(*result.notes, note))
    if error <= _accepted(result.dtype):
        note = f"imprecise: {digits:.1f} digits survive in {result.dtype}"
        return replace(result, notes=(*result.notes, note))
    message = f"right in float64, but computed in {result.dtype} it is off by {error:.1%} of its norm"
    return replace(result, verdict=Verdict.FAIL, message=message)


def _accepted(dtype: str) -> float:
    return _ACCEPTED.get(dtype, 1e-6)


def _spacing(subject: JaxSubject, name: str) -> float:
    return spacing(subject.original_dtypes[name])


def _shaken(subject: JaxSubject, cotangents: Sequence[Array]) -> dict[str, Array | None]:
    """Return the gradients in double precision with every leaf rounded once in its own format."""
    random = np.random.default_rng(0)
    values = {
        name: value * (1 + _spacing(subject, name) * random.uniform(-1, 1, value.shape))
        for name, value in subject.variables.items()
    }
    return subject.at(values).pull_back(cotangents)


def _relative(found: Array | None, exact: Array | None) -> float:
    if exact is None or found is None or not exact.size:
        return 0.0
    largest = float(np.abs(exact).max())
    if largest == 0:
        return 0.0
    error = np.linalg.norm((directions.to_numpy(found) - exact).reshape(-1) / largest)
    norm = np.linalg.norm(exact.reshape(-1) / largest)
    return float(error / norm) if np.isfinite(error) else float("inf")
