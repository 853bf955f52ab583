"""What a verification found, as frozen data: every report format reads these records and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Number = float | complex


class Verdict(StrEnum):
    """What is known of one gradient: right, wrong, or not resolvable with the evidence at hand."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """The claimed gradient of one parameter against one witness, at the place where they differ most.

    ``index`` is the entry, or None where the comparison was made along a random direction; then
    ``claimed`` and ``expected`` are directional derivatives. ``uncertainty`` bounds the error of
    ``expected`` and the rounding of ``claimed``; pass means ``abs_error + uncertainty <= tolerance``.
    ``mismatched`` of ``compared`` entries (or directions) were beyond tolerance.
    """

    witness: str
    claimed: Number
    expected: Number
    index: tuple[int, ...] | None
    abs_error: float
    rel_error: float
    uncertainty: float
    tolerance: float
    mismatched: int
    compared: int
    verdict: Verdict


@dataclass(frozen=True)
class Coverage:
    """How much of a parameter was looked at, and the smallest error that would have been seen.

    ``detectable`` is relative to the norm of the parameter's gradient: an error of at least that size
    would have been seen with probability 99.9%; None where there is no telling the gradient from zero.
    ``shared`` counts the parameters perturbed together.
    """

    directions: int
    entries: int
    total: int
    detectable: float | None
    shared: int = 1


@dataclass(frozen=True)
class Wrong:
    """Which entries of a gradient are wrong.

    ``indices`` and the two value columns list the first few; ``count`` of ``examined`` entries are wrong
    (``exact`` says whether every entry was examined, or the count is an estimate from a sample; ``at_least``
    that none was among those drawn at random, and only those are counted that a search came upon).
    """

    count: int
    examined: int
    exact: bool
    pattern: str
    indices: tuple[tuple[int, ...], ...]
    claimed: tuple[Number, ...]
    expected: tuple[Number, ...]
    at_least: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A named mistake that explains a discrepancy.

    ``fit`` is the share of the discrepancy that it explains, from 0 to 1.
    """

    kind: str
    message: str
    fit: float
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Step:
    """One rung of the step ladder: the estimate at this step size and the bound on its error."""

    size: float
    estimate: float
    bound: float
    chosen: bool = False


@dataclass(frozen=True)
class Evidence:
    """What the plots of a failing parameter are drawn from.

    ``heat`` is the absolute discrepancy over the tensor seen as a matrix (rows of floats; each cell the
    maximum of its block where the tensor is larger), None for cells not examined. ``heat_block`` is the
    number of tensor rows and columns in a cell. ``scatter`` holds (claimed, expected) pairs.
    """

    scatter: tuple[tuple[float, float], ...] = ()
    heat: tuple[tuple[float | None, ...], ...] = ()
    heat_block: tuple[int, int] = (1, 1)
    steps: tuple[Step, ...] = ()


# How the note of a gradient begins that cannot be told from zero.
VANISHES = "its gradient is zero to within"


@dataclass(frozen=True)
class ParameterResult:
    """Everything found about one parameter.

    ``digits`` is the number of decimal digits to which claimed and expected agree; ``waived`` is the
    user's reason for a declared deviation, None where none was declared.
    """

    name: str
    verdict: Verdict
    shape: tuple[int, ...]
    dtype: str
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    diagnoses: tuple[Diagnosis, ...] = ()
    coverage: Coverage | None = None
    wrong: Wrong | None = None
    digits: float | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    waived: str | None = None
    evidence: Evidence | None = None

    @property
    def vanishes(self) -> bool:
        """Whether the gradient is right, and too small to tell from zero: it has no digits to agree to."""
        return self.verdict is Verdict.PASS and any(note.startswith(VANISHES) for note in self.notes)


@dataclass(frozen=True)
class VariationResult:
    """One changed circumstance under which the gradient was verified again.

    ``verdict`` is None where the variation was skipped; ``message`` then says why.
    """

    name: str
    verdict: Verdict | None
    message: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blame:
    """The operation, and the source line, at which an error enters.

    ``location`` is "file.py:line", None where no source line is known. ``diagnoses`` name the mistake in the
    operation's own gradients, where they do not go to parameters or inputs under verification themselves.
    """

    operation: str
    location: str | None
    message: str
    source: str | None = None
    diagnoses: tuple[Diagnosis, ...] = ()


@dataclass(frozen=True)
class Call:
    """One operation of the traced computation. ``inputs`` are ids of earlier calls or names of leaves."""

    id: str
    operation: str
    location: str | None
    inputs: tuple[str, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Cost:
    """What a verification took."""

    forward_evaluations: int = 0
    backward_evaluations: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """The outcome of verifying one subject, parameter by parameter.

    ``location`` is "file.py:line" of the target that made it, None where it was not made by one.
    """

    name: str
    verdict: Verdict
    parameters: Mapping[str, ParameterResult]
    variations: tuple[VariationResult, ...] = ()
    blames: tuple[Blame, ...] = ()
    cost: Cost = Cost()
    seed: int = 0
    message: str = ""
    notes: tuple[str, ...] = ()
    reproduce: str | None = None
    trace: tuple[Call, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    location: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every gradient was found right."""
        return self.verdict is Verdict.PASS

    @property
    def blame(self) -> Blame | None:
        """The first place at which an error enters, None where nothing is blamed."""
        return self.blames[0] if self.blames else None

    def __str__(self) -> str:
        from gradcheck.report.text import to_text

        return to_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data, which ``from_dict`` reads back unchanged."""
        from gradcheck.report.json import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Read what ``to_dict`` wrote.

        Raises:
            ValueError: where the data is not a report; the sentence names the place.
        """
        from gradcheck.report.json import from_dict

        return from_dict(data)

    def raise_if_failed(self) -> None:
        """Raise GradientMismatch, whose text is this report, unless the verdict is pass."""
        if not self.ok:
            from gradcheck.errors import GradientMismatch

            raise GradientMismatch(self)
