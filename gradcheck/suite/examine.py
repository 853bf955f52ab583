"""One case by one engine: supported, verified, and on failure traced to the operation at fault."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cases import Case
from gradcheck.engines.base import Engine, UnsupportedError, unsupported
from gradcheck.errors import EngineError
from gradcheck.report.records import Report, Verdict
from gradcheck.suite.blame import blame_nodes
from gradcheck.suite.parts import supported_part
from gradcheck.suite.records import Outcome
from gradcheck.targets.excerpt import excerpt
from gradcheck.verification import verify_case


def examine(case: Case, engine: Engine, options: Mapping[str, Any], seed: int = 0) -> Outcome:
    """Verify one case, or the part of it that the engine has the operations for.

    Whatever the engine does, the outcome says so and nothing is raised.
    """
    start = time.perf_counter()
    try:
        lacking = unsupported(engine, case.graph)
    except (Exception, SystemExit) as error:
        return Outcome(case, error=_raised(engine, error), seconds=time.perf_counter() - start)
    part = supported_part(case, engine)
    if part is None:
        return Outcome(case, skipped=True, unsupported=lacking)
    case = part
    try:
        report = verify_case(case, engine, **{"seed": seed, **options})
        if report.verdict is Verdict.FAIL:
            blames, trace = blame_nodes(case, engine, options)
            report = replace(report, blames=blames, trace=trace)
    except UnsupportedError as error:
        lacking = (*lacking, error.operation) if error.operation else lacking
        return Outcome(case, skipped=True, unsupported=lacking)
    except EngineError as error:
        seconds = time.perf_counter() - start
        where = excerpt(error.__cause__) if error.__cause__ is not None else ""
        return Outcome(case, unsupported=lacking, error=str(error), trace=where, seconds=seconds)
    return Outcome(
        case,
        report,
        unsupported=lacking,
        resolution=resolution(report),
        seconds=time.perf_counter() - start,
    )


def _raised(engine: Engine, error: BaseException) -> str:
    return (
        f"Engine {engine.name!r} raised {type(error).__name__}: {' '.join(str(error).split())} "
        "(in supports); call it alone to see where."
    )


def resolution(report: Report) -> float | None:
    """Return the median uncertainty of the gradients, relative to them; None where all of them are zero."""
    found = list(_relative_uncertainties(report))
    return statistics.median(found) if found else None


def _relative_uncertainties(report: Report) -> Iterator[float]:
    for result in report.parameters.values():
        comparison = result.comparisons.get("finite differences")
        if comparison is None:
            continue
        size = abs(comparison.expected)
        if size > 0 and math.isfinite(comparison.uncertainty):
            yield comparison.uncertainty / size
