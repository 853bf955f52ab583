"""Which cases make up a run: the worked examples, then the families in turn, from one seed upward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from cases import ALL_FAMILIES, Case, generate, lecture_cases
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
CASES = 200  # that are generated where nobody says how many

# Whose turn it is where no family is named. Single operations come in between, as there are so many of them
# and a case of one takes so little time; 200 cases have each of them once and most of them twice.
TURNS = ("operation", "mlp", "operation", "dag", "operation", "block", "operation", "kink")
COMPLEX_TURNS = (*TURNS, "complex", "complex")


@dataclass(frozen=True)
class Plan:
    """What to run, made ticket by ticket: a run of a night has more of them than a list should hold."""

    lecture: int
    turns: tuple[str, ...]
    cases: int
    seed: int

    def __len__(self) -> int:
        """How many cases there are."""
        return self.lecture + self.cases

    def __iter__(self) -> Iterator[Ticket]:
        """Yield the tickets in order."""
        yield from (Ticket(LECTURE, i) for i in range(self.lecture))
        yield from _generated(self.turns, self.cases, self.seed)

    def __getitem__(self, part: slice) -> tuple[Ticket, ...]:
        """Return some of the tickets."""
        return tuple(islice(self, *part.indices(len(self))))


def tickets(
    cases: int,
    seed: int,
    families: Sequence[str] | None,
    include_lecture: bool,
    complex_numbers: bool = False,
) -> Plan:
    """Return what to run: ``cases`` generated ones, the families taking turns, after the worked examples.

    Case number k of a family has the seed ``seed`` + k, so that one family's cases do not depend on which
    others are asked for. ``complex_numbers`` are added where no families are named.

    Raises:
        UsageError: for an unknown family or a negative number.
    """
    turns = tuple(dict.fromkeys(families or ())) or (COMPLEX_TURNS if complex_numbers else TURNS)
    for family in turns:
        if family not in ALL_FAMILIES:
            hint = did_you_mean(family, ALL_FAMILIES, "The families are")
            raise UsageError(f"Unknown family {family!r}.{hint}")
    for name, number in (("cases", cases), ("seed", seed)):
        if number < 0:
            raise UsageError(f"Expected a number that is not negative but got {name}={number}.")
    return Plan(len(lecture_cases()) if include_lecture else 0, turns, cases, seed)


def _generated(turns: Sequence[str], cases: int, seed: int) -> Iterator[Ticket]:
    drawn = Counter[str]()
    for family in islice(cycle(turns), cases):
        yield Ticket(family, seed + drawn[family])
        drawn[family] += 1
