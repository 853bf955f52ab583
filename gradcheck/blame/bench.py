"""One operation on the bench: its vjp under a cotangent, each run counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from gradcheck.blame.arrangement import all_finite, copy
from gradcheck.blame.calls import Arrangement
from gradcheck.blame.chance import Chance
from gradcheck.blame.problem import Problem
from gradcheck.judge import Tolerance, tolerance
from gradcheck.subjects.torch.layout import is_number, label, spacing
from gradcheck.subjects.torch.pullback import vjp

Directions = Sequence[torch.Tensor | None]

# Share of the claimed value that given directions may be off by.
_SLACK = 1e-9


class BackwardRaisedError(Exception):
    """The backward pass of the operation raised; the cause says what."""


@dataclass(frozen=True)
class Pulled:
    """Cotangents, by result (None: left out), the results, and the gradient of each argument (None: none)."""

    cotangents: list[torch.Tensor | None]
    results: list[torch.Tensor]
    gradients: list[torch.Tensor | None]

    @property
    def chosen(self) -> list[int]:
        """The positions of the results that have a cotangent."""
        return [i for i, cotangent in enumerate(self.cotangents) if cotangent is not None]

    @cached_property
    def _masks(self) -> list[torch.Tensor | None]:
        """By chosen result, which entries are finite; None where all are."""
        results = [self.results[i] for i in self.chosen]
        return [None if all_finite(out) else torch.isfinite(out) for out in results]

    @property
    def all_finite(self) -> bool:
        """Whether every entry of the results that count is finite."""
        return all(mask is None for mask in self._masks)

    def finite(self, arrays: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Put zeros where the results are not finite, as a score masked with -inf: nothing is owed there."""
        if self.all_finite:
            return list(arrays)
        return [
            array if mask is None or mask.shape != array.shape else torch.where(mask, array, 0)
            for mask, array in zip(self._masks, arrays, strict=True)
        ]


class Bench:
    """Where one problem is examined: counts its runs, and keeps the means of examining it together.

    ``arrangements`` say how cotangents arrive, by result; results without one get none. ``actual`` are the
    cotangents themselves, ``directions`` those to look along, known to about nine digits; else random.
    """

    def __init__(
        self,
        problem: Problem,
        chance: Chance,
        arrangements: Mapping[int, Arrangement] | None = None,
        actual: Mapping[int, torch.Tensor] | None = None,
        directions: Sequence[torch.Tensor] | None = None,
        rtol: float | None = None,
    ) -> None:
        self.problem, self.chance = problem, chance
        self.slack = 0.0 if directions is None else _SLACK
        self._directions = directions
        self._left_out: dict[int, torch.Tensor] = {}
        self.evaluations = self.backwards = 0
        self._arrangements, self._actual, self._rtol = arrangements or {}, actual or {}, rtol

    def pull(self, factor: float = 1.0, cotangents: Sequence[torch.Tensor | None] | None = None) -> Pulled:
        """Run forward and backward once, with new cotangents or ``factor`` times the given ones.

        Raises:
            BackwardRaisedError: where the backward pass does. What the forward pass raises is passed on.
        """
        leaves = [copy(point).requires_grad_() for point in self.problem.points]
        self.evaluations += 1
        self.backwards += 1
        with torch.enable_grad():
            results = self.problem.function(leaves)
            chosen = self._draw(results) if cotangents is None else cotangents
            scaled = [u if u is None or factor == 1.0 else u * factor for u in chosen]
            gradients = _gradients(results, scaled, leaves)
        return Pulled(scaled, [out.detach() for out in results], self._defined(gradients))

    def _draw(self, results: list[torch.Tensor]) -> list[torch.Tensor | None]:
        drawn: list[torch.Tensor | None] = []
        for i, out in enumerate(results):
            arrived = self._arrangements.get(i)
            counts = is_number(out) and (out.requires_grad or self.problem.every_result)
            if not counts or (self._arrangements and arrived is None):
                drawn.append(None)
            elif i in self._actual:
                drawn.append(self._actual[i].to(out.dtype))
            else:
                fits = arrived is not None and arrived.shape == tuple(out.shape)
                strides = arrived.strides if arrived is not None and fits else None
                drawn.append(self.chance.cotangent(out.detach(), strides))
        return drawn

    def directions(self) -> list[torch.Tensor]:
        """Draw a direction for every argument, or return the given ones."""
        drawn = [self.chance.direction(point) for point in self.problem.points]
        if self._directions is not None:
            pairs = zip(self._directions, self.problem.points, strict=True)
            drawn = [direction.to(point.dtype) for direction, point in pairs]
        for i, mask in self._left_out.items():
            drawn[i] = torch.where(mask, torch.zeros_like(drawn[i]), drawn[i])
        return drawn

    def without_undefined(self, pulled: Pulled) -> Pulled:
        """Leave out entries without a finite gradient from now on: where results are not, nothing is owed."""
        for i, gradient in enumerate(pulled.gradients):
            if gradient is not None and not all_finite(gradient):
                self._left_out[i] = ~torch.isfinite(gradient)
        return replace(pulled, gradients=self._defined(pulled.gradients))

    def _defined(self, gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
        found = list(gradients)
        for i, mask in self._left_out.items():
            gradient = found[i]
            found[i] = (
                gradient if gradient is None else torch.where(mask, torch.zeros_like(gradient), gradient)
            )
        return found

    def epsilon(self, pulled: Pulled) -> float:
        """Return the coarsest spacing among arguments and results."""
        return spacing(self._coarsest(pulled))

    def tolerance(self, pulled: Pulled) -> Tolerance:
        """Return the coarsest dtype's row of the table."""
        return tolerance(label(self._coarsest(pulled)), self._rtol)

    def _coarsest(self, pulled: Pulled) -> torch.dtype:
        numbers = [*self.problem.points, *(pulled.results[i] for i in pulled.chosen)]
        return max((t.dtype for t in numbers), key=spacing)


def _gradients(
    results: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor | None],
    leaves: Sequence[torch.Tensor],
) -> list[torch.Tensor | None]:
    pairs = [
        (out, u) for out, u in zip(results, cotangents, strict=True) if u is not None and out.requires_grad
    ]
    try:
        return vjp([out for out, _ in pairs], leaves, [u for _, u in pairs])
    except Exception as error:
        raise BackwardRaisedError(f"{type(error).__name__}: {error}") from error
