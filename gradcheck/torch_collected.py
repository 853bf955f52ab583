"""The parts of a report on torch code as they come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradcheck.blame import BlameResult
from gradcheck.examination import Examination
from gradcheck.report.records import Blame, Call, ParameterResult, VariationResult


@dataclass
class Collected:
    """The parts of a report as they come in."""

    parameters: dict[str, ParameterResult] = field(default_factory=dict)
    variations: tuple[VariationResult, ...] = ()
    blames: list[Blame] = field(default_factory=list)
    trace: tuple[Call, ...] = ()
    notes: list[str] = field(default_factory=list)
    message: str = ""
    forward: int = 0
    backward: int = 0

    def count(self, exam: Examination) -> None:
        """Add what an examination has cost."""
        self.forward += exam.forward_evaluations
        self.backward += exam.backward_evaluations

    def blame(self, found: BlameResult) -> None:
        """Add what a search for the guilty operation brought to light."""
        self.blames += [blame for blame in found.blames if blame not in self.blames]
        self.trace = self.trace or found.trace
        self.forward += found.cost.forward_evaluations
        self.backward += found.cost.backward_evaluations
