"""How many mutants of the rules' backward passes ``gradcheck verify`` catches at its default settings.

    python -m benchmarks.mutation [--json FILE] [--only OPERATION]

Each mutant (``benchmarks.mutants``) is put under the cases of a default run that contain one of its
operations, the smallest first, until one fails. What a default run does not see is put under five times as
many. Mutants that raise on every case are no test of a checker, and are counted apart. The survivors are
held against ``benchmarks.equivalent``: a mutant called equivalent there has to give the right gradients on
fresh cases around its operations, too.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.equivalent import reason_of
from benchmarks.mutants import Mutant, mutants
from cases import Case
from cases.choices import SeededChoices
from cases.dags import focused
from cases.kinks import TOUCHING, kink_of
from cases.operations import complex_operation_of, operation_of
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.errors import EngineError
from gradcheck.report.records import Verdict
from gradcheck.suite.plan import CASES, tickets
from gradcheck.verification import verify_case
from reference_impl import RULES, value_and_gradients

MORE_CASES = 5 * CASES
CAUGHT, MORE = "by default", f"--cases {MORE_CASES}"
EQUAL, SURVIVES, CRASHES = "equivalent", "survives", "always raises"
OUTCOMES = (CAUGHT, MORE, EQUAL, SURVIVES, CRASHES)
_SMALLEST = 1e-3  # below it all gradients cancel, and what is left is the rounding of values near 1
_ROUNDING = 1e-12  # relative to the largest entry: what another order of adding up may change


@dataclass(frozen=True)
class Fate:
    """What became of a mutant: ``by`` names the case that caught it, or the reason why it is equivalent."""

    mutant: Mutant
    outcome: str
    by: str = ""


@dataclass(frozen=True)
class Example:
    """A case with its right gradients."""

    case: Case
    right: dict[str, Any]

    @classmethod
    def of(cls, case: Case) -> Example:
        with np.errstate(all="ignore"):
            return cls(case, value_and_gradients(case.graph, case.values)[1])


@cache
def _run(setting: str) -> tuple[Example, ...]:
    """Return the cases of a run, the smallest first."""
    planned = tickets(CASES, 0, None, True, complex_numbers=True)
    if setting == MORE:
        planned = tickets(MORE_CASES, 0, None, False, complex_numbers=True)[CASES:]
    drawn = [ticket.draw() for ticket in planned]
    return tuple(map(Example.of, sorted(drawn, key=lambda case: len(case.graph.nodes))))


@cache
def _with(operation: str, setting: str) -> frozenset[int]:
    found = enumerate(_run(setting))
    return frozenset(i for i, e in found if any(n.operation == operation for n in e.case.graph.nodes))


def fate(mutant: Mutant) -> Fate:
    """Put a mutant under the cases of a default run until it is caught, then under others."""
    for setting in (CAUGHT, MORE):
        by = caught_in(mutant, setting)
        if by:
            return Fate(mutant, CRASHES if by == CRASHES and not _computes(mutant) else setting, by)
    why = reason_of(mutant)
    against = contradiction(mutant)
    return Fate(mutant, EQUAL, why) if why and not against else Fate(mutant, SURVIVES, against)


def caught_in(mutant: Mutant, setting: str) -> str:
    """Return the name of the case that catches it, "" if none does, CRASHES if it raises on each."""
    raising, computing = "", False
    for i in sorted(frozenset[int]().union(*(_with(operation, setting) for operation in mutant.operations))):
        example = _run(setting)[i]
        changed = difference(mutant, example)
        raising = raising or (example.case.name if changed is None else "")
        computing = computing or changed is not None
        if changed is not None and changed > _ROUNDING and _fails(mutant, example.case):
            return example.case.name
    return raising if computing or not raising else CRASHES


def _computes(mutant: Mutant) -> bool:
    """Whether there is a small case on which it does not raise."""
    return any(difference(mutant, Example.of(case)) is not None for case in _fresh(mutant, 8))


def difference(mutant: Mutant, example: Example) -> float | None:
    """Return how far the gradients are off, relative to the largest entry; None if the mutant raises."""
    case, right = example.case, example.right
    try:
        with np.errstate(all="ignore"):
            _, wrong = value_and_gradients(case.graph, case.values, rules=mutant.rules)
        # of one leaf all entries may cancel to zero: what counts is the largest of all gradients
        largest = max((float(np.abs(g).max()) for g in right.values() if g.size), default=0.0)
        return max((_apart(wrong[name], right[name], largest) for name in right), default=0.0)
    except Exception:  # whatever a mutant raises, it is noticed
        return None


def _apart(wrong: Any, right: Any, largest: float) -> float:
    if wrong.shape != right.shape:
        return np.inf
    if not wrong.size or np.array_equal(wrong, right, equal_nan=True):
        return 0.0
    apart = float(np.abs(wrong - right).max()) / max(largest, _SMALLEST)
    return apart if np.isfinite(apart) else np.inf


def _fails(mutant: Mutant, case: Case) -> bool:
    try:
        with np.errstate(all="ignore"):
            return verify_case(case, ReferenceEngine(mutant.rules, "mutant")).verdict is Verdict.FAIL
    except EngineError:
        return True


def contradiction(mutant: Mutant, cases: int = 40) -> str:
    """Return the name of a fresh case on which a mutant is wrong, "" where there is none.

    Right are the rules' own gradients; at a kink also whatever else passes there.
    """
    for case in _fresh(mutant, cases):
        apart = difference(mutant, Example.of(case))
        if (apart is None or apart > _ROUNDING) and not (case.family == "kink" and not _fails(mutant, case)):
            return case.name
    return ""


def _fresh(mutant: Mutant, cases: int) -> Iterator[Case]:
    """Yield small cases around the mutant's operations, and at their kinks, that no default run contains."""
    for operation in mutant.operations[:6]:
        for seed in range(cases):
            yield focused(operation, SeededChoices(f"equivalent to {operation}", seed))
        for seed in range(cases // 4):
            yield operation_of(operation, SeededChoices(f"equivalent to {operation}", seed))
        for seed in range(cases // 4 if RULES[operation].analytic else 0):
            yield complex_operation_of(operation, SeededChoices(f"equivalent to {operation}", seed))
        for seed in range(cases if operation in TOUCHING else 0):
            yield kink_of(operation, SeededChoices(f"equivalent to {operation}", seed))


def measure(chosen: Iterable[Mutant]) -> list[Fate]:
    return [fate(mutant) for mutant in chosen]


def summary(fates: list[Fate]) -> dict[str, Any]:
    """Return the counts, by kind of change and altogether, and every survivor."""
    counts = Counter(f.outcome for f in fates)
    kinds = {}
    for kind in sorted({f.mutant.kind for f in fates}):
        of_kind = Counter(f.outcome for f in fates if f.mutant.kind == kind)
        kinds[kind] = {name: of_kind[name] for name in OUTCOMES}
    return {
        "mutants": len(fates),
        "functions": len({f.mutant.function for f in fates}),
        "outcomes": {name: counts[name] for name in OUTCOMES},
        "kinds": kinds,
        "default": _share(counts, (CAUGHT,), (CAUGHT, MORE, SURVIVES)),
        "all": _share(counts, (CAUGHT, MORE), (CAUGHT, MORE, SURVIVES)),
        **{name: _listed(fates, name) for name in (MORE, SURVIVES)},
        "reasons": dict(Counter(f.by for f in fates if f.outcome == EQUAL)),
    }


def _share(counts: Counter[str], part: tuple[str, ...], whole: tuple[str, ...]) -> float:
    return sum(counts[name] for name in part) / max(sum(counts[name] for name in whole), 1)


def _listed(fates: list[Fate], outcome: str) -> list[str]:
    return [f"{f.mutant.name} ({f.by})" if f.by else f.mutant.name for f in fates if f.outcome == outcome]


def table(found: dict[str, Any]) -> Table:
    shown = Table("change", *OUTCOMES, title="Mutants of the rules", title_justify="left")
    for kind, counts in found["kinds"].items():
        shown.add_row(kind, *(str(n) for n in counts.values()))
    shown.add_section()
    shown.add_row("all", *(str(n) for n in found["outcomes"].values()))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the mutants of the rules that are caught.")
    parser.add_argument("--json", type=Path, help="also write the counts to this file")
    parser.add_argument("--only", help="an operation")
    options = parser.parse_args()
    chosen = list(mutants(frozenset([options.only] if options.only else RULES)))
    console = Console()
    shown = track(chosen, "mutating", console=Console(stderr=True), disable=not console.is_terminal)
    found = summary(measure(shown))
    console.print(table(found))
    for name in (MORE, SURVIVES):
        for survivor in found[name]:
            console.print(f"{name}: {survivor}", highlight=False)
    console.print(f"caught by default, of all that are not equivalent: {found['default']:.2%}")
    console.print(f"caught by default or by {MORE}: {found['all']:.2%}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
