"""A factor that differs from entry to entry, but is a known array or a known function of the parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# So many known fractions at most are tried as factors inside a function.
_FRACTIONS = 4


def _sigmoid(x: Array) -> Array:
    result: Array = 0.5 * (1 + np.tanh(x / 2))
    return result


# What a backward pass multiplies by, as a function of the operation's input x.
_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "{x}": lambda x: x,
    "2·{x}": lambda x: 2 * x,
    "{x}²": lambda x: x**2,
    "|{x}|": np.abs,
    "sign({x})": np.sign,
    "1 - tanh({x})² (the derivative of tanh)": lambda x: 1 - np.tanh(x) ** 2,
    "1 - tanh({x})": lambda x: 1 - np.tanh(x),
    "σ({x})(1 - σ({x})) (the derivative of the sigmoid)": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "σ({x})": _sigmoid,
    "1 - σ({x})": lambda x: 1 - _sigmoid(x),
    "exp({x})": np.exp,
    "cos({x})": np.cos,
    "-sin({x})": lambda x: -np.sin(x),
    "√{x}": np.sqrt,
}
# A wrong factor in the place of the right one: {wrong, right}.
_MIXED: dict[str, Callable[[Array], Array]] = {
    "1 - {x}² instead of 1 - tanh({x})²: is the derivative of tanh taken at its input instead of its "
    "output?": lambda x: (1 - x**2) / (1 - np.tanh(x) ** 2),
    "{x}(1 - {x}) instead of σ({x})(1 - σ({x})): is the derivative of the sigmoid taken at its input instead "
    "of its output?": lambda x: x * (1 - x) / (_sigmoid(x) * (1 - _sigmoid(x))),
    "sin({x}) instead of cos({x})": lambda x: np.sin(x) / np.cos(x),
}


def elementwise(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the true gradient differs by a factor that varies with a known array."""
    if sample.misshapen or not sample.clear or sample.told.sum() < 3:
        return
    for name, array in scene.known_arrays(sample.name).items():
        given = np.asarray(array)
        if given.dtype.kind not in "fc" or not _fits_in(given.shape, sample.shape) or given.size < 3:
            continue
        x = sample.at(np.broadcast_to(given, sample.shape))
        yield from _of(sample, name, x, 4.0)
        if given.dtype.kind == "f":
            for words, scaled in _scaled(scene, name, x):
                yield from _of(sample, words, scaled, 4.6)


def _scaled(scene: Scene, name: str, x: Array) -> Iterator[tuple[str, Array]]:
    """Yield the array times and over each rate or temperature that is known, for functions of these."""
    fractions = [c for c, quantity in scene.numbers.items() if quantity.named and c != int(c)]
    for c in fractions[:_FRACTIONS]:
        yield f"({name}/{number(c)})", x / c
        yield f"({number(c)}·{name})", x * c


def _fits_in(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _of(sample: Sample, name: str, x: Array, cost: float) -> Iterator[Hypothesis]:
    """Try each function of one array; ``x`` and the claimed gradient at the known entries."""
    claimed = sample.said
    with np.errstate(all="ignore"):
        for text, function in _FUNCTIONS.items():
            words, factor = text.format(x=name), function(x)
            if not (factor < 0).any() and words.startswith("sign("):
                continue  # of numbers that are not negative the sign is a mask
            missing = f"The factor {words} is missing from {sample.name}'s gradient."
            yield _hypothesis(sample, missing, claimed * factor, words, cost)
            twice = f"{sample.name}'s gradient has a factor {words} too many."
            yield _hypothesis(sample, twice, claimed / factor, words, cost)
        for text, function in _MIXED.items():
            words = text.format(x=name)
            message = f"{sample.name}'s gradient has the factor {words}"
            message += "" if message.endswith("?") else "."
            yield _hypothesis(sample, message, claimed / function(x), words, cost)


def _hypothesis(sample: Sample, message: str, repaired: Array, factor: str, cost: float) -> Hypothesis:
    return Hypothesis("scale", message, sample.fit_at(repaired), cost, {"factor": factor})
