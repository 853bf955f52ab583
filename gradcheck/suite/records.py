"""What a run over many cases found, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.report.records import Report, Verdict

if TYPE_CHECKING:
    from cases import Case


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    ``unsupported`` names the operations that the engine lacks; ``case`` is then the part that it has, and
    ``skipped`` says that there is none. ``report`` is None in that case, and where the engine answered with
    no gradients at all: then ``error`` says what it did, and ``trace`` where in its own code it raised, if it
    did. ``resolution`` is the median relative uncertainty
    over the case's gradients.
    """

    case: Case
    report: Report | None = None
    skipped: bool = False
    unsupported: tuple[str, ...] = ()
    error: str = ""
    trace: str = ""
    resolution: float | None = None
    seconds: float = 0.0

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of the case's graph, each once."""
        return tuple(sorted({node.operation for node in self.case.graph.nodes}))


@dataclass(frozen=True)
class FamilyRow:
    """How the cases of one family went.

    Of ``partial`` ones the engine lacks operations, and was verified on the largest part that it has;
    ``skipped`` are those of which it has nothing.
    """

    family: str
    cases: int = 0
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    skipped: int = 0
    partial: int = 0
    errors: int = 0
    resolution: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class OperationRow:
    """In how many cases one operation was run, found right, found wrong, or lacking.

    It is ``agreed`` in a case that passes, and in one that fails for another operation's fault.
    """

    operation: str
    run: int = 0
    agreed: int = 0
    disagreed: int = 0
    unsupported: int = 0


@dataclass(frozen=True)
class Failure:
    """A case whose gradient is wrong, the smallest one found that shows it, and how to see it again.

    ``path`` is where the smallest case was saved, None where it was not (a further failure of the same
    operations). ``snippet`` is a program in the engine's own words, None where it has none.
    """

    case: Case
    report: Report
    minimal: Case
    path: str | None
    command: str
    snippet: str | None = None


@dataclass(frozen=True)
class Problem:
    """A case on which the engine raised, or returned no gradients.

    ``trace`` is the engine's own traceback. ``path`` is where the smallest case like it was saved, None for
    a further one of its kind; ``command`` shows it again.
    """

    case: str
    message: str
    trace: str = ""
    path: str | None = None
    command: str = ""


@dataclass(frozen=True)
class SuiteResult:
    """Everything that a run over the suite found. ``complete`` is False where it was interrupted."""

    engine: str
    families: tuple[FamilyRow, ...] = ()
    operations: tuple[OperationRow, ...] = ()
    failures: tuple[Failure, ...] = ()
    problems: tuple[Problem, ...] = ()
    resolution: float | None = None
    complete: bool = True
    seed: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> int:
        """How many cases were looked at, those skipped included."""
        return sum(row.cases for row in self.families)

    @property
    def verdict(self) -> Verdict:
        """Fail before inconclusive before pass; what was skipped or raised does not count."""
        if any(row.failed for row in self.families):
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if any(row.inconclusive for row in self.families) else Verdict.PASS
