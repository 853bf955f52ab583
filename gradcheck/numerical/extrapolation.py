"""Richardson extrapolation of difference quotients, with a bound that does not flatter.

A difference quotient of step h is D + a h^p + b h^(2p) + ...: p = 2 for central, 1 for one-sided
quotients. Neville's scheme removes one power after the other. Ridders (Accurate computation of F'(x) and
F'(x) F''(x), 1982) takes the smallest difference in the table for the error; that is far too optimistic
where many entries are compared, so here the bound of an entry is the largest of its differences to all
its neighbours, plus the rounding error that its step admits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from gradcheck.report.records import Step

# Rounding error of an extrapolated entry against that of its last quotient: the weights of Neville's
# scheme with ratio 2 sum to at most 1.94 in absolute value (ratio 2, p = 2); one-sided ones to 8.26.
_AMPLIFICATION = {2: 2.0, 1: 9.0}
# So many standard deviations of noise lie between a quotient and an entry that it denies. The deviation is
# read from some thirteen points less four parameters, and half a dozen quotients are asked: beyond four of it
# lies one in a thousand tables, whose bar is then thousands of times too wide; beyond six none of 10,000 did.
_DENIES = 6


@dataclass
class Table:
    """Quotients by falling step, and their extrapolations.

    ``noise`` is a bound on the error of <u, y>, ``scatter`` its standard deviation where that was measured,
    and ``epsilon`` the spacing of numbers, relative to 1: changes of the outputs are rounded too.
    """

    power: int
    noise: float
    epsilon: float = 0.0
    scatter: float | None = None
    steps: list[float] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    _bounds: tuple[float, list[list[float]]] | None = None

    def add(self, step: float, quotient: float) -> None:
        """Add the quotient of a step smaller than every one before."""
        row = [quotient]
        for j in range(1, min(len(self.rows), 5) + 1):
            ratio = (self.steps[-j] / step) ** self.power
            row.append(row[j - 1] + (row[j - 1] - self.rows[-1][j - 1]) / (ratio - 1))
        self.steps.append(step)
        self.rows.append(row)

    def best(self, consistent: bool = False) -> tuple[float, float, float]:
        """Return (estimate, bound, step) of the entry with the least bound.

        ``consistent`` widens the bound of each entry by what the quotients of smaller steps contradict it:
        large steps may agree with each other on the far side of a kink, or in step with an oscillation. One-
        sided ones at the end of a domain may stand still where two powers turn against each other.
        """
        denied = self._contradiction if self.power == 2 else self._drift
        bounds = self._known_bounds()
        if consistent:
            bounds = [[bound + denied(i, j) for j, bound in enumerate(row)] for i, row in enumerate(bounds)]
        least, i, j = min((bound, i, j) for i, row in enumerate(bounds) for j, bound in enumerate(row))
        return self.rows[i][j], least, self.steps[i]

    def _known_bounds(self) -> list[list[float]]:
        """Return the bound of every entry: those of earlier rows stay as long as the noise does."""
        if self._bounds is None or self._bounds[0] != self.noise:
            self._bounds = (self.noise, [])
        known = self._bounds[1]
        known += [
            [self._bound(i, j) for j in range(len(self.rows[i]))] for i in range(len(known), len(self.rows))
        ]
        return known

    def _contradiction(self, i: int, j: int) -> float:
        """Return how far an entry may lie from a smaller step's quotient that denies it; 0 where none does.

        A quotient's own error is twice what a smooth function leaves, which is a known share of its distance
        to the one before, and some standard deviations of noise. Not the whole distance: it is large wherever
        a kink lies between the two steps, and there the smaller step is the one to believe.
        """
        entry, most = self.rows[i][j], 0.0
        scatter = self.scatter or self.noise
        for k in range(i + 1, len(self.rows)):
            own, above = self.rows[k][0], self.rows[k - 1][0]
            error = 2 * abs(own - above) / ((self.steps[k - 1] / self.steps[k]) ** self.power - 1)
            error += _DENIES * scatter / self.steps[k]
            if abs(entry - own) > error:
                most = max(most, abs(entry - own) + error)
        return most

    def _drift(self, i: int, j: int) -> float:
        """Return how far entries of smaller steps in its column have moved away from one, beyond rounding.

        To that comes what they have yet to go: however small its factor, the least power has the last word.
        """
        most, last = 0.0, 0.0
        for k in range(i + 1, len(self.rows)):
            noise = self.noise / self.steps[k] * (1.0 if j == 0 else _AMPLIFICATION[self.power])
            change = abs(self.rows[k][j] - self.rows[k - 1][j])
            most = max(most, abs(self.rows[k][j] - self.rows[i][j]) - noise)
            if change > 2 * noise:
                last = self._slowness(k, j) * change
        return most + last

    def _bound(self, i: int, j: int) -> float:
        row, entry = self.rows[i], self.rows[i][j]
        largest = max(abs(quotients[0]) for quotients in self.rows[max(i - j, 0) : i + 1])
        roundoff = self.noise / self.steps[i] + 2 * self.epsilon * largest
        roundoff *= 1.0 if j == 0 else _AMPLIFICATION[self.power]
        neighbours = [row[j - 1]] if j else []
        if i:
            above = self.rows[i - 1]
            neighbours += [above[k] for k in (j - 1, j) if 0 <= k < len(above)]
        if not neighbours:
            return float("inf")
        apart = max(abs(entry - neighbour) for neighbour in neighbours)
        return apart * (self._slowness(i, j) if self.power == 1 else 1.0) + roundoff

    def _slowness(self, i: int, j: int) -> float:
        """Return the error of an entry in units of its distance to its neighbours, from its column.

        At the end of a domain other powers than whole ones occur (t^1.5), which extrapolation does not
        remove. Where a column's changes fall by a ratio r each, those to come add up to r / (1 - r) of the
        last; twice that is allowed. The ratio is read from the last changes that are more than rounding.
        """
        if i < j + 2:
            return 4.0
        changes = [abs(self.rows[k][j] - self.rows[k - 1][j]) for k in range(j + 1, i + 1)]
        clear = [c > 2 * self.noise / step for c, step in zip(changes, self.steps[j + 1 :], strict=False)]
        if not clear[-1] and not any(clear[k] and clear[k + 1] for k in range(len(clear) - 1)):
            return 1.0
        last = max((k for k in range(1, len(clear)) if clear[k] and clear[k - 1]), default=len(clear) - 1)
        ratio = changes[last] / changes[last - 1] if changes[last - 1] > 0 else 1.0
        return max(1.0, 2 * ratio / (1 - ratio)) if ratio < 1 else float("inf")

    def converges(self) -> bool:
        """Whether the last halving of the step changed the quotient clearly less than the one before."""
        d = [row[0] for row in self.rows[-3:]]
        floor = 4 * self.noise / self.steps[-1]
        return abs(d[2] - d[1]) <= max(0.6 * abs(d[1] - d[0]), floor)

    def diverges(self) -> bool:
        """Whether the quotients change by no less with every smaller step, and by more than rounding.

        So they do beside a point where the derivative is infinite: no step of the ladder is small enough.
        """
        changes = [abs(b[0] - a[0]) for a, b in pairwise(self.rows[-4:])]
        growing = all(later >= 0.9 * earlier for earlier, later in pairwise(changes))
        return growing and changes[-1] > 4 * self.noise / self.steps[-1]

    def moving(self, share: float) -> bool:
        """Whether the last quotients differ by more than rounding and by more than this share of them.

        So they do where a kink lies within the last step or the one before.
        """
        before, last = (row[0] for row in self.rows[-2:])
        return abs(last - before) > max(share * abs(last), 4 * self.noise / self.steps[-1])

    def curve(self, chosen: float) -> tuple[Step, ...]:
        """Return every rung's own quotient with its bound, for a plot of error against step size."""
        return tuple(
            Step(step, row[0], min(self._bound(i, 0), 1e300), step == chosen)
            for i, (step, row) in enumerate(zip(self.steps, self.rows, strict=True))
        )
