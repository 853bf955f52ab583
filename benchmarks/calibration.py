"""Whether the error bars of the numerical derivatives hold: true errors against stated uncertainties.

    python -m benchmarks.calibration [--json FILE] [--quick] [--violations]

The truth is known otherwise: from the reference backpropagation in extended precision for generated cases
evaluated in float64, from mpmath for a table of functions (``benchmarks.calibration_functions``). Each
derivative is estimated three times: without a claimed value, with the right one, and with one that is off by
1e-6 of it, since the claimed value decides how far the ladder of steps is climbed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import reference_impl
from benchmarks.calibration_functions import FUNCTIONS, Function
from cases import ALL_FAMILIES, Case, generate
from gradcheck.examination import Examination
from gradcheck.locate import entry_direction
from gradcheck.numerical import directions
from gradcheck.probes import Probe, Pulled
from gradcheck.subjects.engine import widened

Array = Any
BLIND, RIGHT, OFF = "blind", "right", "off"
MODES = (BLIND, RIGHT, OFF)
_OFF = 1 + 1e-6
WITHIN = 0.999
RESOLUTION = 1e-11
MISSED = 1e-3


@dataclass(frozen=True)
class Trial:
    """One estimate beside the truth. ``excess`` is the error in units of the bar."""

    group: str
    name: str
    mode: str
    truth: float
    value: float
    error: float
    uncertainty: float
    size: float
    resolved: bool
    kink: bool
    message: str = ""

    @property
    def excess(self) -> float:
        if not self.resolved or self.error == 0:
            return 0.0
        return self.error / self.uncertainty if self.uncertainty > 0 else float("inf")

    @property
    def within(self) -> bool:
        return self.excess <= 1


class Known:
    """A Subject whose true gradient of <u, outputs> is known: ``truth`` holds it in extended precision."""

    precision = epsilon = float(np.finfo(np.float64).eps)
    fixed_cotangent = False
    name = "known"

    def __init__(self, variables: Mapping[str, Array], truth: Mapping[str, Array]) -> None:
        self.variables, self.truth = dict(variables), dict(truth)

    def pull_back(self, cotangents: Any) -> dict[str, Array | None]:
        u = np.asarray(cotangents[0]) if cotangents else 1.0
        return {
            name: np.asarray(self.product(g, u)).astype(self.variables[name].dtype)
            for name, g in self.truth.items()
        }

    def product(self, gradient: Array, cotangent: Any) -> Array:
        return gradient * cotangent


class GraphKnown(Known):
    """A generated case, its forward pass in float64; the cotangent is ones."""

    fixed_cotangent = True

    def __init__(self, case: Case, dtype: Any = np.float64) -> None:
        self.graph = case.graph
        variables = {
            name: np.asarray(value, dtype=np.complex128 if value.dtype.kind == "c" else dtype)
            for name, value in case.values.items()
        }
        self.epsilon = float(np.finfo(dtype).eps)
        wide = {name: widened(value) for name, value in variables.items()}
        with np.errstate(all="ignore"):
            _, gradients = reference_impl.value_and_gradients(self.graph, wide)
        super().__init__(variables, gradients)

    def product(self, gradient: Array, cotangent: Any) -> Array:
        return gradient

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(reference_impl.value(self.graph, {**self.variables, **values}))]


class FunctionKnown(Known):
    """A function of the table, applied to an array of points entry by entry."""

    def __init__(self, function: Function, x: Array) -> None:
        self.function = function
        self.slopes = [function.derivative(float(v)) for v in x]
        super().__init__(
            {"x": x}, {"x": np.asarray([np.longdouble(mpmath.nstr(s, 30)) for s in self.slopes])}
        )

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            return [self.function.forward(values.get("x", self.variables["x"]))]


def trials(
    group: str, name: str, subject: Known, exam: Examination, direction: Mapping[str, Array]
) -> Iterator[Trial]:
    """Estimate the derivative along one direction in every mode."""
    pulled = exam.pull()
    truth = _truth(subject, pulled, direction)
    for mode in MODES:
        scaled = {k: g * (_OFF if mode == OFF else 1) for k, g in pulled.gradients.items()}
        probe = exam.along(replace(pulled, gradients=scaled), direction, blind=mode == BLIND)
        yield _trial(group, name, mode, truth, probe)


def _truth(subject: Known, pulled: Pulled, direction: Mapping[str, Array]) -> Any:
    """Return Re <gradient, direction>, the gradient being PyTorch's where it is complex."""
    u = np.asarray(pulled.cotangents[0]).astype(np.longdouble)
    terms = [
        np.sum(np.real(np.conj(subject.product(subject.truth[name], u)) * widened(np.asarray(v))))
        for name, v in direction.items()
    ]
    return sum(terms, np.longdouble(0))


def _trial(group: str, name: str, mode: str, truth: Any, probe: Probe) -> Trial:
    estimate = probe.estimate
    low, high = np.longdouble(estimate.lower), np.longdouble(estimate.upper)
    error = float(max(low - truth, truth - high, 0)) if estimate.resolved else float("nan")
    size = probe.size or abs(float(truth))
    return Trial(
        group,
        name,
        mode,
        float(truth),
        estimate.value,
        error,
        estimate.uncertainty,
        size,
        estimate.resolved,
        estimate.kink,
        estimate.message,
    )


def of_cases(families: Sequence[str], count: int, seed: int = 0, dtype: Any = np.float64) -> list[Trial]:
    """Estimate along random directions over all leaves of generated cases."""
    found = []
    for family, case in _cases(families, count, seed):
        subject = GraphKnown(case, dtype)
        exam = Examination(subject, case.seed or 0)
        direction = directions.direction(exam.variables, list(exam.variables), exam.generator)
        found += trials(family, case.name, subject, exam, direction)
    return found


def of_entries(families: Sequence[str], count: int, each: int = 4, seed: int = 0) -> list[Trial]:
    """Estimate a few single entries of each generated case."""
    found = []
    for family, case in _cases(families, count, seed):
        subject = GraphKnown(case)
        exam = Examination(subject, case.seed or 0)
        pulled = exam.pull()
        places = [(name, i) for name, value in exam.values.items() for i in range(value.size)]
        for k in exam.generator.choice(len(places), size=min(each, len(places)), replace=False):
            name, i = places[k]
            value = exam.values[name]
            scale = float(np.broadcast_to(directions.scale(value), value.shape).reshape(-1)[i])
            for mode in MODES:
                scaled = {key: g * (_OFF if mode == OFF else 1) for key, g in pulled.gradients.items()}
                direction = entry_direction(exam, name, i, scale)
                probe = exam.along(replace(pulled, gradients=scaled), direction, blind=mode == BLIND)
                truth = _truth(subject, pulled, direction)
                found.append(_trial(f"{family}, entries", f"{case.name} {name}[{i}]", mode, truth, probe))
    return found


def _cases(families: Sequence[str], count: int, seed: int) -> Iterator[tuple[str, Case]]:
    for family in families:
        for k in range(count):
            case = generate(family, seed + k)
            with np.errstate(all="ignore"):
                value = reference_impl.value(case.graph, case.values)
            if any(v.size for v in case.values.values()) and np.isfinite(value).all():
                yield family, case


def of_functions(count: int, seed: int = 0, functions: Iterable[Function] = FUNCTIONS) -> list[Trial]:
    """Estimate derivatives of the table's functions: one point at a time, and several as one array."""
    found = []
    for number, function in enumerate(functions):
        generator = np.random.default_rng([seed, number])
        points = function.points(generator, count)
        groups = [points[k : k + 1] for k in range(count)] + [points[k : k + 5] for k in range(0, count, 5)]
        for k, x in enumerate(groups):
            subject = FunctionKnown(function, x)
            exam = Examination(subject, k)
            direction = directions.direction(exam.variables, ["x"], exam.generator)
            name = f"{function.name} at {x[0]!r}" + (" and others" if x.size > 1 else "")
            found += trials(f"functions: {function.kind}", name, subject, exam, direction)
    return found


def share_rows(found: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return a row for each group: the share of resolved estimates whose error is within the bar."""
    rows = []
    for group in dict.fromkeys(trial.group for trial in found):
        rows.append(_share_row(group, [trial for trial in found if trial.group == group]))
    return [*rows, _share_row("all estimates", found)]


def _share_row(what: str, found: Sequence[Trial]) -> dict[str, Any]:
    resolved = [trial for trial in found if trial.resolved]
    within = sum(trial.within for trial in resolved)
    share = within / len(resolved) if resolved else 1.0
    worst = max((trial.excess for trial in resolved), default=0.0)
    return {
        "what": f"errors within the bar: {what}",
        "measured": share,
        "bar": WITHIN,
        "met": share >= WITHIN,
        "detail": {
            "estimates": len(found),
            "unresolved": len(found) - len(resolved),
            "violations": len(resolved) - within,
            "worst error in bars": worst,
            "median relative bar": statistics.median(
                [t.uncertainty / t.size for t in resolved if t.size > 0] or [0.0]
            ),
        },
    }


def violations(found: Iterable[Trial]) -> list[Trial]:
    """Return the estimates whose error is beyond the bar, the worst first."""
    return sorted((trial for trial in found if not trial.within), key=lambda trial: -trial.excess)


def resolution_row(found: Sequence[Trial]) -> dict[str, Any]:
    """Return the median relative uncertainty over cases, with the right claimed value."""
    bars = [t.uncertainty / t.size for t in found if t.mode == RIGHT and t.resolved and t.size > 0]
    median = statistics.median(bars)
    return {
        "what": "median relative uncertainty, generated cases in float64",
        "measured": median,
        "bar": RESOLUTION,
        "met": median <= RESOLUTION,
        "detail": {"cases": len(bars)},
    }


def power_row(planted: int, seed: int = 0) -> dict[str, Any]:
    """Plant errors of the size that a probe promises to see with 99.9%; count those it misses.

    The errors point anywhere, whatever the probe's direction is. Counts vary by chance: met unless the
    misses are significantly too many.
    """
    missed = tried = 0
    cases = [generate(family, k) for k in range(8) for family in ("mlp", "dag", "block")]
    generator = np.random.default_rng(seed)
    for case in cases:
        exam = Examination(GraphKnown(case), seed)
        pulled = exam.pull()
        for _ in range(planted // len(cases)):
            direction = exam.direction(pulled, list(exam.variables))
            probe = exam.along(pulled, direction)
            promise = _promise(probe)
            if promise is not None:
                error = _error(exam, pulled, promise, generator)
                off = {name: g + error[name] for name, g in pulled.gradients.items()}
                tried += 1
                missed += not exam.along(replace(pulled, gradients=off), direction).suspect
    share = missed / tried
    allowed = _allowed(MISSED * tried)
    return {
        "what": "errors missed, of the size promised to be seen with 99.9%",
        "measured": share,
        "bar": MISSED,
        "met": missed <= allowed,
        "detail": {"planted": tried, "missed": missed, "allowed by chance": allowed},
    }


def _allowed(expected: float) -> int:
    """Return the largest count that a Poisson variable of this mean exceeds with probability 1e-3 or more."""
    count, term = 0, math.exp(-expected)
    beyond = 1 - term
    while beyond >= 1e-3:
        count += 1
        term *= expected / count
        beyond -= term
    return count


def _promise(probe: Probe) -> float | None:
    if probe.suspect or probe.estimate.kink:
        return None
    return directions.detectable(probe.uncertainty, probe.size, 1)


def _error(
    exam: Examination, pulled: Pulled, promise: float, generator: np.random.Generator
) -> dict[str, Array]:
    """Return an error whose norm, weighted by the directions' scale, is that share of the gradient's."""
    scales = {name: directions.scale(value) for name, value in exam.values.items()}
    error = {
        name: generator.standard_normal(value.shape) / scales[name] for name, value in exam.values.items()
    }
    norm = _norm(error, scales)
    size = _norm(pulled.gradients, scales)
    return {name: e * (promise * size / norm) for name, e in error.items()}


def _norm(gradients: Mapping[str, Array], scales: Mapping[str, Any]) -> float:
    parts = [float(np.linalg.norm(np.asarray(g * scales[name]).reshape(-1))) for name, g in gradients.items()]
    return float(np.hypot.reduce(parts))


def measure(quick: bool = False) -> tuple[list[dict[str, Any]], list[Trial]]:
    """Return the rows, and every estimate beyond its bar."""
    cases, points = (40, 10) if quick else (500, 100)
    generated = of_cases(tuple(ALL_FAMILIES), cases)
    found = [*generated, *of_entries(tuple(ALL_FAMILIES), cases // 2), *of_functions(points)]
    smooth = [trial for trial in generated if trial.group != "kink"]
    rows = [*share_rows(found), resolution_row(smooth), power_row(2400 if quick else 24000)]
    return rows, violations(found)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Return what was measured, each beside its bar."""
    return measure(quick)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Hold the error bars of numerical derivatives against the truth."
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sample")
    parser.add_argument("--violations", action="store_true", help="print every estimate beyond its bar")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found, beyond = measure(options.quick)
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "measured", "bar", "met", "detail")
    for entry in found:
        detail = ", ".join(f"{key} {value:.3g}" for key, value in entry["detail"].items())
        met = "yes" if entry["met"] else "NO"
        table.add_row(entry["what"], f"{entry['measured']:.6g}", f"{entry['bar']:g}", met, detail)
    console = Console()
    console.print(table)
    if options.violations:
        for trial in beyond:
            console.print(
                f"{trial.excess:.3g} bars: {trial.group}: {trial.name}, {trial.mode}: "
                f"true {trial.truth:.17g}, "
                f"estimate {trial.value:.17g} +- {trial.uncertainty:.2g} {trial.message}",
                highlight=False,
                soft_wrap=True,
            )
    if options.json:
        record = {"rows": found, "violations": [asdict(trial) for trial in beyond]}
        options.json.write_text(json.dumps(record, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
