"""What rounding may have done to claimed gradients.

A backward pass that is linear in the cotangent gives, for a scaled cotangent, a scaled gradient, but for its
rounding. That is measured by one more backward pass, and only where it matters.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.numerical import directions
from gradcheck.probes import Pulled
from gradcheck.subjects.base import KnowsRounding

if TYPE_CHECKING:
    from gradcheck.examination import Examination

# No power of two: scaling by one changes no rounding error.
SCALE = 1.37
# What is not measured is taken for the rounding of a sum of some hundred terms.
_UNMEASURED = 64.0
# What rounding does to gradients of formats coarser than this has a say in whether they are right.
_FINE = 1e-9


class Rounding:
    """The rounding of an examination's claimed gradients.

    ``deviations`` are, per leaf, the largest deviation from linear as a share of the leaf's largest entry
    where that is more than rounding, else 0.
    """

    def __init__(self, exam: Examination) -> None:
        # a cycle would keep all that an examination holds, as large as the subject, until it is collected
        self._exam: Examination = weakref.proxy(exam)
        self.deviations: dict[str, float] = {}
        self._measured: dict[str, np.ndarray] = {}
        self._unscaled: Pulled | None = None
        self._doubt: Mapping[str, np.ndarray] | None = None

    def check_linearity(self, pulled: Pulled) -> None:
        """Pull back a scaled cotangent: at once, or where backward is linear anyway, once it matters.

        Then only the rounding of the gradients is to be seen, which is asked for where a probe is off or
        entries are looked at.
        """
        subject = self._exam.subject
        if subject.fixed_cotangent:
            return
        self._unscaled = pulled
        if not subject.is_linear or subject.precision > _FINE:
            self._measure()

    @property
    def measured(self) -> Mapping[str, np.ndarray]:
        """How far each entry of a leaf's gradient is from linear in the cotangent, by leaf."""
        if self._unscaled is not None:
            self._measure()
        return self._measured

    def _measure(self) -> None:
        pulled, self._unscaled = self._unscaled, None
        if pulled is None:
            return
        exam = self._exam
        again = exam.pull([u * SCALE for u in pulled.cotangents])
        sizes = [_largest_product(g, exam.scales[name]) for name, g in pulled.gradients.items()]
        whole = max([exam.magnitude, *sizes])
        pulling = float(abs(pulled.flat).max()) if pulled.flat.shape[0] else 0.0
        for name, gradient in pulled.gradients.items():
            other = again.gradients.get(name)
            if other is not None and gradient.size:
                self._measured[name] = rounding = _apart(other, gradient)
                largest = directions.largest(gradient)
                # a gradient may be a small difference of terms of the size of the cotangent
                noise = 1e4 * exam.subject.epsilon * max(whole, pulling * exam.largest[name])
                beyond = _largest_product(rounding, exam.scales[name]) > noise
                self.deviations[name] = float(rounding.max()) / largest if beyond and largest > 0 else 0.0

    def along(self, parts: Mapping[str, tuple[float, float]], moved: Mapping[str, np.ndarray]) -> float:
        """Return a bound on the rounding of a claimed derivative, from what is measured already.

        ``parts`` are the leaves' shares with their sizes, ``moved`` is the direction.
        """
        exam, roundings, unmeasured = self._exam, [], False
        for name, (_, size) in parts.items():
            known = self._measured.get(name)
            unmeasured = unmeasured or known is None
            roundings.append(self._of_leaf(known, moved[name], size))
        noise = math.hypot(*roundings)
        return noise + (_UNMEASURED * exam.subject.precision * exam.magnitude if unmeasured else 0.0)

    def at_most(self, parts: Mapping[str, tuple[float, float]], moved: Mapping[str, np.ndarray]) -> float:
        """Return the same once it is measured, with what rounding on the way may have done."""
        _ = self.measured
        doubts = [directions.inner(self.in_doubt(name), np.abs(v))[1] for name, v in moved.items()]
        return self.along(parts, moved) + math.hypot(*doubts)

    def _of_leaf(self, rounding: np.ndarray | None, v: np.ndarray, size: float) -> float:
        """Return three standard deviations of <the gradient's rounding, v>, at most a small share."""
        precision = self._exam.subject.precision
        if rounding is None:
            return _UNMEASURED * precision * size
        # The rounding has a size and no phase: imaginary directions see it as real ones do.
        spread = 3 * directions.inner(rounding, np.abs(v) if np.iscomplexobj(v) else v)[1]
        limit = float(np.sqrt(self._exam.subject.epsilon)) * size
        return min(spread, max(limit, 1e3 * precision * self._exam.magnitude)) + 2 * precision * size

    def of_entries(self, name: str, flat: np.ndarray, scales: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the same for single entries, each moved by its scale; ``sizes`` are the products' own."""
        precision, magnitude = self._exam.subject.precision, self._exam.magnitude
        if name not in self.measured:
            in_doubt = self.in_doubt(name).reshape(-1)[flat] * scales
            unmeasured: np.ndarray = _UNMEASURED * precision * (sizes + magnitude) + in_doubt
            return unmeasured
        spread = 3 * self.measured[name].reshape(-1)[flat] * scales
        limit = np.maximum(float(np.sqrt(self._exam.subject.epsilon)) * sizes, 1e3 * precision * magnitude)
        rounded: np.ndarray = np.minimum(spread, limit) + 2 * precision * sizes
        return rounded

    def in_doubt(self, name: str) -> np.ndarray:
        """Return what rounding on the way may do to a leaf's gradient, zeros where nobody can tell.

        It takes the subject some backward passes, so it is asked only where a discrepancy is in doubt.
        """
        subject = self._exam.subject
        if self._doubt is None:
            self._doubt = subject.rounding() if isinstance(subject, KnowsRounding) else {}
        found = self._doubt.get(name)
        rounding: np.ndarray = (
            np.zeros(self._exam.values[name].shape) if found is None else _UNMEASURED * found
        )
        return rounding


def _apart(again: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return how far each entry of the gradient of a scaled cotangent is from that of the cotangent."""
    difference = np.asarray(again / SCALE)
    difference -= gradient
    if difference.dtype.kind == "c":
        return np.abs(difference)
    return np.asarray(np.abs(difference, out=difference))


def _largest_product(values: np.ndarray, scale: np.ndarray | float) -> float:
    """Return the largest magnitude of values times scale."""
    if isinstance(scale, np.ndarray):
        return directions.largest(values * scale)
    return scale * directions.largest(values)
