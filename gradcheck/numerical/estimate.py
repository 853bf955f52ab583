"""A number never travels without the bound on its error."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.numerical.extrapolation import Table
from gradcheck.report.records import Step


@dataclass(slots=True)
class Estimate:
    """A directional derivative d/dt <u, y(theta + t v)> at t = 0.

    ``value`` is within ``uncertainty`` of the truth on smooth ground. At a kink every number from
    ``lower`` to ``upper`` is the product of v with a subgradient of some output; elsewhere the three agree.
    ``resolved`` is False where no step gave a usable estimate; ``message`` then says why. ``noise`` is that
    of <u, y> where it had to be measured, 0 where the number format's rounding was taken for it. ``table``
    holds the quotients, and ``chosen`` is the step of the one that was taken, None: of the best.
    """

    value: float
    uncertainty: float
    lower: float
    upper: float
    kink: bool = False
    resolved: bool = True
    evaluations: int = 0
    message: str = ""
    noise: float = 0.0
    table: Table | None = None
    chosen: float | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the quotient of each step, with its bound, for a plot of error against step size."""
        if self.table is None:
            return ()
        return self.table.curve(self.table.best()[2] if self.chosen is None else self.chosen)

    def distance(self, claimed: float) -> float:
        """Return how far ``claimed`` lies outside the admissible interval; 0 inside it."""
        return max(self.lower - claimed, claimed - self.upper, 0.0)


def smooth(
    value: float, uncertainty: float, evaluations: int, table: Table | None = None, message: str = ""
) -> Estimate:
    """Return the estimate of a derivative on smooth ground."""
    return Estimate(value, uncertainty, value, value, evaluations=evaluations, message=message, table=table)


def unresolved(message: str, evaluations: int) -> Estimate:
    """Return the estimate of a derivative that no step could resolve."""
    nan, inf = float("nan"), float("inf")
    return Estimate(nan, inf, -inf, inf, resolved=False, evaluations=evaluations, message=message)
