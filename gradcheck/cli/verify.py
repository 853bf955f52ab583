"""One run of ``gradcheck verify``: prepare everything that can be refused, verify, show and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck.cli import outputs
from gradcheck.cli.collect import Collector, exit_status
from gradcheck.cli.journal import Journal
from gradcheck.cli.request import Request
from gradcheck.cli.screen import Screen
from gradcheck.cli.stop import stoppable
from gradcheck.cli.work import Work, plan
from gradcheck.errors import UsageError
from gradcheck.files import near, require_writable
from gradcheck.report import baseline
from gradcheck.report.baseline import Baseline
from gradcheck.report.marks import MARKS
from gradcheck.report.words import counted

if TYPE_CHECKING:
    from gradcheck.report.run import Run


def verify(request: Request) -> int:
    """Do what was asked for and return the exit status.

    Raises:
        UsageError: before anything runs, where the request cannot be carried out.
    """
    outputs.require(request.files)
    known = _baseline(request)
    journal = Journal(request)
    collector = Collector(request.seed, journal, request.each)
    screen = Screen(verbose=request.verbose)
    if journal.done:
        screen.text(f"resumed with {counted(len(journal.done), 'result')} of the run that was stopped")
    elif journal.changed:
        screen.text(f"{near(journal.changed) or journal.changed} has changed since: starts at the beginning")
    status = None
    with stoppable() as stop:
        try:
            _carry_out(plan(request, screen, collector), screen, collector)
        except KeyboardInterrupt:
            status = stop.status or 130
    journal.end(complete=status is None)
    run = collector.run(complete=status is None)
    if known is not None and request.baseline is not None:
        if request.accept is not None:
            told = baseline.accepted(run, known, request.accept, request.baseline)
            known = baseline.updated(run, known, request.accept)
            baseline.write(known, request.baseline)
            screen.text(told)
        run = baseline.compare(run, known)
    _tell(run, request, screen)
    if status is not None:
        return status
    return exit_status(run, allow_inconclusive=request.allow_inconclusive)


def _baseline(request: Request) -> Baseline | None:
    if request.baseline is None:
        return None
    for name, path in request.files.items():
        if request.baseline and Path(path).resolve() == Path(request.baseline).resolve():
            raise UsageError(f"--baseline and --{name} name the same file, {path}; give each its own.")
    if request.accept is None and request.baseline:
        return baseline.read(request.baseline)
    require_writable(request.baseline, "the baseline", MARKS["baseline"])
    return baseline.read(request.baseline) if Path(request.baseline).exists() else Baseline()


def _carry_out(works: Sequence[Work], screen: Screen, collector: Collector) -> None:
    collector.start()
    with screen.progress(sum(work.steps for work in works)):
        for work in works:
            work.run(screen, collector)


def _tell(run: Run, request: Request, screen: Screen) -> None:
    screen.finish(run)
    try:
        outputs.write(run, request.files, allow_inconclusive=request.allow_inconclusive)
    finally:
        if request.github:
            from gradcheck.report.github import to_annotations, write_summary

            print(to_annotations(run), end="")
            write_summary(run)
