"""What one run of the command found: reports in groups, and what could not be verified at all.

A group is a file with its targets, or a family of generated cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck.report.records import Report, Verdict

SAVED = "saved cases"  # the name of the group of cases that were read from files


@dataclass(frozen=True)
class Group:
    """Reports that belong together. ``generated`` says that they are cases of a family, not targets.

    ``skipped`` counts generated cases that the engine does not support.
    """

    name: str
    reports: tuple[Report, ...]
    generated: bool = False
    skipped: int = 0

    @property
    def noun(self) -> str:
        """What a report of this group is about."""
        return "case" if self.generated or self.name == SAVED else "target"


@dataclass(frozen=True)
class Failure:
    """A target that could not be loaded or run, and why; the message may have a traceback below.

    ``noun`` is what could not be verified, and ``count`` how many of them for the same reason: cases on
    which an engine raised, for example. A "grader" is one that fails whatever the submission.
    """

    target: str
    message: str
    count: int = 1
    noun: str = "target"


@dataclass(frozen=True)
class Operation:
    """In how many generated cases an engine was run on an operation, right, wrong, or without it."""

    engine: str
    operation: str
    run: int = 0
    agreed: int = 0
    disagreed: int = 0
    unsupported: int = 0


@dataclass(frozen=True)
class Discrepancy:
    """One thing that is not right, as far as two runs can be compared by it.

    ``what`` is a parameter's name, "variation NAME", or "" for the report as a whole; ``diagnosis`` is the
    kind of the first one, ``error`` the worst relative error. ``reason`` is why it is accepted.
    """

    target: str
    what: str
    verdict: Verdict
    diagnosis: str | None = None
    error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Against:
    """A run against a baseline. ``gone`` are known discrepancies that no longer occur."""

    known: tuple[Discrepancy, ...] = ()
    changed: tuple[Discrepancy, ...] = ()
    new: tuple[Discrepancy, ...] = ()
    gone: tuple[Discrepancy, ...] = ()


@dataclass(frozen=True)
class Run:
    """Everything that one run found. ``complete`` is False where it was stopped before its end.

    ``verdict`` leaves out what a baseline knows; ``against`` is None where there is no baseline. ``each`` is
    the folder whose submissions were verified; then ``failures`` are submissions too.
    """

    verdict: Verdict
    groups: tuple[Group, ...]
    failures: tuple[Failure, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    complete: bool = True
    gradcheck: str = ""
    against: Against | None = None
    operations: tuple[Operation, ...] = ()
    each: str | None = None

    @property
    def reports(self) -> tuple[Report, ...]:
        """All reports, in order."""
        return tuple(report for group in self.groups for report in group.reports)

    def reason(self, report: Report, what: str) -> str | None:
        """Return why a discrepancy is accepted, None where it is not known or has changed."""
        known = () if self.against is None else self.against.known
        return next((d.reason for d in known if (d.target, d.what) == (report.name, what)), None)

    def standing(self, report: Report) -> Verdict:
        """Return a report's verdict without the discrepancies that a baseline knows."""
        if self.against is None:
            return report.verdict
        fresh = (*self.against.new, *self.against.changed)
        return overall(d.verdict for d in fresh if d.target == report.name)


def concluded(reports: Sequence[Report], counting: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a run from its reports and the verdicts in them that count.

    Where nothing was verified nothing is known to be right, so that it is no pass.
    """
    return overall(counting) if reports else Verdict.INCONCLUSIVE


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail before inconclusive before pass; pass where there is nothing."""
    found = set(verdicts)
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE)
    return next((verdict for verdict in order if verdict in found), Verdict.PASS)
