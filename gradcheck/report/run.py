"""What one run of the command found: reports in groups, and what could not be verified at all.

A group is a file with its targets, or a family of generated cases.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """A target that could not be loaded or run, and why; the message may be a traceback."""

    target: str
    message: str


@dataclass(frozen=True)
class Run:
    """Everything that one run found. ``complete`` is False where it was stopped before its end."""

    verdict: Verdict
    groups: tuple[Group, ...]
    failures: tuple[Failure, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    complete: bool = True
    gradcheck: str = ""

    @property
    def reports(self) -> tuple[Report, ...]:
        """All reports, in order."""
        return tuple(report for group in self.groups for report in group.reports)


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail before inconclusive before pass; pass where there is nothing."""
    found = set(verdicts)
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE)
    return next((verdict for verdict in order if verdict in found), Verdict.PASS)
