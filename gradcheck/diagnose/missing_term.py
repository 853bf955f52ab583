"""A term that is forgotten, added twice or of the wrong sign: the error is a multiple of something known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.bases import Basis, bases
from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number


def missing_term(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a term proportional to the parameter, its sign, another known array, or a known part."""
    if sample.misshapen or not sample.clear or sample.wrong.sum() < 2:
        return
    yield from _known_terms(sample, scene)
    for basis in bases(sample, scene):
        coefficient = _project(sample.error, basis.array)
        if coefficient is None:
            continue
        fit = sample.fit_at(sample.said - coefficient.real * basis.array)
        details = {"term": basis.words, "coefficient": -coefficient.real}
        message = _message(sample, scene, basis, coefficient.real)
        yield Hypothesis("missing-term", message, fit, basis.cost, details)
    yield from _replaced_by_constant(sample, scene)


def _project(error: Array, basis: Array) -> complex | None:
    """Return the coefficient of the error along a basis array; None where the basis says nothing."""
    if not np.isfinite(basis).all():
        return None
    size = float(np.vdot(basis, basis).real)
    return complex(np.vdot(basis, error)) / size if size > 0 else None


def _message(sample: Sample, scene: Scene, basis: Basis, coefficient: float) -> str:
    name, size = sample.name, number(abs(coefficient))
    named = scene.name_coefficient(coefficient)
    times = "" if size == "1" else f"{size} × "
    term = f"{times}{basis.words}{named.in_brackets(size) if named else ''}"
    if coefficient > 0:
        message = f"{name}'s gradient has the term {term} too many"
        question = "is a penalty in the gradient that is not in the loss, or a term added twice?"
        return f"{message}: {question}" if basis.own else f"{message}."
    message = f"The term {term} is missing from {name}'s gradient"
    if not basis.own:
        return f"{message}."
    penalty = _penalty(name, basis.words, abs(coefficient))
    if named is not None:
        return f"{message}: the gradient of a penalty {penalty}, or of a part of it."
    return (
        f"{message}: is that the gradient of a penalty {penalty}, or is {name} forgotten where the gradient "
        "repeats the forward pass?"
    )


def _penalty(name: str, words: str, k: float) -> str:
    """Return the regularisation term whose gradient is k times the words."""
    return f"{number(k / 2)}·sum({name}²)" if words == name else f"{number(k)}·sum(|{name}|)"


def _replaced_by_constant(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a term k·W that lost its W: k stands there instead."""
    value = sample.value_at
    if value is None or value.size < 3:
        return
    k = _project(sample.error, 1 - value)
    if k is None or k.real == 0:
        return
    named = scene.name_coefficient(k.real)
    size = number(k.real)
    message = (
        f"{sample.name}'s gradient has the term {size}{named.in_brackets(size) if named else ''} "
        f"where it should have {size} × {sample.name}: is {sample.name} forgotten as a factor?"
    )
    fit = sample.fit_at(sample.said - k.real * (1 - value))
    yield Hypothesis("missing-term", message, fit, 4.6, {"term": sample.name, "coefficient": -k.real})


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
