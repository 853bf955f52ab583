"""``derivative.along`` for many lines whose outputs are evaluated together.

Nothing is estimated otherwise than along one line: each line asks for the steps that it wants, and is given
rows of what was evaluated for all. What the first line asks for, most others will: that is evaluated at once,
and the rest as it is wanted. A line that wants more than a few steps is left to be walked alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.numerical.derivative import along
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line, Vector, all_finite

# Steps that a line may ask for, as those that the quick estimate settles do; and how often after the first.
_STEPS, _ROUNDS = 8, 4


class _Wanted(BaseException):  # an Exception would be taken for one of the user's
    """A step is asked for at which the line has not been evaluated yet."""

    def __init__(self, step: float) -> None:
        super().__init__(step)
        self.step = step


class _Given(Line):
    """A line that is told its values."""

    def __init__(self, cotangent: Vector, base: Vector) -> None:
        super().__init__(_none, cotangent, base)

    def tell(self, step: float, outputs: Vector) -> None:
        """Remember the outputs at a step."""
        self._values[step] = outputs if all_finite(outputs) else None

    @property
    def steps(self) -> list[float]:
        """The steps told so far."""
        return [step for step in self._values if step]

    def _evaluate(self, t: float) -> Vector | None:
        raise _Wanted(t)


class Together:
    """Lines that share a base point, where the outputs are ``base``, and a cotangent; both flat."""

    def __init__(self, base: Vector, cotangent: Vector, epsilon: float) -> None:
        self._base, self._cotangent, self._epsilon = base, cotangent, epsilon
        self._usual: list[float] = []

    def estimates(
        self, rows_at: Callable[[np.ndarray, float], Any], claimed: np.ndarray, input_noise: np.ndarray
    ) -> list[Estimate | None]:
        """Return the estimate along each line, None where it wants more steps than are given here.

        Args:
            rows_at: rows_at(lines, t) returns the flat outputs at t along the numbered lines, a row for each.
            claimed: the values under test, one for each line.
            input_noise: for each line; see ``derivative.along``.
        """
        lines = [_Given(self._cotangent, self._base) for _ in claimed]
        found: list[Estimate | None] = [None] * len(lines)

        def walk(k: int) -> float | None:
            try:
                found[k] = along(
                    lines[k],
                    claimed=float(claimed[k]),
                    epsilon=self._epsilon,
                    input_noise=float(input_noise[k]),
                )
            except _Wanted as wanted:
                return wanted.step
            return None

        def tell(numbers: list[int], step: float) -> None:
            for k, row in zip(numbers, rows_at(np.asarray(numbers, int), step), strict=True):
                lines[k].tell(step, row)

        pending = list(range(len(lines)))
        if not self._usual and pending:
            self._learn(pending.pop(0), lines, walk, tell)
        for step in self._usual if pending else []:
            tell(pending, step)
        for _ in range(_ROUNDS + 1):
            wanted: dict[float, list[int]] = {}
            for k in pending:
                next_step = walk(k)
                if next_step is not None:
                    wanted.setdefault(next_step, []).append(k)
            pending = [k for numbers in wanted.values() for k in numbers]
            if not pending:
                break
            for step, numbers in wanted.items():
                tell(numbers, step)
        return found

    def _learn(
        self,
        first: int,
        lines: list[_Given],
        walk: Callable[[int], float | None],
        tell: Callable[[list[int], float], None],
    ) -> None:
        """Walk the first line, and remember what it asks for."""
        for _ in range(_STEPS):
            step = walk(first)
            if step is None:
                break
            tell([first], step)
        self._usual = lines[first].steps


def _none(t: float) -> list[Any]:
    raise _Wanted(t)
