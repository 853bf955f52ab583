"""Whether a function has digits at a point: what its value does when its inputs move by next to nothing.

The solution of a system without full rank, the vectors of equal singular values, the outcome of a jump: there
is no derivative, and whatever stands for one there is neither right nor wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.numerical import directions
from gradcheck.subjects.base import Array, Subject

# Inputs are moved by a few of their own roundings (a share of e, twice) and by that to these powers of e:
# differences of nearly equal numbers lose their digits near the point only, 0 / 0 has none at any distance.
# Outputs may move by this share of their size.
_ROUNDINGS, _POWERS, _SHARE = 4.0, (1.0, 1.0, 0.75, 0.5), 1e-3
# Far below a step that is worth the name, and far above rounding in double precision.
_STAIR = 1e-12
# Inputs are scaled by 1 + h and 1 - h. What is smooth bends by some h^2 of its size, a tenth of h at most.
_STRETCHES, _BEND = (0.003, 0.01, 0.03), 0.3


def lost(given: Subject, subject: Subject, outputs: list[Array], base: list[Array]) -> bool:
    """Whether moving the subject's inputs by next to nothing changes outputs visibly.

    ``outputs`` are the subject's, ``base`` those of the given subject, whose inputs tell the size of a move.
    """
    generator = np.random.default_rng(0)
    size = max((directions.largest(directions.to_numpy(out)) for out in [*outputs, *base]), default=0.0)
    for power in _POWERS:
        try:
            found = subject.evaluate(moved(given, subject, subject.epsilon**power, generator))
        except Exception:  # the end of the domain, which tells nothing of digits
            return False
        off = max((_distance(a, b) for a, b in zip(found, outputs, strict=True)), default=0.0)
        if not off > _SHARE * size:
            return False
    return True


def in_steps(subject: Subject, outputs: list[Array]) -> bool:
    """Whether the value moves in steps that are not those of single precision inside."""
    values = [directions.to_numpy(out) for out in outputs]
    if all(
        np.array_equal(value, value.astype(np.complex64 if _is_complex(value) else np.float32))
        for value in values
    ):
        return False
    found = subject.evaluate(moved(subject, subject, _STAIR, np.random.default_rng(0)))
    return all(bool(np.array_equal(directions.to_numpy(a), b)) for a, b in zip(found, values, strict=True))


def erratic(subject: Subject, outputs: list[Array]) -> bool:
    """Whether the value goes to and fro where the inputs are scaled, as Newton's steps do between roots."""
    size = max((directions.largest(directions.to_numpy(out)) for out in outputs), default=0.0)
    for h in _STRETCHES:
        try:
            up, down = (subject.evaluate(_scaled(subject, 1 + sign * h)) for sign in (1, -1))
        except Exception:  # the end of the domain
            return False
        for a, b, middle in zip(up, down, outputs, strict=True):
            bent = directions.to_numpy(a) + directions.to_numpy(b) - 2 * directions.to_numpy(middle)
            if float(np.abs(bent).max(initial=0.0)) > _BEND * h * size:
                return True
    return False


def _scaled(subject: Subject, factor: float) -> dict[str, Array]:
    return {
        name: directions.like(value, directions.to_numpy(value) * factor)
        for name, value in subject.variables.items()
    }


def moved(given: Subject, subject: Subject, share: float, generator: np.random.Generator) -> dict[str, Array]:
    """Return the leaves moved by a few times this share of their size."""
    result = {}
    for name, value in subject.variables.items():
        a = directions.to_numpy(value)
        largest = directions.largest(directions.to_numpy(given.variables[name]))
        signs = generator.choice([-1.0, 1.0], a.shape)
        result[name] = directions.like(value, a + _ROUNDINGS * share * (np.abs(a) + largest) * signs)
    return result


def _distance(a: Array, b: Array) -> float:
    one, other = directions.to_numpy(a), directions.to_numpy(b)
    return float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else 0.0


def _is_complex(a: np.ndarray[Any, Any]) -> bool:
    return bool(a.dtype.kind == "c")
