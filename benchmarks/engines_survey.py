"""What other people's engines get wrong: each on generated cases and at special values.

    python -m benchmarks.engines_survey mygrad --cases 5000 --json found.json
    python -m benchmarks.engines_survey jax --families dag,kink --seed 5000 --minutes 30 --json share.json

Every finding is one operation, the smallest values that show it, a program in the engine's own words, and
what kind of finding it is. The truth is the reference backpropagation in extended precision, and finite
differences have the last word: at a kink any value between the one-sided derivatives is right.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import pickle
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

from benchmarks import engines_page
from benchmarks.special_values import special_cases
from cases import Case, CaseError, shrink, to_json
from gradcheck import verify_case
from gradcheck.engines import UnsupportedError, call_engine, conformance
from gradcheck.engines.base import Answer, Engine
from gradcheck.errors import EngineError
from gradcheck.report.records import Report, Verdict
from gradcheck.suite import SuiteResult, run_suite
from gradcheck.suite.blame import node_cases
from reference_impl import RULES, Graph, value_and_gradients

Array = npt.NDArray[Any]

LIBRARIES = ("autograd", "jax", "micrograd", "mygrad", "tinygrad")
FAMILIES = ("mlp", "dag", "block", "kink")

RAISES, NOT_FINITE, WRONG_VALUE = "raises", "not finite", "wrong value"
WRONG, CONVENTION, PRECISION = "wrong gradient", "convention at a kink", "precision loss"
UNRESOLVED = "differs, but finite differences cannot tell"

_MOST_BATCHES = 12
_BETWEEN = 200  # cases after which a library may let go of what it has compiled
_BETWEEN_COLLECTIONS = 200_000  # objects, by how many more are alive
_REMEMBERED = 500  # answers of an engine: more than are asked for about one case
_EXACT = 1e-10  # relative to the largest entry: what rounding alone explains
_LEAST = 1e-4  # entries so much smaller than |y| / |x| are beneath notice
_WRONG = 1e-5  # from here on a gradient is wrong rather than imprecise
_TINY = 1e-9  # absolute: an error so small is a precision loss, whatever share of a tiny number it is
_SHAKES, _SHAKEN = 3, 30.0  # roundings of the leaves tried, and how many of them are no loss
_MOST_OUTPUTS = 8


def _clear_jax() -> None:
    import jax

    jax.clear_caches()


def _compiling_jax() -> Engine:
    from gradcheck.engines.jax import compiled_engine

    return Remembering(compiled_engine)


# What a library reads when it is imported. tinygrad spends its time on compiling loops that are run once, so
# it is kept from optimising them (NOOPT), from checking its own intermediate steps (SPEC), from keeping what
# is never asked for again (TRACEMETA, CCACHE) and from sharing the work with other processes (PARALLEL). Its
# device PYTHON, which interprets what was compiled, needs no compiler.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "tinygrad": {
        "DEV": "PYTHON",
        "NOOPT": "1",
        "SPEC": "0",
        "TRACEMETA": "0",
        "CCACHE": "0",
        "PARALLEL": "0",
    }
}
RELIEF: Mapping[str, Callable[[], None]] = {"JAX": _clear_jax}
# Every generated graph is another one: what has been compiled for single operations is seldom used again.
FOR_GENERATED: Mapping[str, Callable[[], Engine]] = {"JAX": _compiling_jax}


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
    case: str
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
    blur = _blur(case, truth)
    error = _error(answer.value, truth.value, 0.0, blur.value)
    if error > _EXACT:
        tiny = float(np.abs(answer.value - truth.value).max()) < _TINY
        return (PRECISION if tiny or error <= _WRONG else WRONG_VALUE), ""
    least = _LEAST * _natural_size(case, truth.value)
    errors = {
        name: _error(answer.gradients[name], g, least, blur.gradients[name])
        for name, g in truth.gradients.items()
    }
    leaf = max(errors, key=lambda name: errors[name], default="")
    if not errors or errors[leaf] <= _EXACT:
        return "", ""
    if not np.isfinite(answer.gradients[leaf]).all():
        return NOT_FINITE, leaf
    return _of_error(case, engine, errors[leaf], answer.gradients[leaf] - truth.gradients[leaf]), leaf


def _of_error(case: Case, engine: Engine, error: float, difference: Array) -> str:
    """Tell a wrong gradient from a lost digit and from another choice at a kink."""
    kink = any(RULES[node.operation].kink for node in case.graph.nodes)
    if error <= _WRONG or (not kink and float(np.abs(difference).max()) < _TINY):
        return PRECISION
    if any(verify_case(single, engine).verdict is Verdict.FAIL for single in _single_outputs(case, engine)):
        return WRONG
    return CONVENTION if kink else UNRESOLVED


def _single_outputs(case: Case, engine: Engine) -> Iterator[Case]:
    """Yield the case for single entries of the output, where its claim differs from the reference.

    At a kink the sum of several outputs, some with a minus sign, may leave the one-sided derivatives although
    each output's gradient is a subgradient. So one output is asked for at a time.
    """
    graph = case.graph
    last = graph.nodes[-1]
    if last.operation != "sum" or last.attributes or len(graph.nodes) < 2:
        yield case
        return
    cotangent = next((name for name in graph.leaves if name.startswith("cotangent")), None)
    if cotangent is None or cotangent not in graph.nodes[-2].inputs:
        yield case
        return
    found = 0
    for i in range(case.values[cotangent].size):
        values = dict(case.values)
        values[cotangent] = np.zeros_like(values[cotangent])
        values[cotangent].flat[i] = 1
        single = replace(case, values=values)
        claimed = call_engine(engine, graph, values, finite=False).gradients
        true = true_answer(single).gradients
        if any(_error(claimed[name], true[name], 0.0) > _WRONG for name in true):
            found += 1
            yield single
        if found == _MOST_OUTPUTS:
            return


def _blur(case: Case, truth: Answer) -> Answer:
    """Return how much each number changes when the leaves are rounded: no library can do much better."""
    value = np.zeros(truth.value.shape)
    gradients = {name: np.zeros(g.shape) for name, g in truth.gradients.items()}
    for seed in range(_SHAKES):
        random = np.random.default_rng(seed)
        shaken = {
            name: v * (1 + np.finfo(v.dtype).eps * random.uniform(-1, 1, v.shape)).astype(v.dtype)
            for name, v in case.values.items()
        }
        moved = true_answer(replace(case, values=shaken))
        with np.errstate(all="ignore"):
            value = np.fmax(value, np.abs(moved.value - truth.value))
            for name, g in truth.gradients.items():
                gradients[name] = np.fmax(gradients[name], np.abs(moved.gradients[name] - g))
    return Answer(value, gradients)


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


def _error(found: Array, true: Array, least: float, blur: Array | None = None) -> float:
    """Return the largest error, relative to the largest true entry; infinite where one is not a number.

    No error is what rounding the leaves explains many times over, ``blur``: away from kinks, where it is
    small.
    """
    if not true.size or np.array_equal(found, true):
        return 0.0
    with np.errstate(all="ignore"):
        size = max(float(np.abs(true).max()), least)
        difference = np.abs(found - true)
        if blur is not None:
            difference = np.where((difference <= _SHAKEN * blur) & (blur <= _WRONG * size), 0, difference)
        error = float(difference.max() / size)
    return error if np.isfinite(error) else np.inf


class Remembering:
    """An engine that is not asked the same twice.

    What differs is looked at node by node, for blame and for its kind, and by output: two of five questions
    have been asked before.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._known: dict[bytes, tuple[Array, Mapping[str, Array]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def supports(self, operation: str) -> bool:
        return self._engine.supports(operation)

    def value_and_gradients(
        self, graph: Graph, values: Mapping[str, Array]
    ) -> tuple[Array, Mapping[str, Array]]:
        question = _question(graph, values)
        if question not in self._known:
            if len(self._known) == _REMEMBERED:
                self._known.clear()
            self._known[question] = self._engine.value_and_gradients(graph, values)
        return self._known[question]


def _question(graph: Graph, values: Mapping[str, Array]) -> bytes:
    nodes = [(node.name, node.operation, node.inputs, dict(node.attributes)) for node in graph.nodes]
    leaves = [(name, values[name]) for name in graph.leaves]
    return pickle.dumps((nodes, graph.output, leaves))


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
            return Finding(kind, operation, (where,), leaf, str(error), "", snippet, to_json(case))
        found, true = (a.gradients[leaf] if leaf else a.value for a in (answer, truth))
        return Finding(
            kind, operation, (where,), leaf, str(found.tolist()), str(true.tolist()), snippet, to_json(case)
        )


@dataclass(frozen=True)
class Work:
    """How much of an engine is to be surveyed: a share, where several processes divide the cases."""

    cases: int
    seed: int = 0
    families: tuple[str, ...] = FAMILIES
    special: bool = True
    deadline: float = math.inf


def survey(engine: Engine, work: Work) -> tuple[Survey, list[SuiteResult], Counter[str]]:
    """Run an engine through the conformance suite, special values and generated cases.

    As many batches are generated as it takes to verify as many cases that the engine has the operations for.
    """
    found = Survey(Remembering(engine))
    counts: Counter[str] = Counter()
    if work.special:
        outcome = conformance.check(engine)
        counts.update({"conformance met": len(outcome.met), "conformance broken": len(outcome.broken)})
        chosen = list(special_cases(engine))
        np.random.default_rng(work.seed).shuffle(chosen)  # where time runs out, no operation is left out
        for operation, kind, case in chosen:
            if time.perf_counter() > work.deadline:
                break
            counts["special values"] += 1
            found.take(case, operation, kind)

    results: list[SuiteResult] = []
    while sum(map(_verified, results)) < work.cases and len(results) < _MOST_BATCHES:
        start = work.seed + len(results) * -(-work.cases // len(work.families))
        results.append(_generated(found, work, start))
        if not results[-1].complete:
            break
    return found, results, counts


def _generated(found: Survey, work: Work, seed: int) -> SuiteResult:
    relieve = RELIEF.get(found.engine.name, lambda: None)
    seen = count(1)

    def take(report: Report, case: Case) -> None:
        if not report.ok or any(map(_differs, _others(report))):
            found.take_nodes(case, "generated")
        if next(seen) % _BETWEEN == 0:
            relieve()
        if time.perf_counter() > work.deadline:
            raise KeyboardInterrupt  # which ends a run in good order

    def skipped(case: Case, why: str) -> None:
        if why.startswith("Engine "):
            found.take_nodes(case, "generated")

    return run_suite(
        FOR_GENERATED.get(found.engine.name, lambda: found.engine)(),
        cases=work.cases,
        seed=seed,
        families=work.families,
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
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--no-special", action="store_true", help="generated cases only")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after these")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--render", type=Path, help="write the page from the JSON files named instead")
    given = parser.parse_args()
    if given.render:
        engines_page.write(given.render, map(Path, given.library))
        return
    warnings.simplefilter("ignore")
    everything = []
    for library in given.library:
        engine = _load(library)
        start = time.perf_counter()
        deadline = start + 60 * given.minutes
        families = tuple(given.families.split(","))
        found, results, counts = survey(
            engine, Work(given.cases, given.seed, families, not given.no_special, deadline)
        )
        record = _record(library, found, results, counts, time.perf_counter() - start)
        everything.append(record)
        _show(record)
        if given.json:
            given.json.write_text(json.dumps(everything, indent=1))


def _load(library: str) -> Engine:
    """Import a library's adapter, with the settings by which many small graphs take the least time.

    What is imported is never garbage: for libraries of many small objects, looking through it again and again
    costs a tenth of the time.
    """
    for name, value in SETTINGS.get(library, {}).items():
        os.environ.setdefault(name, value)
    engine: Engine = importlib.import_module(f"gradcheck.engines.{library}").engine
    gc.freeze()
    gc.set_threshold(_BETWEEN_COLLECTIONS, 50, 50)
    return engine


def _record(
    library: str, found: Survey, results: list[SuiteResult], counts: Counter[str], seconds: float
) -> dict[str, Any]:
    return {
        "library": library,
        "version": version(library),
        "seconds": seconds,
        "seed": results[0].seed if results else None,  # of each family's first case; the next has the next
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
