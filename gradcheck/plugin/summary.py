"""The terminal summary: a line for each subject, then the slowest, then how to replay."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gradcheck.plugin.ledger import ledger_of
from gradcheck.report.records import ParameterResult, Report, Verdict
from gradcheck.report.sentences import WORDS
from gradcheck.report.words import counted, cut, digits, duration, plain

if TYPE_CHECKING:
    import pytest

_MOST_PASSING = 20  # lines; -v shows all
_MOST_SLOW = 3
_NAME = 50  # characters of a subject's name are shown, however narrow the terminal
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_MARKUP = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def summarize(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the summary of what was verified."""
    reports = [report for kept in ledger_of(config).reports.values() for report in kept]
    terminal.section(_title(reports))
    shown = _shown(reports, config.get_verbosity())
    for report, line in zip(shown, _lines(shown, terminal), strict=True):
        terminal.write_line(line, **{_MARKUP[report.verdict]: True})
    if shown and len(shown) < len(reports):
        terminal.write_line(
            f"and {counted(len(reports) - len(shown), 'more subject')} that pass; -v shows all"
        )
    if len(reports) > _MOST_SLOW:
        terminal.write_line(f"slowest: {_slowest(reports)}")
    for option, what in (("gradcheck_html", "HTML"), ("gradcheck_json", "JSON")):
        if config.getoption(option):
            terminal.write_line(f"{what} report: {config.getoption(option)}")


def _terminal_width(terminal: pytest.TerminalReporter) -> int:
    return terminal._tw.fullwidth  # the only way to the width that pytest itself writes to


def _title(reports: list[Report]) -> str:
    counts = Counter(report.verdict for report in reports)
    parts = [f"{counts[verdict]} {verdict}" for verdict in _WORST_FIRST if counts[verdict]]
    seeds = sorted({report.seed for report in reports})
    seed = (
        f"seed {seeds[0]}"
        if len(seeds) == 1
        else f"seeds {', '.join(map(str, seeds[:3]))}" + ", ..." * (len(seeds) > 3)
    )
    return f"gradcheck: {', '.join(parts)} ({seed})"


def _shown(reports: list[Report], verbosity: int) -> list[Report]:
    """Return the reports that get a line: those that did not pass, and not too many others."""
    if verbosity > 0:
        return reports
    room = _MOST_PASSING if verbosity == 0 else 0
    passing = [report for report in reports if report.ok]
    kept = set(map(id, passing[:room]))
    return [report for report in reports if not report.ok or id(report) in kept]


def _row(report: Report) -> tuple[str, ...]:
    worst = min(report.parameters.values(), key=_rank, default=None)
    name = "" if worst is None else cut(plain(worst.name), 30)
    agreed = "" if worst is None or worst.digits is None else f"{digits(worst.digits)} digits"
    evaluations = counted(report.cost.forward_evaluations, "evaluation")
    return WORDS[report.verdict], plain(report.name), name, agreed, evaluations, duration(report.cost.seconds)


def _rank(result: ParameterResult) -> tuple[int, bool, float]:
    known = float("inf") if result.digits is None else result.digits
    return _WORST_FIRST.index(result.verdict), result.waived is not None, known


def _lines(reports: list[Report], terminal: pytest.TerminalReporter) -> list[str]:
    """Return a line for each report, in columns; names give way on a narrow terminal, but not all the way."""
    rows = [_row(report) for report in reports]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if rows:
        others = sum(widths) - widths[1] + 2 * (len(widths) - 1)
        widths[1] = min(widths[1], max(_NAME, _terminal_width(terminal) - others))
    padded = (
        [cut(word, width).ljust(width) for word, width in zip(row, widths, strict=True)] for row in rows
    )
    return ["  ".join(words).rstrip() for words in padded]


def _slowest(reports: list[Report]) -> str:
    slow = sorted(reports, key=lambda report: -report.cost.seconds)[:_MOST_SLOW]
    return ", ".join(f"{cut(plain(report.name), 60)} {duration(report.cost.seconds)}" for report in slow)
