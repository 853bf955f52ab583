"""What other people's engines get wrong: each on generated cases and at special values.

    python -m benchmarks.engines_survey jax mygrad --cases 5000 --json found.json

Every finding is one operation, the smallest values that show it, a program in the engine's own words, and
what kind of finding it is. The truth is the reference backpropagation in extended precision, and finite
differences have the last word: at a kink any value between the one-sided derivatives is right.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.special_values import special_cases
from cases import Case, CaseError, shrink
from gradcheck import verify_case
from gradcheck.engines import UnsupportedError, call_engine, conformance
from gradcheck.engines.base import Answer, Engine
from gradcheck.errors import EngineError
from gradcheck.report.records import Report, Verdict
from gradcheck.suite import SuiteResult, run_suite
from gradcheck.suite.blame import node_cases
from reference_impl import RULES, value_and_gradients

Array = npt.NDArray[Any]

LIBRARIES = ("autograd", "jax", "micrograd", "mygrad", "tinygrad")
FAMILIES = ("mlp", "dag", "block", "kink")

RAISES, NOT_FINITE, WRONG_VALUE = "raises", "not finite", "wrong value"
WRONG, CONVENTION, PRECISION = "wrong gradient", "convention at a kink", "precision loss"
UNRESOLVED = "differs, but finite differences cannot tell"

_MOST_BATCHES = 12
_BETWEEN = 50  # cases after which a library may let go of what it has compiled
_EXACT = 1e-10  # relative to the largest entry: what rounding alone explains
_LEAST = 1e-4  # entries so much smaller than |y| / |x| are beneath notice
_WRONG = 1e-5  # from here on a gradient is wrong rather than imprecise


def _clear_jax() -> None:
    import jax

    jax.clear_caches()


RELIEF: Mapping[str, Callable[[], None]] = {"JAX": _clear_jax}


@dataclass(frozen=True)
class Finding:
    """One thing that an engine does, shown as small as possible."""

    kind: str
    operation: str
    where: tuple[str, ...]
    leaf: str
    claimed: str
    true: str
    snippet: str
    count: int = 1


def classify(case: Case, engine: Engine) -> tuple[str, str]:
    """Return what kind of finding a case is, and the leaf that shows it; "" where nothing is found."""
    truth = true_answer(case)
    if not all(np.isfinite(a).all() for a in (truth.value, *truth.gradients.values())):
        return "", ""
    try:
        answer = call_engine(engine, case.graph, case.values, finite=False)
    except UnsupportedError:
        return "", ""
    except EngineError:
        return RAISES, ""
    least = _LEAST * _natural_size(case, truth.value)
    if (error := _error(answer.value, truth.value, least)) > _EXACT:
        return (WRONG_VALUE if error > _WRONG else PRECISION), ""
    errors = {name: _error(answer.gradients[name], g, least) for name, g in truth.gradients.items()}
    leaf = max(errors, key=lambda name: errors[name], default="")
    if not errors or errors[leaf] <= _EXACT:
        return "", ""
    if not np.isfinite(answer.gradients[leaf]).all():
        return NOT_FINITE, leaf
    if errors[leaf] <= _WRONG:
        return PRECISION, leaf
    report = verify_case(case, engine)
    if report.verdict is Verdict.FAIL:
        return WRONG, leaf
    kink = any(RULES[node.operation].kink for node in case.graph.nodes)
    return (CONVENTION if kink else UNRESOLVED), leaf


def true_answer(case: Case) -> Answer:
    """Return the value and the gradients in extended precision, rounded once."""
    wide = {
        name: value.astype(np.clongdouble if value.dtype.kind == "c" else np.longdouble)
        for name, value in case.values.items()
    }
    with np.errstate(all="ignore"):
        value, gradients = value_and_gradients(case.graph, wide)
        dtypes = {name: array.dtype for name, array in case.values.items()}
        rounded = {name: np.asarray(g).astype(dtypes[name]) for name, g in gradients.items()}
        return Answer(np.asarray(value).astype(np.result_type(float, *dtypes.values())), rounded)


def _natural_size(case: Case, value: Array) -> float:
    """Return |y| / |x|, the size that a gradient has unless something is special."""
    largest = max((float(np.abs(x).max(initial=0)) for x in case.values.values()), default=0.0)
    return float(np.abs(value).max(initial=0)) / largest if largest else 0.0


def _error(found: Array, true: Array, least: float) -> float:
    """Return the largest error, relative to the largest true entry; infinite where one is not a number."""
    if not true.size or np.array_equal(found, true):
        return 0.0
    with np.errstate(all="ignore"):
        error = float(np.abs(found - true).max() / max(np.abs(true).max(), least))
    return error if np.isfinite(error) else np.inf


class Survey:
    """Collects findings of one engine, the first and smallest of each kind, operation and place."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.findings: dict[tuple[str, str], Finding] = {}

    def take(self, case: Case, operation: str, where: str) -> None:
        """Classify a case, and keep what it shows."""
        kind, _ = classify(case, self.engine)
        if not kind:
            return
        key = kind, operation
        if key in self.findings:
            known = self.findings[key]
            places = tuple(dict.fromkeys((*known.where, where)))
            self.findings[key] = replace(known, count=known.count + 1, where=places)
        else:
            self.findings[key] = self._describe(self._smallest(case, kind), kind, operation, where)

    def take_nodes(self, case: Case, where: str) -> None:
        """Classify every node of a case alone."""
        for node, alone in node_cases(case, self.engine):
            self.take(alone, node.operation, where)

    def _smallest(self, case: Case, kind: str) -> Case:
        try:
            return shrink(case, lambda smaller: classify(smaller, self.engine)[0] == kind, budget=60)
        except CaseError:  # an inner value is not finite, though the output is
            return case

    def _describe(self, case: Case, kind: str, operation: str, where: str) -> Finding:
        _, leaf = classify(case, self.engine)
        make: Callable[..., str] | None = getattr(self.engine, "snippet", None)
        snippet = make(case.graph, case.values) if make else ""
        truth = true_answer(case)
        try:
            answer = call_engine(self.engine, case.graph, case.values, finite=False)
        except EngineError as error:
            return Finding(kind, operation, (where,), leaf, str(error), "", snippet)
        found, true = (a.gradients[leaf] if leaf else a.value for a in (answer, truth))
        return Finding(kind, operation, (where,), leaf, str(found.tolist()), str(true.tolist()), snippet)


def survey(engine: Engine, cases: int, seed: int) -> tuple[Survey, list[SuiteResult], Counter[str]]:
    """Run an engine through the conformance suite, special values and generated cases.

    As many batches are generated as it takes to verify ``cases`` that the engine has the operations for.
    """
    found = Survey(engine)
    counts: Counter[str] = Counter()
    outcome = conformance.check(engine)
    counts.update({"conformance met": len(outcome.met), "conformance broken": len(outcome.broken)})
    for operation, kind, case in special_cases(engine):
        counts["special values"] += 1
        found.take(case, operation, kind)

    results = []
    while sum(map(_verified, results)) < cases and len(results) < _MOST_BATCHES:
        start = seed + len(results) * -(-cases // len(FAMILIES))
        results.append(_generated(found, cases, start))
        if not results[-1].complete:
            break
    return found, results, counts


def _generated(found: Survey, cases: int, seed: int) -> SuiteResult:
    relieve = RELIEF.get(found.engine.name, lambda: None)
    seen = count()

    def take(report: Report, case: Case) -> None:
        if not report.ok or any(map(_differs, _others(report))):
            found.take_nodes(case, "generated")
        if next(seen) % _BETWEEN == 0:
            relieve()

    def skipped(case: Case, why: str) -> None:
        if why.startswith("Engine "):
            found.take_nodes(case, "generated")

    return run_suite(
        found.engine,
        cases=cases,
        seed=seed,
        families=FAMILIES,
        on_result=take,
        on_skip=skipped,
        folder=Path(mkdtemp()),
    )


def _verified(result: SuiteResult) -> int:
    return sum(row.passed + row.failed + row.inconclusive + row.errors for row in result.families)


def _others(report: Report) -> Iterator[Any]:
    for parameter in report.parameters.values():
        for witness, comparison in parameter.comparisons.items():
            if witness != "finite differences":
                yield comparison


def _differs(comparison: Any) -> bool:
    size = max(abs(comparison.claimed), abs(comparison.expected))
    return bool(comparison.abs_error > _EXACT * size)


def main() -> None:
    """Survey the engines named, print what was found, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", nargs="*", default=list(LIBRARIES))
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    everything = []
    for library in given.library:
        engine = importlib.import_module(f"gradcheck.engines.{library}").engine
        start = time.perf_counter()
        found, results, counts = survey(engine, given.cases, given.seed)
        record = _record(library, found, results, counts, time.perf_counter() - start)
        everything.append(record)
        _show(record)
        if given.json:
            given.json.write_text(json.dumps(everything, indent=1))


def _record(
    library: str, found: Survey, results: list[SuiteResult], counts: Counter[str], seconds: float
) -> dict[str, Any]:
    return {
        "library": library,
        "version": version(library),
        "seconds": seconds,
        "counts": dict(counts),
        "verified": sum(map(_verified, results)),
        "families": _added(results, "families", "family"),
        "operations": _added(results, "operations", "operation"),
        "findings": [asdict(finding) for finding in found.findings.values()],
    }


def _added(results: list[SuiteResult], table: str, name: str) -> list[dict[str, Any]]:
    """Return the rows of several runs added up."""
    totals: dict[str, Counter[str]] = {}
    for result in results:
        for row in map(asdict, getattr(result, table)):
            numbers = {key: value for key, value in row.items() if isinstance(value, int)}
            totals.setdefault(row[name], Counter()).update(numbers)
    return [{name: key, **numbers} for key, numbers in sorted(totals.items())]


def _show(record: dict[str, Any]) -> None:
    counts = {**record["counts"], "generated and verified": record["verified"]}
    print(f"\n== {record['library']} {record['version']}: {counts}, {record['seconds']:.0f} s")
    for row in record["families"]:
        counted = {k: v for k, v in row.items() if k in ("cases", "passed", "failed", "skipped", "errors")}
        print(f"   {row['family']:8} {counted}")
    for finding in sorted(record["findings"], key=lambda f: (f["operation"], f["kind"])):
        where = ", ".join(finding["where"])
        print(f"-- {finding['operation']}: {finding['kind']}, {finding['count']} times ({where})")
        print(f"   claimed {finding['claimed'][:150]}  true {finding['true'][:150]}")


if __name__ == "__main__":
    main()
