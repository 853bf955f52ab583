"""Functions whose derivatives are known to as many digits as one likes, at points where estimates go wrong.

Each is written twice: for NumPy, as users write it, and for mpmath, which differentiates it at the exact
value of the float. Where mpmath cannot (beside a kink) the derivative is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

Array = np.ndarray
Points = Callable[[np.random.Generator, int], Array]


@dataclass(frozen=True)
class Function:
    """``forward`` maps an array entry by entry; ``exact`` is the same for one mpmath number."""

    name: str
    kind: str
    forward: Callable[[Array], Array]
    exact: Callable[[Any], Any]
    points: Points
    slope: Callable[[Any], Any] | None = None

    def derivative(self, x: float) -> Any:
        """Return the derivative at the exact value of a float, to 50 digits.

        A central difference in 150 digits with a step of 1e-40 of the point is that exact, where mpmath's
        own ``diff`` takes a step that does not know how small the point is.
        """
        with mpmath.workdps(150):
            at = mpmath.mpf(x)
            step = abs(at) * mpmath.mpf(10) ** -40
            if self.slope:
                return +self.slope(at)
            return (self.exact(at + step) - self.exact(at - step)) / (2 * step)


def between(low: float, high: float) -> Points:
    return lambda generator, count: generator.uniform(low, high, count)


def logarithmic(low: float, high: float, offset: float = 0.0, sign: float = 1.0) -> Points:
    """Return points whose distances from ``offset`` have uniform logarithms."""
    return lambda generator, count: (
        offset + sign * np.exp(generator.uniform(np.log(low), np.log(high), count))
    )


def _horner(coefficients: Sequence[float]) -> Callable[[Any], Any]:
    def value(x: Any) -> Any:
        total = x * 0 + coefficients[0]
        for c in coefficients[1:]:
            total = total * x + c
        return total

    return value


def _single(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: function(x.astype(np.float32)).astype(np.float64)


def _coarsened(function: Callable[[Array], Array], grain: float) -> Callable[[Array], Array]:
    """Return the function as a bisection with this tolerance gives it: on a grid."""
    return lambda x: np.rint(function(x) / grain) * grain


mp = mpmath
FUNCTIONS: tuple[Function, ...] = (
    # smooth
    Function("exp", "smooth", np.exp, mp.exp, between(-3, 3)),
    Function("sin", "smooth", np.sin, mp.sin, between(-6, 6)),
    Function("tanh", "smooth", np.tanh, mp.tanh, between(-4, 4)),
    Function(
        "exp(sin(x^2))",
        "smooth",
        lambda x: np.exp(np.sin(x**2)),
        lambda x: mp.exp(mp.sin(x**2)),
        between(-2, 2),
    ),
    Function(
        "polynomial", "smooth", _horner([3, -2, 0.5, 1, -7]), _horner([3, -2, 0.5, 1, -7]), between(-2, 2)
    ),
    Function("x^7", "smooth", lambda x: x**7, lambda x: x**7, between(-2, 2)),
    Function(
        "1/(1+25x^2)", "smooth", lambda x: 1 / (1 + 25 * x**2), lambda x: 1 / (1 + 25 * x**2), between(-1, 1)
    ),
    Function(
        "softplus",
        "smooth",
        lambda x: np.logaddexp(0, x),
        lambda x: mp.log1p(mp.exp(x)),
        between(-30, 30),
    ),
    Function(
        "sigmoid", "smooth", lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + mp.exp(-x)), between(-30, 30)
    ),
    # large and tiny
    Function("exp, large", "scale", np.exp, mp.exp, between(50, 600)),
    Function("exp, tiny", "scale", np.exp, mp.exp, between(-600, -50)),
    Function("x^2, large", "scale", lambda x: x**2, lambda x: x**2, logarithmic(1e10, 1e140)),
    Function("x^2, tiny", "scale", lambda x: x**2, lambda x: x**2, logarithmic(1e-120, 1e-10)),
    Function("log, any", "scale", np.log, mp.log, logarithmic(1e-200, 1e200)),
    Function("sqrt, any", "scale", np.sqrt, mp.sqrt, logarithmic(1e-200, 1e200)),
    Function("tanh, tiny", "scale", np.tanh, mp.tanh, logarithmic(1e-100, 1e-3)),
    Function("1/x, any", "scale", lambda x: 1 / x, lambda x: 1 / x, logarithmic(1e-100, 1e100)),
    Function("1e6 + sin", "scale", lambda x: 1e6 + np.sin(x), lambda x: 10**6 + mp.sin(x), between(-3, 3)),
    Function("linear plus 1e12", "scale", lambda x: 1e12 + x, lambda x: 10**12 + x, between(-3, 3)),
    # near the end of the domain: the point lies beside it, the directions are of the point's own size
    Function("arcsin near 1", "end", np.arcsin, mp.asin, logarithmic(1e-10, 1e-2, 1, -1)),
    Function("arccos near -1", "end", np.arccos, mp.acos, logarithmic(1e-10, 1e-2, -1, 1)),
    Function("arctanh near 1", "end", np.arctanh, mp.atanh, logarithmic(1e-10, 1e-2, 1, -1)),
    Function(
        "log near 1", "end", lambda x: np.log(x - 1), lambda x: mp.log(x - 1), logarithmic(1e-9, 1e-2, 1)
    ),
    Function(
        "sqrt near 1", "end", lambda x: np.sqrt(x - 1), lambda x: mp.sqrt(x - 1), logarithmic(1e-9, 1e-2, 1)
    ),
    Function(
        "t^1.5 near 1", "end", lambda x: (x - 1) ** 1.5, lambda x: (x - 1) ** 1.5, logarithmic(1e-10, 1e-2, 1)
    ),
    Function(
        "t^2.5 near 1", "end", lambda x: (x - 1) ** 2.5, lambda x: (x - 1) ** 2.5, logarithmic(1e-8, 1e-2, 1)
    ),
    Function(
        "t^1.5 at 1",
        "end",
        lambda x: np.exp(x) + (x - 1) ** 1.5,
        lambda x: mp.exp(x),
        lambda generator, count: np.ones(count),
        slope=mp.exp,
    ),
    Function(
        "t^1.1 at 1",
        "end",
        lambda x: np.exp(x) + (x - 1) ** 1.1,
        lambda x: mp.exp(x),
        lambda generator, count: np.ones(count),
        slope=mp.exp,
    ),
    Function(
        "t^1.8 at 1",
        "end",
        lambda x: np.exp(x) + (x - 1) ** 1.8,
        lambda x: mp.exp(x),
        lambda generator, count: np.ones(count),
        slope=mp.exp,
    ),
    Function(
        "t^2.5 at 1",
        "end",
        lambda x: np.exp(x) + (x - 1) ** 2.5,
        lambda x: mp.exp(x),
        lambda generator, count: np.ones(count),
        slope=mp.exp,
    ),
    Function(
        "t^2 log t at 1",
        "end",
        lambda x: (
            np.exp(x) + np.where(x > 1, (x - 1) ** 2 * np.log(np.maximum(x - 1, 1e-300)), np.sqrt(x - 1))
        ),
        lambda x: mp.exp(x),
        lambda generator, count: np.ones(count),
        slope=mp.exp,
    ),
    Function(
        "smooth, ending at 1",
        "end",
        lambda x: np.exp(x) * np.sqrt(x - 1) ** 2,
        lambda x: mp.exp(x) * (x - 1),
        lambda generator, count: np.ones(count),
    ),
    # cancellation: the outputs are noisier than their size says
    Function(
        "(1-cos x)/x^2",
        "cancellation",
        lambda x: (1 - np.cos(x)) / x**2,
        lambda x: (1 - mp.cos(x)) / x**2,
        logarithmic(1e-4, 1e-1),
    ),
    Function("exp(x)-1", "cancellation", lambda x: np.exp(x) - 1, mp.expm1, logarithmic(1e-9, 1e-2)),
    Function("log(1+x)", "cancellation", lambda x: np.log(1 + x), mp.log1p, logarithmic(1e-9, 1e-2)),
    Function(
        "x-sin x", "cancellation", lambda x: x - np.sin(x), lambda x: x - mp.sin(x), logarithmic(1e-4, 1e-1)
    ),
    Function(
        "(x-1)^7 expanded",
        "cancellation",
        _horner([1, -7, 21, -35, 35, -21, 7, -1]),
        _horner([1, -7, 21, -35, 35, -21, 7, -1]),
        between(0.9, 1.2),
    ),
    Function("(1e4 + x) - 1e4", "cancellation", lambda x: (1e4 + np.sin(x)) - 1e4, mp.sin, between(-3, 3)),
    Function("(1e8 + x) - 1e8", "cancellation", lambda x: (1e8 + np.sin(x)) - 1e8, mp.sin, between(-3, 3)),
    # oscillating
    Function("sin 50x", "oscillating", lambda x: np.sin(50 * x), lambda x: mp.sin(50 * x), between(-3, 3)),
    Function(
        "sin 1000x", "oscillating", lambda x: np.sin(1000 * x), lambda x: mp.sin(1000 * x), between(-3, 3)
    ),
    Function(
        "sin 1e5x", "oscillating", lambda x: np.sin(1e5 * x), lambda x: mp.sin(10**5 * x), between(-3, 3)
    ),
    Function(
        "sin 1/x", "oscillating", lambda x: np.sin(1 / x), lambda x: mp.sin(1 / x), logarithmic(1e-3, 1)
    ),
    Function(
        "x + 1e-6 sin 1e4x",
        "oscillating",
        lambda x: x + 1e-6 * np.sin(1e4 * x),
        lambda x: x + mp.mpf(1e-6) * mp.sin(10**4 * x),
        between(-3, 3),
    ),
    # kinks nearby
    Function(
        "|x-1|",
        "kink nearby",
        lambda x: np.abs(x - 1),
        abs,
        logarithmic(1e-10, 1e-2, 1),
        slope=lambda x: mp.sign(x - 1),
    ),
    Function(
        "relu(x-1) + exp",
        "kink nearby",
        lambda x: np.maximum(x - 1, 0) + np.exp(x),
        abs,
        logarithmic(1e-10, 1e-2, 1, -1),
        slope=mp.exp,
    ),
    Function(
        "relu(1-x)^2",
        "kink nearby",
        lambda x: np.maximum(1 - x, 0) ** 2 + x,
        abs,
        logarithmic(1e-8, 1e-1, 1),
        slope=lambda x: 1 + 0 * x,
    ),
    Function(
        "huber near its bend",
        "kink nearby",
        lambda x: np.where(np.abs(x) <= 1, 0.5 * x**2, np.abs(x) - 0.5),
        abs,
        logarithmic(1e-9, 1e-2, 1, -1),
        slope=lambda x: x,
    ),
    Function(
        "a slight kink nearby",
        "kink nearby",
        lambda x: np.sin(x) + 1e-7 * np.abs(x - 1),
        abs,
        logarithmic(1e-6, 1e-2, 1),
        slope=lambda x: mp.cos(x) + mp.mpf(1e-7),
    ),
    # rounded to a narrower format on the way, or known to a tolerance only
    Function("exp in float32", "noisy", _single(np.exp), mp.exp, between(-3, 3)),
    Function("sin in float32", "noisy", _single(np.sin), mp.sin, between(-6, 6)),
    Function(
        "exp(x) rounded to float32",
        "noisy",
        lambda x: np.exp(x).astype(np.float32).astype(np.float64),
        mp.exp,
        between(-3, 3),
    ),
    Function("sqrt to 1e-10", "noisy", _coarsened(np.sqrt, 1e-10), mp.sqrt, between(0.5, 3)),
)
