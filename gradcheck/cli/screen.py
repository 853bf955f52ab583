"""What a run shows while it goes on: each report as it comes, and a progress bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gradcheck.progress import shown_in
from gradcheck.report.records import Report
from gradcheck.report.sentences import headline
from gradcheck.report.text import STYLES, make_console, say, show
from gradcheck.report.words import cut, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from gradcheck.report.run import Run

_LABEL = 30
_IN_FULL = 3  # failing generated cases told in full, and then in a line each
_IN_A_LINE = 20


class Screen:
    """Standard output; errors go to standard error."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self.alone = False  # a single target is shown in full also where it passes
        self._told = 0
        self._console: Console = make_console(sys.stdout)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def report(self, report: Report, *, generated: bool = False) -> None:
        """Show a report: in full where it does not pass or it was asked for, else in a line or not at all."""
        if self._verbose or (not generated and (self.alone or not report.ok)):
            show(report, self._console, verbose=self._verbose)
        elif not generated:
            say(self._console, headline(report), STYLES[report.verdict])
        elif not report.ok:
            self._generated(report)

    def _generated(self, report: Report) -> None:
        self._told += 1
        if self._told <= _IN_FULL:
            show(report, self._console)
        elif self._told <= _IN_A_LINE:
            say(self._console, headline(report), STYLES[report.verdict])
        elif self._told == _IN_A_LINE + 1:
            say(self._console, "further cases are counted below; -v and --json have them all", "dim")

    def error(self, message: str) -> None:
        """Show why something could not be verified."""
        say(make_console(sys.stderr), f"gradcheck: {message}", "red")

    def begin(self, label: str) -> None:
        """Name beside the progress bar what is being verified."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=cut(plain(label), _LABEL))

    def advance(self) -> None:
        """Move the progress bar by one."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1)

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Show a bar for so many steps while the block runs; nothing where output is no terminal."""
        if not self._console.is_terminal or total < 2:
            yield
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True) as bar:
            self._progress, self._task = bar, bar.add_task("", total=total)
            try:
                with shown_in(bar):
                    yield
            finally:
                self._progress = self._task = None

    def finish(self, run: Run) -> None:
        """Show the tables and the conclusion."""
        from gradcheck.report.summary import show_summary

        show_summary(run, self._console, verbose=self._verbose)

    def text(self, text: str) -> None:
        """Show lines as they are."""
        say(self._console, text)
