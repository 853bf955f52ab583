"""One operation on the bench: its vjp and its directional derivatives, each run counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from gradcheck.blame.arrangement import copy, moved
from gradcheck.blame.calls import Arrangement
from gradcheck.blame.chance import Chance
from gradcheck.blame.problem import Problem
from gradcheck.blame.pullback import vjp
from gradcheck.judge import tolerance
from gradcheck.numerical.derivative import along
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line, flatten
from gradcheck.subjects.torch.layout import is_number

# No power of two: scaling by one changes no rounding error.
_SCALE = 1.37


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


@dataclass(frozen=True)
class Probe:
    """The derivative along one direction, claimed and estimated. ``size``: the claimed value's typical size."""

    claimed: float
    estimate: Estimate
    size: float
    noise: float

    @property
    def distance(self) -> float:
        """How far the claimed value lies outside what the estimate admits; infinite where it is no number."""
        return self.estimate.distance(self.claimed) if math.isfinite(self.claimed) else math.inf

    @property
    def uncertainty(self) -> float:
        """What the two may differ by without either being wrong."""
        return self.estimate.uncertainty + self.noise


class Bench:
    """Where one problem is examined: counts its runs, and keeps the means of examining it together."""

    def __init__(
        self,
        problem: Problem,
        chance: Chance,
        arrangements: Mapping[int, Arrangement] | None = None,
        actual: Mapping[int, torch.Tensor] | None = None,
        rtol: float | None = None,
    ) -> None:
        self.problem, self.chance = problem, chance
        self.evaluations = self.backwards = 0
        self._arrangements, self._actual, self._rtol = arrangements, actual, rtol

    def pull(self, factor: float = 1.0, cotangents: Sequence[torch.Tensor | None] | None = None) -> Pulled:
        """Run forward and backward once, with new cotangents or ``factor`` times the given ones."""
        problem = self.problem
        leaves = [copy(point).requires_grad_() for point in problem.points]
        self.evaluations += 1
        self.backwards += 1
        with torch.enable_grad():
            results = problem.function(leaves)
            if cotangents is None:
                cotangents = self._draw(results)
            scaled = [None if u is None else u * factor if factor != 1.0 else u for u in cotangents]
            pairs = [
                (out, u)
                for out, u in zip(results, scaled, strict=True)
                if u is not None and out.requires_grad
            ]
            found = _gradients(pairs, leaves)
        return Pulled(scaled, [out.detach() for out in results], found)

    def _draw(self, results: list[torch.Tensor]) -> list[torch.Tensor | None]:
        drawn: list[torch.Tensor | None] = []
        for i, out in enumerate(results):
            counts = is_number(out) and (out.requires_grad or self.problem.every_result)
            if not counts or (self._arrangements and i not in self._arrangements):
                drawn.append(None)
            elif self._actual is not None and i in self._actual:
                drawn.append(self._actual[i].to(out.dtype))
            else:
                arrived = self._arrangements.get(i) if self._arrangements else None
                fits = arrived is not None and arrived.shape == tuple(out.shape)
                drawn.append(
                    self.chance.cotangent(out.detach(), arrived.strides if arrived and fits else None)
                )
        return drawn

    def directions(self) -> list[torch.Tensor]:
        """Draw a direction for every argument."""
        return [self.chance.direction(point) for point in self.problem.points]

    def probe(
        self,
        pulled: Pulled,
        directions: Sequence[torch.Tensor | None],
        *,
        noise: float = 0.0,
        track: bool = False,
    ) -> Probe:
        """Estimate the derivative along the directions (None: the argument stays) beside the claimed one."""
        problem, chosen = self.problem, pulled.chosen
        claimed, square, rounding = _inner(pulled.gradients, directions, problem.points)
        epsilon = self.epsilon(pulled)

        def outputs_at(t: float) -> list[torch.Tensor]:
            with torch.set_grad_enabled(track):
                points = [
                    p if v is None else moved(p, v, t)
                    for p, v in zip(problem.points, directions, strict=True)
                ]
                results = problem.function([p.detach().requires_grad_() for p in points] if track else points)
            return [results[i] for i in chosen]

        cotangent = flatten([u for u in pulled.cotangents if u is not None])
        line = Line(outputs_at, cotangent, flatten([pulled.results[i] for i in chosen]))
        estimate = along(
            line,
            claimed=claimed if math.isfinite(claimed) else None,
            epsilon=epsilon,
            second_opinion=not problem.trusted,
            input_noise=epsilon * math.sqrt(rounding) if math.isfinite(rounding) else 0.0,
        )
        self.evaluations += estimate.evaluations
        return Probe(claimed, estimate, math.sqrt(square) if square >= 0 else math.nan, noise)

    def epsilon(self, pulled: Pulled) -> float:
        """Return the coarsest spacing among arguments and results."""
        numbers = [*self.problem.points, *(pulled.results[i] for i in pulled.chosen)]
        return max((float(torch.finfo(t.dtype).eps) for t in numbers), default=2.2e-16)

    def tolerance(self, pulled: Pulled, probe: Probe) -> float:
        """Return what the claimed value may be off by, from the coarsest dtype's row of the table."""
        numbers = [*self.problem.points, *(pulled.results[i] for i in pulled.chosen)]
        coarsest = max(numbers, key=lambda t: float(torch.finfo(t.dtype).eps))
        row = tolerance(str(coarsest.dtype).removeprefix("torch."), self._rtol)
        expected = probe.estimate.value if probe.estimate.resolved else 0.0
        return (
            row.relative * max(probe.size if math.isfinite(probe.size) else 0.0, abs(expected)) + row.absolute
        )

    def resolvable(self, pulled: Pulled) -> float:
        """Return the uncertainty that rounding alone may leave, and that a pass may have."""
        numbers = [*self.problem.points, *(pulled.results[i] for i in pulled.chosen)]
        coarsest = max(numbers, key=lambda t: float(torch.finfo(t.dtype).eps))
        outputs = flatten([pulled.results[i] for i in pulled.chosen])
        cotangent = flatten([u for u in pulled.cotangents if u is not None])
        size = math.sqrt(float(((outputs * cotangent) ** 2).sum()))
        return tolerance(str(coarsest.dtype).removeprefix("torch.")).of_largest * size

    def noise(self, pulled: Pulled, directions: Sequence[torch.Tensor | None]) -> float:
        """Return how much rounding the claimed value carries, by a backward pass with another scale."""
        again = self.pull(_SCALE, pulled.cotangents)
        once = _inner(pulled.gradients, directions, self.problem.points)
        twice = _inner(again.gradients, directions, self.problem.points)
        eps = self.epsilon(pulled)
        # a backward pass that is not linear at all is no rounding noise
        return min(
            4 * abs(twice[0] / _SCALE - once[0]), 1e3 * eps * math.sqrt(once[1])
        ) + 4 * eps * math.sqrt(once[1])


class BackwardRaisedError(Exception):
    """The backward pass of the operation raised; the cause says what."""


def _gradients(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], leaves: Sequence[torch.Tensor]
) -> list[torch.Tensor | None]:
    try:
        return vjp([out for out, _ in pairs], leaves, [u for _, u in pairs])
    except Exception as error:
        raise BackwardRaisedError(f"{type(error).__name__}: {error}") from error


def _inner(
    gradients: Sequence[torch.Tensor | None],
    directions: Sequence[torch.Tensor | None],
    points: Sequence[torch.Tensor],
) -> tuple[float, float, float]:
    """Return Re <gradient, direction>, the sum of its squared terms, and that of gradient times point."""
    value = square = rounding = 0.0
    for gradient, direction, point in zip(gradients, directions, points, strict=True):
        if gradient is None or direction is None:
            continue
        if gradient.shape != point.shape:
            raise ValueError(
                f"a gradient of shape {tuple(gradient.shape)} for an argument of shape {tuple(point.shape)}"
            )
        g, v = _wide(gradient), _wide(direction)
        terms = (g.conj() * v).real if g.is_complex() or v.is_complex() else g * v
        value += float(terms.sum())
        square += float(torch.linalg.vector_norm(terms)) ** 2
        finite = torch.where(torch.isfinite(point), point, 0).abs()
        rounding += float(torch.linalg.vector_norm(gradient.abs() * finite)) ** 2
    return value, square, rounding


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
