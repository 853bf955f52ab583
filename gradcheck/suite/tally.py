"""Outcomes into tables, one at a time."""

from __future__ import annotations

import statistics
from dataclasses import replace

from gradcheck.report.records import Verdict
from gradcheck.suite.records import FamilyRow, OperationRow, Outcome

_COLUMN = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "inconclusive"}


class Tally:
    """Counts by family and by operation, and the resolution reached."""

    def __init__(self) -> None:
        self._families: dict[str, FamilyRow] = {}
        self._operations: dict[str, OperationRow] = {}
        self._resolutions: dict[str, list[float]] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one case."""
        family = outcome.case.family
        row = self._families.get(family, FamilyRow(family))
        column = self._column(outcome)
        changed = {"cases": row.cases + 1, column: getattr(row, column) + 1}
        if outcome.unsupported and not outcome.skipped:
            changed["partial"] = row.partial + 1
        self._families[family] = replace(row, **changed, seconds=row.seconds + outcome.seconds)
        if outcome.resolution is not None:
            self._resolutions.setdefault(family, []).append(outcome.resolution)
        self._count_operations(outcome)

    def families(self) -> tuple[FamilyRow, ...]:
        """Return one row for each family, in the order in which they came."""
        return tuple(
            replace(row, resolution=_median(self._resolutions.get(name, [])))
            for name, row in self._families.items()
        )

    def operations(self) -> tuple[OperationRow, ...]:
        """Return one row for each operation, in order of the alphabet."""
        return tuple(self._operations[name] for name in sorted(self._operations))

    def resolution(self) -> float | None:
        """Return the median over all cases."""
        return _median([value for values in self._resolutions.values() for value in values])

    def _column(self, outcome: Outcome) -> str:
        if outcome.skipped:
            return "skipped"
        return "errors" if outcome.report is None else _COLUMN[outcome.report.verdict]

    def _count_operations(self, outcome: Outcome) -> None:
        for operation in outcome.unsupported:
            self._bump(operation, "unsupported")
        if outcome.skipped:
            return
        for operation in outcome.operations:
            self._bump(operation, "run")
        for operation, column in _judged(outcome).items():
            self._bump(operation, column)

    def _bump(self, operation: str, column: str) -> None:
        row = self._operations.get(operation, OperationRow(operation))
        self._operations[operation] = replace(row, **{column: getattr(row, column) + 1})


def _judged(outcome: Outcome) -> dict[str, str]:
    """Return for each operation whose part in a case is known whether it agreed or disagreed."""
    report = outcome.report
    if report is None or report.verdict is Verdict.INCONCLUSIVE:
        return {}
    if report.verdict is Verdict.PASS:
        return dict.fromkeys(outcome.operations, "agreed")
    wrong = {call.operation for call in report.trace if call.verdict is Verdict.FAIL}
    unknown = {call.operation for call in report.trace if call.verdict not in (Verdict.PASS, Verdict.FAIL)}
    right = {call.operation for call in report.trace} - wrong - unknown
    return {**dict.fromkeys(right, "agreed"), **dict.fromkeys(wrong, "disagreed")}


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
