"""What somebody at a terminal sees of a long examination: one line with the estimate, and a bar.

Nothing is shown in tests, in a log or in processes of our own, nor before there is something to estimate by.
The command line, which has a bar of its own, lends it by ``shown_in``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gradcheck.report.words import duration

# After so many seconds there is an estimate; what is expected to take longer than the second is announced.
_FIRST, LONG = 0.5, 5.0
_lent: ContextVar[Any] = ContextVar("bar", default=None)


@contextmanager
def shown_in(bar: Any) -> Iterator[None]:
    """Show progress in a ``rich.progress.Progress`` that is already on the screen while the block runs."""
    token = _lent.set(bar)
    try:
        yield
    finally:
        _lent.reset(token)


class Watch:
    """Counts what is done of ``total`` entries; a context, whose bar goes when it is left.

    ``seconds`` is what the whole was expected to take when there was first something to tell it by.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.seconds: float | None = None
        self._start = time.perf_counter()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            if self._bar is _lent.get():
                self._bar.remove_task(self._task)
            else:
                self._bar.stop()
            self._bar = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def advance(self, entries: int) -> None:
        """Count entries as done."""
        self.done += entries
        if self.seconds is None and self.elapsed >= _FIRST:
            self.seconds = self.elapsed / max(self.done, 1) * self.total
            if self.seconds > LONG and _visible():
                self._begin()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = _lent.get()
        if bar is None:
            columns = (TextColumn("every entry"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.console.print(
            f"every entry of {self.total:,}: about {duration(self.seconds or 0.0)}", highlight=False
        )
        self._bar, self._task = bar, bar.add_task("every entry", total=self.total)
        bar.start()


def _visible() -> bool:
    """Whether somebody is looking: a terminal, no test, and no process that another one has started."""
    own = multiprocessing.parent_process() is None and "PYTEST_CURRENT_TEST" not in os.environ
    return own and sys.stderr is not None and sys.stderr.isatty()
