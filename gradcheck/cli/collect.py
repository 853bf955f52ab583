"""What was found so far, in groups: the one thing that changes while a run goes on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from gradcheck._version import __version__
from gradcheck.cli.journal import Entry, Journal
from gradcheck.report.records import Report, Verdict
from gradcheck.report.run import Failure, Group, Operation, Run, concluded


class Collector:
    """Takes reports as they come; ``run`` returns all of them at any time."""

    def __init__(self, seed: int, journal: Journal, each: str | None = None) -> None:
        self._seed = seed
        self._journal = journal
        self._each = each
        self._start = time.perf_counter()
        self._reports: dict[tuple[str, bool], list[Report]] = {}
        self._skipped: dict[str, int] = {}
        self._failures: list[Failure] = []
        self._operations: list[Operation] = []
        for entry in journal.done:
            if isinstance(entry.result, Failure):
                self.fail(entry.result)
            else:
                self.add(entry.group, entry.result, generated=entry.generated)

    def start(self) -> None:
        """Start the clock and the journal: what was loaded so far does not count."""
        self._start = time.perf_counter()
        self._journal.begin()

    def add(self, group: str, report: Report, key: str = "", *, generated: bool = False) -> None:
        """Take a report of a target's file, or of a family of generated cases.

        ``key`` is what a resumed run knows it by; without one it is verified again.
        """
        self._reports.setdefault((group, generated), []).append(report)
        if key:
            self._journal.append(Entry(key, group, generated, report))

    @property
    def done(self) -> frozenset[str]:
        """The keys of what a run that is resumed had verified."""
        return self._journal.keys

    def skip(self, family: str, count: int) -> None:
        """Count cases of a family that the engine does not support."""
        if count:
            self._reports.setdefault((family, True), [])
            self._skipped[family] = self._skipped.get(family, 0) + count

    def count(self, operations: Iterable[Operation]) -> None:
        """Take the counts by operation of an engine."""
        self._operations += operations

    def fail(self, failure: Failure, key: str = "") -> None:
        """Take what could not be verified at all; ``key`` as in ``add``."""
        self._failures.append(failure)
        if key:
            self._journal.append(Entry(key, "", False, failure))

    def blame_grader(self, names: Collection[str], grader: Failure) -> None:
        """Take the failures of these submissions as one, of the grader's own."""
        self._failures = [failure for failure in self._failures if failure.target not in names]
        self._failures.append(grader)

    def run(self, *, complete: bool) -> Run:
        """Return everything taken so far; ``complete`` says whether that is all there was to verify."""
        groups = tuple(
            Group(name, tuple(reports), generated, self._skipped.get(name, 0) if generated else 0)
            for (name, generated), reports in self._reports.items()
        )
        reports = [report for group in groups for report in group.reports]
        return Run(
            verdict=concluded(reports, (report.verdict for report in reports)),
            groups=groups,
            failures=tuple(self._failures),
            seed=self._seed,
            seconds=time.perf_counter() - self._start,
            complete=complete,
            gradcheck=__version__,
            operations=tuple(self._operations),
            each=self._each,
        )


def exit_status(run: Run, *, allow_inconclusive: bool) -> int:
    """Return 1 where a gradient is wrong, whatever else happened; then 2, 3 and 0 as documented.

    A submission that could not be verified is as wrong as one whose gradient is.
    """
    if any(failure.noun == "grader" for failure in run.failures):
        return 1 if run.verdict is Verdict.FAIL else 2
    if run.verdict is Verdict.FAIL or (run.each is not None and run.failures):
        return 1
    if run.failures or not run.reports:  # a gate that verifies nothing must not be green
        return 2
    return 3 if run.verdict is Verdict.INCONCLUSIVE and not allow_inconclusive else 0
