"""The report as text for a terminal or a log: sentences first, then a table of the parameters.

Colour appears on a terminal only (rich honours NO_COLOR, FORCE_COLOR and COLUMNS); the words are the same
without. rich is imported when a report is shown.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.report.records import ParameterResult, Report, Verdict
from gradcheck.report.sentences import (
    blame_lines,
    cost_line,
    headline,
    of_verdict,
    parameter_lines,
    parameter_title,
    variation_line,
)
from gradcheck.report.words import counted, plain

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

LOG_WIDTH = 100
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}
# Parameters told in sentences: fewer where the operation behind them is named below. The table has all.
_MOST_TOLD, _MOST_BEFORE_BLAME = 10, 4
_MOST_ROWS = 30
# Notes of one kind, that is the same but for the numbers: so many are told, the rest is counted.
_MOST_NOTES = 4
_NUMBER = re.compile(r"\d[\d.,]*(e[+-]?\d+)?")


@dataclass(frozen=True)
class Line:
    """A line of text and rich's name for how it looks."""

    text: str
    style: str = ""


def to_text(report: Report, *, width: int | None = None, verbose: bool = False) -> str:
    """Return the report as plain text, without colour and without a last line break.

    ``width`` is in characters; None takes COLUMNS, the terminal's own, or 100. ``verbose`` shows every
    parameter and variation, however many.
    """
    from io import StringIO

    written = StringIO()
    columns = shutil.get_terminal_size((LOG_WIDTH, 24)).columns if width is None else width
    show(report, make_console(written, width=columns, plain_text=True), verbose=verbose)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def make_console(file: TextIO, *, width: int | None = None, plain_text: bool = False) -> Console:
    """Return a console that shows text as it is: no markup, no emoji, no guessing at numbers.

    ``width`` None takes COLUMNS, the terminal's own, or 100 where ``file`` is no terminal.
    """
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            raise  # the BrokenPipeError that is being handled; rich would leave with status 1

    console = Patient(
        file=file,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        no_color=plain_text or None,
        color_system=None if plain_text else "auto",
        force_terminal=False if plain_text else None,
    )
    if width is None and not console.is_terminal:
        console.width = shutil.get_terminal_size((LOG_WIDTH, 24)).columns
    return console


def show(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print the report on a console; ``verbose`` as in ``to_text``."""
    for line in _before_table(report, verbose):
        say(console, line.text, line.style)
    rows, hidden = _rows(report, verbose)
    if len(report.parameters) > 1 or verbose:
        from gradcheck.report.table import parameter_table

        console.print(parameter_table(rows, console.width))
    for line in _after_table(report, hidden, verbose):
        say(console, line.text, line.style)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is, however long; a terminal wraps it, a log keeps it whole."""
    from rich.text import Text

    console.print(Text(text, style), soft_wrap=True)  # not print(style=..): that paints a progress bar too


def _before_table(report: Report, verbose: bool) -> Iterator[Line]:
    yield Line(headline(report), STYLES[report.verdict])
    results = report.parameters.values()
    concerned = of_verdict(results, Verdict.FAIL) + of_verdict(results, Verdict.INCONCLUSIVE)
    told = concerned if verbose else concerned[: _MOST_BEFORE_BLAME if report.blames else _MOST_TOLD]
    for result in told:
        yield Line(f"  {parameter_title(result)}", "bold")
        yield from (Line(f"    {text}") for text in parameter_lines(result))
    if len(told) < len(concerned):
        yield Line(f"  and {counted(len(concerned) - len(told), 'more parameter')}, in the table below")
    for variation in report.variations:
        if verbose or variation.verdict not in (Verdict.PASS, None):
            yield Line(f"  {variation_line(variation)}", _style(variation.verdict))
    for blame in report.blames:
        yield from (Line(f"  {text}") for text in blame_lines(blame))


def _style(verdict: Verdict | None) -> str:
    return "dim" if verdict is None else STYLES[verdict]


def _rows(report: Report, verbose: bool) -> tuple[list[ParameterResult], int]:
    """Return the parameters that the table shows, the worst first, and how many it leaves out."""
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    results = list(report.parameters.values())
    if verbose or len(results) <= _MOST_ROWS:
        return results, 0
    worst = sorted(results, key=lambda r: (order.index(r.verdict), r.waived is None, _digits(r)))
    return worst[:_MOST_ROWS], len(results) - _MOST_ROWS


def _digits(result: ParameterResult) -> float:
    return 0.0 if result.digits is None else result.digits


def _after_table(report: Report, hidden: int, verbose: bool) -> Iterator[Line]:
    if hidden:
        yield Line(f"  and {counted(hidden, 'more parameter')}, no worse than these")
    for result in report.parameters.values():
        if result.verdict is Verdict.PASS and result.waived is not None:
            yield Line(f"  waived: {plain(result.name)}: {plain(result.waived)}", "yellow")
    yield from (Line(f"  note: {text}") for text in _notes(report, verbose))
    yield Line(f"  {cost_line(report)}", "dim")
    if report.reproduce and not report.ok:
        yield Line(f"  reproduce: {plain(report.reproduce)}")


def _notes(report: Report, verbose: bool) -> Iterator[str]:
    """Yield the notes of parameters that pass, those of one kind together, then those of the whole."""
    kinds: dict[str, list[str]] = {}
    for result in report.parameters.values():
        for note in result.notes if result.verdict is Verdict.PASS else ():
            kinds.setdefault(_NUMBER.sub("#", note), []).append(f"{plain(result.name)}: {plain(note)}")
    for told in kinds.values():
        shown = told if verbose or len(told) == _MOST_NOTES + 1 else told[:_MOST_NOTES]
        yield from shown
        if len(told) > len(shown):
            yield f"{counted(len(told) - len(shown), 'more parameter')}: the same, with other numbers"
    yield from map(plain, report.notes)
