"""A term that is forgotten, added twice or of the wrong sign: the error is a multiple of something known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.numbers import Named
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number


def missing_term(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a term proportional to the parameter, its sign, another known array, or a known part."""
    if sample.misshapen or not sample.clear or sample.wrong.sum() < 2:
        return
    yield from _known_terms(sample, scene)
    for words, basis, cost in _bases(sample, scene):
        coefficient = _project(sample.error, basis, sample)
        if coefficient is None:
            continue
        fit = sample.fit(sample.claimed - coefficient.real * basis)
        details = {"term": words, "coefficient": -coefficient.real}
        yield Hypothesis("missing-term", _message(sample, scene, words, coefficient.real), fit, cost, details)
    yield from _scaled_but_for_a_term(sample, scene)


def _bases(sample: Sample, scene: Scene) -> Iterator[tuple[str, Array, float]]:
    """Yield what the error may be proportional to: words, array, cost."""
    for name, array in scene.known_arrays(sample.name).items():
        basis = np.asarray(array)
        if basis.dtype.kind not in "fc":
            continue
        own = name == sample.name
        if basis.shape == sample.shape:
            yield name, basis, 4.0 if own else 5.0
        elif basis.ndim == 2 and basis.T.shape == sample.shape:
            yield f"{name}ᵀ", basis.T, 5.0
        if own:
            yield f"sign({name})", np.sign(basis), 4.2
            yield f"{name}³", basis**3, 5.0
    yield "1 (the same in every entry)", np.ones(sample.shape), 4.5


def _project(error: Array, basis: Array, sample: Sample) -> complex | None:
    """Return the coefficient of the error along a basis array; None where the basis says nothing."""
    known = sample.known
    if not np.isfinite(basis[known]).all():
        return None
    size = float(np.vdot(basis[known], basis[known]).real)
    return complex(np.vdot(basis[known], error[known])) / size if size > 0 else None


def _message(sample: Sample, scene: Scene, words: str, coefficient: float) -> str:
    name, named = sample.name, scene.name_coefficient(coefficient)
    term = f"{number(abs(coefficient))} × {words}"
    term += _strength(coefficient, named)
    if coefficient > 0:
        return (
            f"{name}'s gradient has the term {term} too many: "
            "is a penalty in the gradient that is not in the loss, or a term added twice?"
        )
    missing = f"The term {term} is missing from {name}'s gradient"
    return f"{missing}: {_penalty(name, words, coefficient)}" if words in _own_terms(name) else f"{missing}."


def _strength(coefficient: float, named: Named | None) -> str:
    """Say in brackets what a coefficient is, where that is known."""
    if named is None:
        return ""
    return f" ({named.where if named.formula == number(abs(coefficient)) else named.text})"


def _own_terms(name: str) -> tuple[str, str]:
    return name, f"sign({name})"


def _penalty(name: str, words: str, coefficient: float) -> str:
    """Say which regularisation term has that gradient."""
    k = abs(coefficient)
    if words == name:
        return f"the gradient of a penalty {number(k / 2)}·sum({name}²), or of a part of it."
    return f"the gradient of a penalty {number(k)}·sum(|{name}|), or of a part of it."


def _known_terms(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Parts of the true gradient that the caller knows: one per use of a shared parameter, say."""
    terms = scene.facts.terms.get(sample.name, {})
    for words, term in terms.items():
        basis = np.asarray(term)
        if basis.shape != sample.shape or not basis.any():
            continue
        for sign, text in ((1, "is missing from"), (-1, "is counted twice in"), (2, "has the wrong sign in")):
            message = f"The part {words} {text} {sample.name}'s gradient."
            details = {"term": words, "times": -sign}
            fit = sample.fit(sample.claimed + sign * basis)
            yield Hypothesis("missing-term", message, fit, 3.5 + 0.1 * abs(sign), details)


def _scaled_but_for_a_term(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose claimed = r true + k value: the data term has a factor, the regularisation has not."""
    value = sample.value
    if value is None or value.shape != sample.shape or sample.known.sum() < 3:
        return
    columns = np.stack([sample.expected[sample.known], value[sample.known]], axis=1)
    if np.linalg.matrix_rank(columns, tol=1e-8 * float(np.abs(columns).max(initial=1e-300))) < 2:
        return
    found = np.linalg.lstsq(columns, sample.claimed[sample.known], rcond=None)[0]
    ratio, k = complex(found[0]).real, complex(found[1]).real
    if ratio == 0 or abs(ratio - 1) < 1e-9:
        return
    named: Named | None = scene.name_factor(sample.name, ratio, 1e-8)
    if named is None:
        return
    strength = k / (1 - ratio)
    known = scene.name_coefficient(strength)
    if known is None and sample.known.sum() < 4:  # two unknowns fit three numbers too easily
        return
    term = f"{number(strength)} × {sample.name}" + _strength(strength, known)
    message = f"{sample.name}'s gradient is {number(ratio)} times the true one{named.after(number(ratio))}"
    message += f", except for the term {term}, which is right"
    message += f"; {named.question}" if named.question else "."
    fit = sample.fit((sample.claimed - k * value) / ratio)
    yield Hypothesis("scale", message, fit, 5.0, {"ratio": ratio, "coefficient": strength})


def lost_sum(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose an error that is constant, or a known profile, along an axis: a sum along it is forgotten.

    The backward passes of a mean, a softmax or a normalisation subtract such terms.
    """
    if sample.misshapen or not sample.clear or not sample.complete or sample.wrong.sum() < 4:
        return
    ndim = len(sample.shape)
    for size in range(1, ndim + 1):
        for axes in itertools.combinations(range(ndim), size):
            if np.prod([sample.shape[axis] for axis in axes]) < 3 or size == ndim > 1:
                continue
            yield from _profiles(sample, axes)


def _profiles(sample: Sample, axes: tuple[int, ...]) -> Iterator[Hypothesis]:
    along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
    mean = sample.error.mean(axis=axes, keepdims=True)
    if len(axes) < len(sample.shape):
        message = (
            f"{sample.name}'s gradient is off by a number that is the same along {along}: "
            "is a term that passes through a sum or a mean over it (a mean, a bias, a normaliser) forgotten?"
        )
        yield Hypothesis(
            "missing-term", message, sample.fit(sample.claimed - mean), 5.0, {"axes": list(axes)}
        )
    value = sample.value
    if value is None or value.shape != sample.shape or value.dtype.kind == "c":
        return
    centred = value - value.mean(axis=axes, keepdims=True)
    fitted = _along(sample.error, centred, axes)
    message = (
        f"{sample.name}'s gradient is off by a multiple of {sample.name} minus its mean along {along}: "
        "is the path through a variance forgotten?"
    )
    yield Hypothesis("missing-term", message, sample.fit(sample.claimed - fitted), 6.0, {"axes": list(axes)})
    both = sample.error.mean(axis=axes, keepdims=True) + fitted
    message = (
        f"{sample.name}'s gradient is off by a constant and a multiple of {sample.name} along {along}: "
        "are the paths through a mean and a variance forgotten?"
    )
    fit = sample.fit(sample.claimed - both)
    if np.prod([sample.shape[axis] for axis in axes]) > 3:
        yield Hypothesis("missing-term", message, fit, 6.5, {"axes": list(axes)})
    soft = np.exp(value - value.max(axis=axes, keepdims=True))
    message = (
        f"{sample.name}'s gradient is off by a multiple of softmax({sample.name}) along {along}: "
        "is the sum in the derivative of softmax (or of a log-sum-exp) forgotten?"
    )
    fit = sample.fit(sample.claimed - _along(sample.error, soft, axes))
    yield Hypothesis("missing-term", message, fit, 5.5, {"axes": list(axes)})


def _along(error: Array, profile: Array, axes: tuple[int, ...]) -> Array:
    """Return the least-squares multiple of a profile within each slice along the axes."""
    size = (profile**2).sum(axis=axes, keepdims=True)
    product = (profile * error).sum(axis=axes, keepdims=True)
    result: Array = profile * np.where(size > 0, product / np.where(size > 0, size, 1), 0)
    return result
