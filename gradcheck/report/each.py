"""The table of a folder of submissions: a row for each, also for those that could not be verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.report.records import Report, Verdict
from gradcheck.report.run import Failure, Run
from gradcheck.report.sentences import WORDS, finding
from gradcheck.report.words import cut, digits, duration, listed, plain

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"pass": "green", "FAIL": "bold red", "error": "bold red", "inconclusive": "yellow"}
_LONGEST_NAME = 32


@dataclass(frozen=True)
class Row:
    """A submission's row, as it is shown."""

    name: str
    verdict: str
    digits: str
    time: str
    found: str


def rows(run: Run) -> list[Row]:
    """Return the rows of a run, sorted by name."""
    found = [_of_report(report) for report in run.reports] + [_of_failure(f) for f in run.failures]
    return sorted(found, key=lambda row: row.name)


def submission_table(run: Run) -> Table:
    """Return rich's table of the submissions; what was found takes what is left of the width."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for title in ("submission", "verdict", "digits", "time"):
        right = title in ("digits", "time")
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    table.add_column("found", overflow="fold")
    for row in rows(run):
        cells = (cut(plain(row.name), _LONGEST_NAME), row.verdict, row.digits, row.time, row.found)
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    return table


def _of_report(report: Report) -> Row:
    from gradcheck.report.summary import worst_digits

    wrong = [r for r in report.parameters.values() if r.verdict is Verdict.FAIL]
    kinds = dict.fromkeys(r.diagnoses[0].kind for r in wrong if r.diagnoses)
    told = finding(report) + (f": {listed(list(kinds))}" if kinds else "")
    return Row(
        report.name,
        WORDS[report.verdict],
        digits(worst_digits(report)),
        duration(report.cost.seconds),
        told,
    )


def _of_failure(failure: Failure) -> Row:
    # Taken off first: a file's name may hold a line break.
    told = failure.message.removeprefix(failure.target).removeprefix(":").partition("\n")[0]
    return Row(failure.target, "error", "-", "-", plain(told))
