"""Explanation: whether the operation blamed, and the mistake named first, are the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from benchmarks.faults import NUMPY, QUICK, RULES, torch_faults
from benchmarks.pairs import Pair, exposed, mistakes
from benchmarks.record import Bar, Result, Table, share
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.report.records import Report, Verdict
from gradcheck.suite.examine import examine

Answers = list[tuple[str, str, bool | None]]  # class, what, whether right; None where it is not asked


def measure(quick: bool) -> Result:
    step = QUICK if quick else 1
    rows = torch_faults(quick)
    blamed: Answers = [(r.family, f"{r.fault}: not {r.guilty}", r.blamed) for r in rows]
    named: Answers = [
        (r.family, f"{r.fault}: not {' or '.join(r.diagnosis) or 'named'}", r.named) for r in rows
    ]
    blamed += _blamed_rules(step)
    named += [_named(pair, pair.verify()) for pair, _ in islice(mistakes(), 0, None, step)]
    return Result(
        tables=(
            _table("Operation blamed first", blamed, [*_families(rows), RULES]),
            _table("Mistake named first", named, [*_families(rows), NUMPY]),
        ),
        bars=(
            Bar("blame right, share of traceable faults", _share(blamed), 0.98, at_least=True),
            Bar("diagnosis right, share of faults that have one", _share(named), 0.95, at_least=True),
        ),
        exceptions=[f"{what} ({family})" for family, what, right in [*blamed, *named] if right is False],
    )


def _families(rows: Sequence[object]) -> list[str]:
    return list(dict.fromkeys(row.family for row in rows))  # type: ignore[attr-defined]


def _blamed_rules(step: int) -> Answers:
    found: Answers = []
    for fault, case in islice(exposed(), 0, None, step):
        outcome = examine(case, ReferenceEngine(fault.rules, "faulty"), {})
        failed = outcome.report is not None and outcome.report.verdict is Verdict.FAIL
        blames = outcome.report.blames if outcome.report is not None else ()
        right = [b.operation for b in blames][:1] == [fault.operation]
        found.append((RULES, f"{fault.name}: not {fault.operation}", right if failed else None))
    return found


def _named(pair: Pair, report: Report) -> tuple[str, str, bool | None]:
    """Whether the parameter that the mistake is in has the mistake's name first."""
    path = _path(pair.at)
    result = next((r for name, r in report.parameters.items() if _path(name) == path), None)
    kinds = [d.kind for d in result.diagnoses] if result is not None else []
    asked = report.verdict == "fail"
    called = ", ".join(kinds) or "nothing"
    return (
        NUMPY,
        f"{pair.name}: called {called}, not {pair.kind}",
        kinds[:1] == [pair.kind] if asked else None,
    )


def _path(name: str) -> str:
    return name.replace("params", "").replace('"', "").replace("'", "").strip("[].").replace("][", ".")


def _share(answers: Answers) -> float:
    asked = [right for _, _, right in answers if right is not None]
    return sum(asked) / max(len(asked), 1)


def _table(title: str, answers: Answers, families: Sequence[str]) -> Table:
    rows = []
    for family in [*families, "all"]:
        asked = [right for f, _, right in answers if right is not None and family in (f, "all")]
        rows.append([family, share(sum(asked), len(asked))])
    return Table(title, ("class", "right"), rows, "Of the faults that are caught and for which it is told.")
