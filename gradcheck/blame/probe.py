"""The derivative of one operation along a direction: what its vjp claims, and what finite differences say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from gradcheck.blame.arrangement import all_finite, moved
from gradcheck.blame.bench import Bench, Directions, Pulled
from gradcheck.blame.bends import kink, may_bend
from gradcheck.numerical.derivative import along
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line, flatten

# No power of two: scaling by one changes no rounding error.
_SCALE = 1.37


@dataclass(frozen=True)
class Probe:
    """A claimed derivative beside its estimate.

    ``size`` is the claimed value's typical size, ``noise`` bounds its rounding, ``resolvable`` is the
    uncertainty that the rounding of the results may leave; ``kink``: there is one on the line.
    """

    claimed: float
    estimate: Estimate
    size: float
    noise: float
    resolvable: float
    kink: bool

    @property
    def distance(self) -> float:
        """How far the claimed value lies outside what the estimate admits; infinite where it is no number."""
        return self.estimate.distance(self.claimed) if math.isfinite(self.claimed) else math.inf

    @property
    def uncertainty(self) -> float:
        """What the two may differ by without either being wrong."""
        return self.estimate.uncertainty + self.noise

    @property
    def beyond(self) -> bool:
        """Whether the two differ by more than their error bars."""
        return self.distance > self.uncertainty


def probe(
    bench: Bench, pulled: Pulled, directions: Directions, *, noise: float = 0.0, track: bool = False
) -> Probe:
    """Estimate the derivative along the directions (None: the argument stays) beside the claimed one.

    ``track``: with grad mode on, as in the run; ordinarily off, which is cheaper.
    """
    claimed, square, rounding = _inner(pulled.gradients, directions, bench.problem.points)
    noise += bench.slack * math.sqrt(square) if math.isfinite(square) else 0.0
    epsilon = bench.epsilon(pulled)
    line = _line(bench, pulled, directions, track)
    estimate = along(
        line,
        claimed=claimed if math.isfinite(claimed) else None,
        epsilon=epsilon,
        second_opinion=not bench.problem.trusted,
        input_noise=epsilon * math.sqrt(rounding) if math.isfinite(rounding) else 0.0,
    )
    estimate, bent = _with_kink(estimate, line, claimed, noise, epsilon)
    bench.evaluations += line.evaluations
    weighted = line.weighted(line(0.0)) if line(0.0) is not None else line.cotangent
    resolvable = bench.tolerance(pulled).of_largest * math.sqrt(float((weighted**2).sum()))
    return Probe(claimed, estimate, math.sqrt(square), noise, resolvable, bent)


def _line(bench: Bench, pulled: Pulled, directions: Directions, track: bool) -> Line:
    problem, chosen = bench.problem, pulled.chosen

    def outputs_at(t: float) -> list[torch.Tensor]:
        with torch.set_grad_enabled(track):
            points = [
                p if v is None else moved(p, v, t) for p, v in zip(problem.points, directions, strict=True)
            ]
            results = problem.function([p.detach().requires_grad_() for p in points] if track else points)
        return pulled.finite([results[i] for i in chosen])

    cotangents = [u for u in pulled.cotangents if u is not None]
    base = [pulled.results[i] for i in chosen]
    return Line(outputs_at, flatten(pulled.finite(cotangents)), flatten(pulled.finite(base)))


def _with_kink(
    estimate: Estimate, line: Line, claimed: float, noise: float, epsilon: float
) -> tuple[Estimate, bool]:
    """Look for a kink where the values disagree or bend; widen the estimate to it where they disagree."""
    if estimate.kink or not estimate.resolved:
        return estimate, estimate.kink
    beyond = not abs(claimed - estimate.value) <= estimate.uncertainty + noise
    if not beyond and not may_bend(line, epsilon):
        return estimate, False
    found = kink(line, epsilon)
    if found is None or not beyond:
        return estimate, found is not None
    bar = found.uncertainty
    return replace(estimate, lower=found.lower, upper=found.upper, uncertainty=bar, kink=True), True


def rounding(bench: Bench, pulled: Pulled, directions: Directions) -> float:
    """Return how much rounding the claimed value carries, by a backward pass with another scale."""
    again = bench.pull(_SCALE, pulled.cotangents)
    once = _inner(pulled.gradients, directions, bench.problem.points)
    twice = _inner(again.gradients, directions, bench.problem.points)
    if not (math.isfinite(once[0]) and math.isfinite(twice[0])):
        return 0.0  # no rounding makes NaN of a number
    floor = bench.epsilon(pulled) * math.sqrt(once[1])
    # a backward pass that is not linear at all is no rounding noise
    return min(4 * abs(twice[0] / _SCALE - once[0]), 1e3 * floor) + 4 * floor


def _inner(
    gradients: Directions, directions: Directions, points: Sequence[torch.Tensor]
) -> tuple[float, float, float]:
    """Return Re <gradient, direction>, the sum of its squared terms, and that of gradient times point."""
    value = square = rounding = 0.0
    for gradient, direction, point in zip(gradients, directions, points, strict=True):
        if gradient is None or direction is None:
            continue
        g, v = _wide(gradient), _wide(direction)
        terms = (g.conj() * v).real if g.is_complex() or v.is_complex() else g * v
        value += float(terms.sum())
        square += float(torch.linalg.vector_norm(terms)) ** 2
        at = point if all_finite(point) else torch.where(torch.isfinite(point), point, 0)
        rounding += float(torch.linalg.vector_norm(gradient * at)) ** 2
    return value, square, rounding


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
