"""One subject under examination: its base point, its claimed gradients, and what looking at them has cost.

Everything that asks the subject for a value or a gradient goes through here, so that the counts in the
report are complete and base values are shared by all probes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from gradcheck.numerical import directions, roundoff
from gradcheck.numerical.derivative import along
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line, Vector, finite_mask, flatten, total
from gradcheck.probes import Probe, Pulled
from gradcheck.rounding import Rounding
from gradcheck.subjects.base import Array, Subject

_OUTPUT_SPAN = 1e4
# How far small outputs go is seen where leaves are moved by this share of their own size.
_FAR = 0.1
# An error bar beyond this share of the smallest leaf's gradient is worth two more evaluations: at less, one
# direction sees an error of 2e-7 in any leaf with 99.9% probability.
_WANTED = 1e-10


@lru_cache(maxsize=8)
def _sequence(seed: int) -> np.random.SeedSequence:
    """Return what spreads a seed over a generator's state; it is the same every time."""
    return np.random.SeedSequence(seed)


class Examination:
    """See the module. ``generator`` is the only source of randomness.

    ``magnitude`` is the size of <u, outputs>, in which rounding errors are counted.
    """

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.generator = np.random.Generator(np.random.PCG64(_sequence(seed)))
        self.forward_evaluations = 0
        self.backward_evaluations = 0
        self._seconds: list[float] = []
        self.seconds_per_pull = 0.0
        self._look_at_base()
        self.rounding = Rounding(self)
        self.variables = subject.variables
        self.values = {name: directions.to_numpy(value) for name, value in self.variables.items()}
        self.scales: dict[str, np.ndarray | float] = {}
        self.largest: dict[str, float] = {}
        for name, value in self.values.items():
            self.scales[name], self.largest[name] = directions.extent(value)

    def _look_at_base(self) -> None:
        self.outputs = self._evaluate({})
        self.base: Vector = flatten(self.outputs)
        self.defined = finite_mask(self.base)
        self.outside = 0 if self.defined is None else int((~self.defined).sum())
        if self.defined is not None:
            self.base = self.base[self.defined]
        self.magnitude = float(abs(self.base).max()) if self.base.shape[0] else 0.0

    def _evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        self.forward_evaluations += 1
        start = time.perf_counter()
        try:
            return self.subject.evaluate(values)
        finally:
            self._seconds.append(time.perf_counter() - start)

    def repeats(self) -> bool:
        """Whether the forward pass gives the same outputs twice, each leaf holding what it held."""
        one, other = (flatten(self._evaluate(dict(self.variables))) for _ in range(2))
        return one.shape == other.shape and bool(((one == other) | (one != one)).all())

    @property
    def seconds_per_evaluation(self) -> float:
        """The median time of one forward evaluation so far."""
        recent = sorted(self._seconds[-50:])
        return recent[len(recent) // 2]

    def cotangents(self) -> list[Array]:
        """Draw a cotangent per output: random signs, sizes from 1/2 to 3/2, outputs weighted alike."""
        if self.subject.fixed_cotangent:
            return [directions.like(out, np.ones(tuple(out.shape))) for out in self.outputs]
        sizes = self.sizes if len(self.outputs) > 1 else [1.0]
        positive = [size for size in sizes if size > 0]
        level = bool(positive) and max(positive) > _OUTPUT_SPAN * min(positive)
        drawn = []
        for out, size in zip(self.outputs, sizes, strict=True):
            values = self._signed(tuple(out.shape), directions.is_complex(out.dtype))
            drawn.append(directions.like(out, values / size if level and size > 0 else values))
        return (
            drawn
            if self.defined is None
            else [_where_finite(u, out) for u, out in zip(drawn, self.outputs, strict=True)]
        )

    @cached_property
    def sizes(self) -> list[float]:
        """The size of each output: its largest entry, or how far that goes where it is none but rounding.

        The logarithm of a rotation's determinant is 1e-16, and weighted by that no other output would count.
        """
        sizes = [_size(out) for out in self.outputs]
        usual = max([*sizes, *self.largest.values()], default=0.0)
        if all(size * _OUTPUT_SPAN >= usual for size in sizes):
            return sizes
        direction = directions.direction(self.variables, list(self.variables), np.random.default_rng(0))
        try:
            moved = self.displaced(direction, _FAR)
            changes = [_size(there - here) for there, here in zip(moved, self.outputs, strict=True)]
        except Exception:  # the end of its domain, or outputs of other shapes
            return sizes
        return [max(size, change) for size, change in zip(sizes, changes, strict=True)]

    def _signed(self, shape: tuple[int, ...], is_complex: bool) -> np.ndarray:
        drawn = np.asarray(self.generator.uniform(-1.0, 1.0, shape))
        signed = np.asarray(drawn + np.copysign(0.5, drawn))
        if is_complex:
            return np.asarray(np.abs(signed) * np.exp(2j * np.pi * self.generator.uniform(size=shape)))
        return signed

    def pull(self, cotangents: Sequence[Array] | None = None) -> Pulled:
        """Ask for the claimed gradients under a cotangent, a fresh random one by default."""
        drawn = list(cotangents) if cotangents is not None else self.cotangents()
        self.backward_evaluations += 1
        self.forward_evaluations += 1
        start = time.perf_counter()
        found = self.subject.pull_back(drawn)
        self.seconds_per_pull = time.perf_counter() - start
        gradients, missing, misshapen, finite, raw = {}, set(), {}, {}, {}
        for name, value in self.values.items():
            gradient = found.get(name)
            if gradient is None:
                missing.add(name)
                gradients[name] = np.zeros(value.shape)
            elif tuple(gradient.shape) != value.shape:
                misshapen[name] = tuple(gradient.shape)
                raw[name] = directions.to_numpy(gradient)
            else:
                given = directions.to_numpy(gradient)
                mask = finite_mask(given)
                gradients[name] = given if mask is None else np.where(mask, given, 0)
                if mask is not None:
                    finite[name], raw[name] = mask, given
        flat = flatten(drawn)
        return Pulled(
            drawn,
            flat if self.defined is None else flat[self.defined],
            gradients,
            frozenset(missing),
            misshapen,
            finite,
            raw,
        )

    def probe(self, pulled: Pulled, names: Sequence[str], *, climb: bool = True) -> Probe:
        """Compare along a random direction over the named leaves, moved together."""
        state = self.generator.bit_generator.state
        probe = self.along(pulled, self.direction(pulled, names), climb=climb)
        return (
            replace(probe, direction=partial(self._again, state, pulled, names)) if probe.suspect else probe
        )

    def _again(self, state: Mapping[str, Any], pulled: Pulled, names: Sequence[str]) -> dict[str, Array]:
        """Return the direction that was drawn when the generator was in a state."""
        generator = np.random.default_rng()
        generator.bit_generator.state = state
        return self.direction(pulled, names, generator)

    def direction(
        self, pulled: Pulled, names: Sequence[str], generator: np.random.Generator | None = None
    ) -> dict[str, Array]:
        """Draw a direction over the named leaves that moves no entry whose gradient is not finite."""
        drawn = directions.direction(self.variables, names, generator or self.generator, self.scales)
        for name in names:
            if name in pulled.finite:
                keep = pulled.finite[name]
                drawn[name] = drawn[name] * directions.like(drawn[name], keep.astype(np.float64))
        return drawn

    def ramp(self, scales: Mapping[str, np.ndarray | float] | None = None) -> dict[str, Array]:
        """Return a direction over all leaves, or those of ``scales``: entries grow with their index.

        It tells tied entries apart in the order in which they lie, which is how most code chooses among them.
        """
        found = {}
        for name, scale in (self.scales if scales is None else scales).items():
            value = self.values[name]
            ramp: np.ndarray = np.linspace(-1.0, 1.0, value.size).reshape(value.shape) * scale
            found[name] = directions.like(self.variables[name], ramp)
        return found

    def along(
        self, pulled: Pulled, direction: Mapping[str, Array], *, climb: bool = True, blind: bool = False
    ) -> Probe:
        """Compare along a given direction; ``blind`` estimates without a look at the claimed value."""
        moved = {name: directions.to_numpy(v) for name, v in direction.items()}
        parts, claimed, weight, smallest = {}, 0.0, 0.0, math.inf
        for name, v in moved.items():
            parts[name] = part, size = directions.inner(pulled.gradients[name], v)
            claimed += part
            weight += self._moved_weight(name, pulled, v)
            smallest = min(smallest, size) if size > 0 else smallest
        epsilon = self.subject.epsilon
        line = self.line(direction, pulled)
        estimate = along(
            line,
            claimed=None if blind else claimed,
            epsilon=epsilon,
            climb=climb,
            input_noise=epsilon * weight,
            wanted=_WANTED * smallest,
        )
        probe = Probe(claimed, estimate, self.rounding.along(parts, moved), parts, pulled)
        if (probe.suspect or estimate.kink or estimate.noise) and self._settles_grad_mode():
            return self.along(pulled, direction, climb=climb, blind=blind)
        if not probe.suspect or not parts:
            return probe
        return replace(probe, noise=self.rounding.at_most(parts, moved))

    def _settles_grad_mode(self) -> bool:
        """Have a subject that runs without grad on trial compare; whether it has to be asked anew."""
        if not getattr(self.subject, "is_provisional", False):
            return False
        self.forward_evaluations += 1
        before, with_grad = self.outputs, self.subject.needs_grad_mode  # type: ignore[attr-defined]
        self._look_at_base()
        return with_grad or not all(map(_equal, before, self.outputs))

    def residual(self, pulled: Pulled, direction: Mapping[str, Array]) -> tuple[float, float]:
        """Return <claimed - true, v> from one central difference, and a rough bound on its error.

        Two evaluations: for searches in which a large discrepancy is already known to exist.
        """
        parts = [directions.inner(pulled.gradients[name], v) for name, v in direction.items()]
        epsilon = self.subject.epsilon
        step = epsilon ** (1 / 4)
        line = self.line(direction, pulled)
        right, left = line(step), line(-step)
        if right is None or left is None:
            return 0.0, np.inf
        size = math.hypot(*[size for _, size in parts])
        noise = (roundoff.floor(self.base, pulled.flat, epsilon) + epsilon * size) / step + 4 * step**2 * size
        return sum(part for part, _ in parts) - total(line.weighted(right - left)) / (2 * step), noise

    def _moved_weight(self, name: str, pulled: Pulled, v: np.ndarray) -> float:
        """Return the norm of gradient times value over the entries that a direction moves.

        Times epsilon it is what rounding theta + t v does to <u, y>, however short v happens to be.
        """
        gradient, value = pulled.gradients[name], self.values[name]
        if np.count_nonzero(v) < v.size:
            where = np.flatnonzero(v)
            gradient, value = gradient.reshape(-1)[where], value.reshape(-1)[where]
        return directions.norm(gradient, value)

    def size(self, pulled: Pulled, name: str) -> float:
        """Return the standard deviation of a leaf's share of <g, v>: the norm of gradient times scale."""
        if name not in pulled.sizes:
            pulled.sizes[name] = directions.norm(pulled.gradients[name], self.scales[name])
        return pulled.sizes[name]

    def elsewhere(
        self, pulled: Pulled, direction: Mapping[str, Array], offset: Mapping[str, Array]
    ) -> Estimate:
        """Estimate the derivative along a direction at a point shifted by ``offset``, to some digits."""
        return along(self.beside(pulled, direction, offset), epsilon=self.subject.epsilon, coarse=True)

    def beside(self, pulled: Pulled, direction: Mapping[str, Array], offset: Mapping[str, Array]) -> Line:
        """Return the outputs along a line through a point shifted by ``offset``."""

        def outputs_at(t: float) -> list[Array]:
            point = {name: self.variables[name] + shift for name, shift in offset.items()}
            for name, v in direction.items():
                point[name] = point.get(name, self.variables[name]) + t * v
            return self._evaluate(point)

        return Line(outputs_at, pulled.flat, keep=self.defined)

    def displaced(self, direction: Mapping[str, Array], t: float) -> list[Array]:
        """Return the outputs with the leaves moved by ``t`` along a direction."""
        return self._evaluate({n: directions.moved(self.variables[n], v, t) for n, v in direction.items()})

    def line(self, direction: Mapping[str, Array], pulled: Pulled) -> Line:
        """Return the outputs along a direction, seen through a cotangent."""
        movers = {name: directions.mover(self.variables[name], v) for name, v in direction.items()}

        return Line(
            lambda t: self._evaluate({name: moved(t) for name, moved in movers.items()}),
            pulled.flat,
            self.base,
            keep=self.defined,
            inputs=max(map(self.largest.__getitem__, direction), default=0.0),
        )


def _equal(one: Array, other: Array) -> bool:
    """Whether two outputs hold the same numbers in the same places, NaN among them or not."""
    a, b = directions.to_numpy(one), directions.to_numpy(other)
    return bool(np.array_equal(a, b, equal_nan=True))


def _where_finite(cotangent: Array, output: Array) -> Array:
    """Return the cotangent with zeros where the output is not finite: outside its domain nothing is owed."""
    values, weights = directions.to_numpy(output), directions.to_numpy(cotangent)
    return directions.like(output, np.where(np.isfinite(values), weights, 0))


def _size(output: Array) -> float:
    if 0 in tuple(output.shape):
        return 0.0
    values = directions.to_numpy(output)
    largest = directions.largest(values)
    return largest if math.isfinite(largest) else directions.largest(values[np.isfinite(values)])
