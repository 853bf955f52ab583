"""Which cases make up a run: the worked examples, then the families in turn, from one seed upward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cases import ALL_FAMILIES, FAMILIES, Case, generate, lecture_cases
from gradcheck.errors import UsageError
from gradcheck.suggest import did_you_mean


@dataclass(frozen=True)
class Ticket:
    """A case by what makes it, which is small and may be sent to another process.

    ``number`` is the seed, or for the worked examples their place.
    """

    family: str
    number: int

    @property
    def name(self) -> str:
        """What to call the case before it is made: for a generated one its family and seed."""
        return f"{self.family} {self.number}"

    def draw(self) -> Case:
        """Make the case."""
        if self.family == LECTURE:
            return lecture_cases()[self.number]
        return generate(self.family, self.number)


LECTURE = "lecture"


def tickets(
    cases: int, seed: int, families: Sequence[str] | None, include_lecture: bool
) -> tuple[Ticket, ...]:
    """Return what to run: ``cases`` generated ones, the families taking turns, after the worked examples.

    Case number k of a family has the seed ``seed`` + k, so that one family's cases do not depend on which
    others are asked for.

    Raises:
        UsageError: for an unknown family or a negative number.
    """
    chosen = tuple(dict.fromkeys(families or FAMILIES))
    for family in chosen:
        if family not in ALL_FAMILIES:
            hint = did_you_mean(family, ALL_FAMILIES, "The families are")
            raise UsageError(f"Unknown family {family!r}.{hint}")
    for name, number in (("cases", cases), ("seed", seed)):
        if number < 0:
            raise UsageError(f"Expected a number that is not negative but got {name}={number}.")
    lecture = [Ticket(LECTURE, i) for i in range(len(lecture_cases()))] if include_lecture else []
    generated = [Ticket(chosen[k % len(chosen)], seed + k // len(chosen)) for k in range(cases)]
    return (*lecture, *generated)
