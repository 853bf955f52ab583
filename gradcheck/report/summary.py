"""The end of a run: a table of the targets or of the families of generated cases, and one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING

from gradcheck.report import baseline
from gradcheck.report.each import submission_table
from gradcheck.report.records import Report, Verdict
from gradcheck.report.run import Group, Operation, Run
from gradcheck.report.sentences import WORDS
from gradcheck.report.text import say
from gradcheck.report.words import counted, cut, digits, duration, plain, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES = {"pass": "green", "FAIL": "bold red", "error": "bold red", "inconclusive": "yellow"}
_NUMERICAL = "finite differences"
_LEAST_NAME = 24
_FAMILY_TITLES = (
    *("family", "cases", "pass", "FAIL", "inconclusive", "skipped"),
    *("parameters", "digits", "resolution", "time"),
)


def worst_digits(report: Report) -> float | None:
    """Return the least number of agreeing digits over the parameters, waived ones left out."""
    known = [r.digits for r in report.parameters.values() if r.digits is not None and r.waived is None]
    return min(known, default=None)


def resolution(reports: Iterable[Report]) -> float | None:
    """Return the median uncertainty of finite differences, relative to the gradients that they found."""
    compared = [r.comparisons.get(_NUMERICAL) for report in reports for r in report.parameters.values()]
    found = [c.uncertainty / abs(c.expected) for c in compared if c is not None and abs(c.expected) > 0]
    finite = [relative for relative in found if isfinite(relative)]
    return median(finite) if finite else None


def conclusion(run: Run) -> str:
    """Return the sentence that says how the run ended."""
    reports, failures = run.reports, [failure for failure in run.failures if failure.noun != "grader"]
    nouns = {group.noun for group in run.groups if group.reports} or {"target"}
    what = "submission" if run.each is not None else nouns.pop() if len(nouns) == 1 else "subject"
    standing = [run.standing(report) for report in reports]
    counts = {verdict: standing.count(verdict) for verdict in Verdict}
    of = counted(len(reports) + (len(failures) if run.each is not None else 0), what)
    parts = []
    if counts[Verdict.FAIL]:
        parts.append(f"{counts[Verdict.FAIL]} of {of} with a wrong gradient")
    if counts[Verdict.INCONCLUSIVE]:
        parts.append(f"{counts[Verdict.INCONCLUSIVE]} of {of} not resolved")
    parts += _not_verified(run, of)
    if run.failures and len(parts) == 1 and reports:
        parts.append(f"{len(reports):,} right")
    ends = [] if run.complete else ["stopped before the end"]
    if not parts and not reports:
        return ", ".join(["nothing was verified", *ends])
    known = len(run.against.known) if run.against else 0
    right = f"{of}, no discrepancy but {known} known" if known else f"{of}, every gradient right"
    said = ", ".join(parts) or right
    if not run.complete and not parts:
        return f"stopped before the end: {right} so far"
    return ", ".join([f"{_final(run)}: {said}", *ends])


def _not_verified(run: Run, of: str) -> Iterator[str]:
    """Yield how many things could not be verified, by what they are."""
    counts: dict[str, int] = {}
    for failure in run.failures:
        counts[failure.noun] = counts.get(failure.noun, 0) + failure.count
    for noun, count in counts.items():
        if noun == "grader":
            yield f"the grader cannot be used, {counted(count, 'submission')} not verified"
        else:
            yield (f"{count} of {of}" if run.each is not None else counted(count, noun)) + " not verified"


def _final(run: Run) -> str:
    """Return the word that counts what could not be verified; that of a submission is its own fault."""
    if not run.failures or run.verdict is Verdict.FAIL:
        return WORDS[run.verdict]
    grader = any(failure.noun == "grader" for failure in run.failures)
    return "FAIL" if run.each is not None and not grader else "error"


def show_summary(run: Run, console: Console, *, verbose: bool = False) -> None:
    """Print the tables and the conclusion of a run; ``verbose`` also lists operations without a problem."""
    families = [group for group in run.groups if group.generated]
    if families:
        console.print(_families(families))
    operations = [o for o in run.operations if verbose or o.disagreed or o.unsupported]
    if operations:
        console.print(_operations(operations))
    reports = [report for group in run.groups if not group.generated for report in group.reports]
    if run.each is not None and len(reports) + len(run.failures) > 1:
        console.print(submission_table(run))
    elif len(reports) > 1:
        console.print(_targets(reports, console.width))
    for sentence in baseline.sentences(run.against) if run.against else ():
        say(console, plain(sentence), "" if sentence.startswith(("new", "changed")) else "dim")
    style = _STYLES[_final(run)]
    say(console, f"{conclusion(run)} ({_pace(run)})", style)


def _pace(run: Run) -> str:
    count = len(run.reports)
    cases = sum(len(group.reports) for group in run.groups if group.generated)
    pace = [f"{cases / run.seconds:.1f} cases per second"] if cases and run.seconds > 0 else []
    return ", ".join([duration(run.seconds), *pace, f"seed {run.seed}"]) if count else duration(run.seconds)


def _families(groups: Sequence[Group]) -> Table:
    counts = [_verdicts(group) for group in groups]
    rows = [
        [
            plain(group.name),
            f"{len(group.reports):,}",
            *(f"{found[verdict]:,}" for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)),
            f"{group.skipped:,}",
            f"{sum(len(report.parameters) for report in group.reports):,}",
            _median_digits(group.reports),
            size(resolution(group.reports)),
            duration(sum(report.cost.seconds for report in group.reports)),
        ]
        for group, found in zip(groups, counts, strict=True)
    ]
    return _table(_FAMILY_TITLES, rows)


def _operations(operations: Sequence[Operation]) -> Table:
    engines = {operation.engine for operation in operations}
    rows = [
        [
            plain(f"{o.engine} {o.operation}" if len(engines) > 1 else o.operation),
            *(f"{count:,}" for count in (o.run, o.agreed, o.disagreed, o.unsupported)),
        ]
        for o in operations
    ]
    return _table(("operation", "cases", "agreed", "disagreed", "unsupported"), rows)


def _verdicts(group: Group) -> dict[Verdict, int]:
    return {verdict: sum(report.verdict is verdict for report in group.reports) for verdict in Verdict}


def _median_digits(reports: Iterable[Report]) -> str:
    found = [r.digits for report in reports for r in report.parameters.values() if r.digits is not None]
    return digits(median(found)) if found else "-"


def _targets(reports: Sequence[Report], width: int) -> Table:
    rows = [
        [
            plain(report.name),
            WORDS[report.verdict],
            f"{len(report.parameters):,}",
            digits(worst_digits(report)),
            f"{report.cost.forward_evaluations:,}",
            duration(report.cost.seconds),
        ]
        for report in reports
    ]
    titles = ["target", "verdict", "parameters", "digits", "forward evaluations", "time"]
    others = sum(max(len(row[i]) for row in [titles, *rows]) + 2 for i in range(1, len(titles)))
    name = max(_LEAST_NAME, width - others)
    return _table(titles, [[cut(row[0], name), *row[1:]] for row in rows])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for title in titles:
        words = title in ("family", "operation", "target", "verdict")
        table.add_column(title, justify="left" if words else "right", no_wrap=words)
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table
