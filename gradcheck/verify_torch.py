"""PyTorch subjects: what the pipeline finds, and what only torch code can tell besides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradcheck import findings, judge
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Cost, ParameterResult, Report, Verdict
from gradcheck.subjects.torch import TorchSubject, make


def verify_torch(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
) -> Report:
    """Verify a torch module or function at the given arguments."""
    start = time.perf_counter()
    subject = make(function, args, kwargs, options.name)
    with subject:
        subject.start()
        outcome = examine_subject(subject, options, _dtypes(subject))
        parameters = {name: _result(subject, outcome, name) for name in outcome.findings}
    cost = Cost(
        outcome.exam.forward_evaluations, outcome.exam.backward_evaluations, time.perf_counter() - start
    )
    return Report(
        name=subject.name,
        verdict=judge.worst([result.verdict for result in parameters.values()]),
        parameters=parameters,
        cost=cost,
        seed=options.seed,
        notes=tuple(subject.notes),
        options=options.to_dict(),
    )


def _dtypes(subject: TorchSubject) -> dict[str, str]:
    return {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in subject.variables.items()}


def _result(subject: TorchSubject, outcome: Outcome, name: str) -> ParameterResult:
    original = {**subject.parameters, **subject.inputs}[name]
    return findings.result(outcome.exam, outcome.findings[name], str(original.dtype).removeprefix("torch."))
