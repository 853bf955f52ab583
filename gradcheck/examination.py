"""One subject under examination: its base point, its claimed gradients, and what looking at them has cost.

Everything that asks the subject for a value or a gradient goes through here, so that the counts in the
report are complete and base values are shared by all probes.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from gradcheck.numerical import directions, roundoff
from gradcheck.numerical.derivative import along
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line, Vector, finite_mask, flatten, total
from gradcheck.subjects.base import Array, KnowsRounding, Subject

# No power of two: scaling by one changes no rounding error. Used to see the rounding of a backward pass.
SCALE = 1.37
_OUTPUT_SPAN = 1e4
# How far small outputs go is seen where leaves are moved by this share of their own size.
_FAR = 0.1
_UNMEASURED = 64.0
# An error bar beyond this share of the smallest leaf's gradient is worth two more evaluations: at less, one
# direction sees an error of 2e-7 in any leaf with 99.9% probability.
_WANTED = 1e-10
# More evaluations than these are only made where the first rungs and the second opinion leave something open.
_QUICK = 7
# What rounding does to gradients of formats coarser than this has a say in whether they are right.
_FINE = 1e-9


@dataclass(frozen=True)
class Pulled:
    """A cotangent u and the claimed gradients of <u, outputs>, in NumPy.

    ``missing`` leaves got no gradient (taken as zeros), ``misshapen`` ones a wrong shape (left out),
    ``finite`` masks the finite entries of those that hold others (taken as zeros and never moved). ``raw``
    has the gradients of misshapen and not finite leaves as they were given. ``sizes`` are kept by
    ``Examination.size``.
    """

    cotangents: list[Array]
    flat: Vector
    gradients: dict[str, np.ndarray]
    missing: frozenset[str] = frozenset()
    misshapen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    finite: Mapping[str, np.ndarray] = field(default_factory=dict)
    raw: Mapping[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """A claimed directional derivative beside its estimate.

    ``parts`` holds, per leaf, its share of the claimed value and the share's typical size.
    ``noise`` bounds the rounding error of the claimed value. The direction itself is not kept: it is as large
    as the leaves. ``direction`` draws it again, for suspect probes of whole leaves.
    """

    claimed: float
    estimate: Estimate
    noise: float
    parts: Mapping[str, tuple[float, float]]
    pulled: Pulled
    direction: Callable[[], Mapping[str, Array]] | None = None

    @property
    def uncertainty(self) -> float:
        """What the two numbers may differ by without either being wrong."""
        return self.estimate.uncertainty + self.noise

    @cached_property
    def discrepancy(self) -> float:
        """How far the claimed value lies outside what the estimate admits."""
        return self.estimate.distance(self.claimed)

    @cached_property
    def size(self) -> float:
        """The typical size of the claimed value: root of the summed squares of its terms."""
        return float(np.hypot.reduce([size for _, size in self.parts.values()] or [0.0]))

    @property
    def suspect(self) -> bool:
        """Whether claimed and estimate differ by more than their error bars."""
        return not self.estimate.resolved or self.discrepancy > self.uncertainty


class Examination:
    """See the module. ``generator`` is the only source of randomness."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.generator = np.random.default_rng(seed)
        self.forward_evaluations = 0
        self.backward_evaluations = 0
        self._seconds: list[float] = []
        self.seconds_per_pull = 0.0
        self._look_at_base()
        self.deviations: dict[str, float] = {}
        self._rounding: dict[str, np.ndarray] = {}
        self._unscaled: Pulled | None = None
        self._doubt: Mapping[str, np.ndarray] | None = None
        self.variables = subject.variables
        self.values = {name: directions.to_numpy(value) for name, value in self.variables.items()}
        self.scales = {name: directions.scale(value) for name, value in self.values.items()}
        self.largest = {name: directions.largest(value) for name, value in self.values.items()}

    def _look_at_base(self) -> None:
        self.outputs = self._evaluate({})
        self.base: Vector = flatten(self.outputs)
        self.defined = finite_mask(self.base)
        self.outside = 0 if self.defined is None else int((~self.defined).sum())
        if self.defined is not None:
            self.base = self.base[self.defined]

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
            values = self._signed(tuple(out.shape), _is_complex(out))
            drawn.append(directions.like(out, values / size if level and size > 0 else values))
        return (
            drawn
            if self.defined is None
            else [_where_finite(u, out) for u, out in zip(drawn, self.outputs, strict=True)]
        )

    @functools.cached_property
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
        size = 0.5 + np.abs(drawn)
        if is_complex:
            return np.asarray(size * np.exp(2j * np.pi * self.generator.uniform(size=shape)))
        return np.asarray(np.copysign(size, drawn))

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
                gradients[name], finite[name] = _split(given)
                if finite[name] is not None:
                    raw[name] = given
        flat = flatten(drawn)
        return Pulled(
            drawn,
            flat if self.defined is None else flat[self.defined],
            gradients,
            frozenset(missing),
            misshapen,
            {k: v for k, v in finite.items() if v is not None},
            raw,
        )

    def check_linearity(self, pulled: Pulled) -> None:
        """Pull back a scaled cotangent: at once, or where backward is linear anyway, once it matters.

        Then only the rounding of the gradients is to be seen, which is asked for where a probe is off or
        entries are looked at.
        """
        if self.subject.fixed_cotangent:
            return
        self._unscaled = pulled
        if not self.subject.is_linear or self.subject.precision > _FINE:
            self._learn_rounding()

    @property
    def rounding(self) -> Mapping[str, np.ndarray]:
        """How far each entry of a leaf's gradient is from linear in the cotangent, where measured."""
        if self._unscaled is not None:
            self._learn_rounding()
        return self._rounding

    def _learn_rounding(self) -> None:
        """Pull back a scaled cotangent, and remember how far each entry is from linear.

        ``deviations`` are, per leaf, the largest as a share of what moving the entry by its own magnitude
        changes in the outputs: rounding where backward is linear, more where it is not.
        """
        pulled, self._unscaled = self._unscaled, None
        if pulled is None:
            return
        again = self.pull([u * SCALE for u in pulled.cotangents])
        sizes = [_largest_product(g, self.scales[name]) for name, g in pulled.gradients.items()]
        whole = max([self.magnitude, *sizes])
        pulling = float(abs(pulled.flat).max()) if pulled.flat.shape[0] else 0.0
        for name, gradient in pulled.gradients.items():
            other = again.gradients.get(name)
            if other is not None and gradient.size:
                self._rounding[name] = rounding = _apart(other, gradient)
                largest = directions.largest(gradient)
                # a gradient may be a small difference of terms of the size of the cotangent
                noise = 1e4 * self.subject.epsilon * max(whole, pulling * self.largest[name])
                beyond = _largest_product(rounding, self.scales[name]) > noise
                self.deviations[name] = float(rounding.max()) / largest if beyond and largest > 0 else 0.0

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
        parts = {name: directions.inner(pulled.gradients[name], v) for name, v in moved.items()}
        claimed = sum(part for part, _ in parts.values())
        epsilon = self.subject.epsilon
        weight = sum(self._moved_weight(name, pulled, moved[name]) for name in parts)
        line = self.line(direction, pulled)
        estimate = along(
            line,
            claimed=None if blind else claimed,
            epsilon=epsilon,
            climb=climb,
            input_noise=epsilon * weight,
            wanted=_WANTED * min((size for _, size in parts.values() if size > 0), default=np.inf),
        )
        probe = Probe(claimed, estimate, self._noise(parts, moved, self._rounding), parts, pulled)
        if (probe.suspect or estimate.evaluations > _QUICK) and self._settles_grad_mode():
            return self.along(pulled, direction, climb=climb, blind=blind)
        if not probe.suspect or not parts:
            return probe
        probe = replace(probe, noise=self._noise(parts, moved, self.rounding))
        doubts = [directions.inner(self.rounding_in_doubt(name), np.abs(v))[1] for name, v in moved.items()]
        return replace(probe, noise=probe.noise + float(np.hypot.reduce(doubts)))

    def _settles_grad_mode(self) -> bool:
        """Have a subject that runs without grad on trial compare; whether it has to be asked anew."""
        if not getattr(self.subject, "is_provisional", False):
            return False
        self.forward_evaluations += 1
        before, with_grad = self.outputs, self.subject.needs_grad_mode  # type: ignore[attr-defined]
        self._look_at_base()
        return with_grad or not all(map(_equal, before, self.outputs))

    def _noise(
        self,
        parts: Mapping[str, tuple[float, float]],
        moved: Mapping[str, Array],
        measured: Mapping[str, np.ndarray],
    ) -> float:
        """Return a bound on the rounding of the claimed value, from what was measured of its leaves."""
        roundings = [
            self._rounding_along(measured.get(name), moved[name], size) for name, (_, size) in parts.items()
        ]
        noise = float(np.hypot.reduce(roundings)) if roundings else 0.0
        unmeasured = any(name not in measured for name in parts)
        return noise + (_UNMEASURED * self.subject.precision * self.magnitude if unmeasured else 0.0)

    def rounding_in_doubt(self, name: str) -> np.ndarray:
        """Return what rounding on the way may do to a leaf's gradient, zeros where nobody can tell.

        It takes the subject some backward passes, so it is asked only where a discrepancy is in doubt.
        """
        if self._doubt is None:
            self._doubt = self.subject.rounding() if isinstance(self.subject, KnowsRounding) else {}
        found = self._doubt.get(name)
        rounding: np.ndarray = np.zeros(self.values[name].shape) if found is None else _UNMEASURED * found
        return rounding

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
        size = float(np.hypot.reduce([size for _, size in parts]))
        noise = (roundoff.floor(self.base, pulled.flat, epsilon) + epsilon * size) / step + 4 * step**2 * size
        return sum(part for part, _ in parts) - total(line.weighted(right - left)) / (2 * step), noise

    def _rounding_along(self, rounding: np.ndarray | None, v: Array, size: float) -> float:
        """Return three standard deviations of <the gradient's rounding, v>, at most a small share."""
        precision = self.subject.precision
        if rounding is None:  # not measured: what a sum of some hundred rounded terms has
            return _UNMEASURED * precision * size
        # The rounding has a size and no phase: imaginary directions see it as real ones do.
        moved = np.abs(v) if np.iscomplexobj(v) else v
        spread = 3 * directions.inner(rounding, moved)[1]
        limit = float(np.sqrt(self.subject.epsilon)) * size
        return min(spread, max(limit, 1e3 * precision * self.magnitude)) + 2 * precision * size

    def rounding_of_entries(
        self, name: str, flat: np.ndarray, scales: np.ndarray, sizes: np.ndarray
    ) -> np.ndarray:
        """Return the same for single entries, each moved by its scale; ``sizes`` are the products' own."""
        precision = self.subject.precision
        if name not in self.rounding:
            in_doubt = self.rounding_in_doubt(name).reshape(-1)[flat] * scales
            unmeasured: np.ndarray = _UNMEASURED * precision * (sizes + self.magnitude) + in_doubt
            return unmeasured
        spread = 3 * self.rounding[name].reshape(-1)[flat] * scales
        limit = np.maximum(float(np.sqrt(self.subject.epsilon)) * sizes, 1e3 * precision * self.magnitude)
        rounded: np.ndarray = np.minimum(spread, limit) + 2 * precision * sizes
        return rounded

    def _moved_weight(self, name: str, pulled: Pulled, v: Array) -> float:
        """Return the norm of gradient times value over the entries that a direction moves.

        Times epsilon it is what rounding theta + t v does to <u, y>, however short v happens to be.
        """
        moved = directions.to_numpy(v).reshape(-1)
        gradient, value = pulled.gradients[name].reshape(-1), self.values[name].reshape(-1)
        if np.count_nonzero(moved) < moved.size:
            where = np.flatnonzero(moved)
            gradient, value = gradient[where], value[where]
        return directions.norm(gradient, value)

    def size(self, pulled: Pulled, name: str) -> float:
        """Return the standard deviation of a leaf's share of <g, v>: the norm of gradient times scale."""
        if name not in pulled.sizes:
            pulled.sizes[name] = directions.norm(pulled.gradients[name], self.scales[name])
        return pulled.sizes[name]

    @cached_property
    def magnitude(self) -> float:
        """The size of <u, outputs>, in which rounding errors are counted."""
        return float(abs(self.base).max()) if self.base.shape[0] else 0.0

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
            inputs=max((self.largest[name] for name in direction), default=0.0),
        )


def _equal(one: Array, other: Array) -> bool:
    """Whether two outputs hold the same numbers in the same places, NaN among them or not."""
    a, b = directions.to_numpy(one), directions.to_numpy(other)
    return bool(np.array_equal(a, b, equal_nan=True))


def _largest_product(values: np.ndarray, scale: np.ndarray | float) -> float:
    """Return the largest magnitude of values times scale."""
    if isinstance(scale, np.ndarray):
        return directions.largest(values * scale)
    return scale * directions.largest(values)


def _apart(again: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return how far each entry of the gradient of a scaled cotangent is from that of the cotangent."""
    difference = np.asarray(again / SCALE)
    difference -= gradient
    if difference.dtype.kind == "c":
        return np.abs(difference)
    return np.asarray(np.abs(difference, out=difference))


def _split(gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the gradient, zeros for entries that are not finite, and their mask (None: all are)."""
    finite = np.isfinite(gradient)
    if finite.all():
        return gradient, None
    return np.where(finite, gradient, 0), finite


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


def _is_complex(output: Any) -> bool:
    return "complex" in str(output.dtype)
