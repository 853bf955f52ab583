"""One factor on the data's part of a gradient, while a penalty on the parameter is right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number


def beside_penalty(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose claimed = r true + k value: all but k / (1 - r) times the value has the factor r."""
    found = _ratio_and_rest(sample)
    if found is None:
        return
    ratio, k = found
    strength = k / (1 - ratio)
    known = scene.name_coefficient(strength)
    if known is None and sample.true.size < 4:  # two unknowns fit three numbers too easily
        return
    term = f"{number(strength)} × {sample.name}{known.in_brackets(number(strength)) if known else ''}"
    rest = f", except for the term {term}, which is right"
    assert sample.value_at is not None, "checked with the ratio"
    fit = sample.fit_at((sample.said - k * sample.value_at) / ratio)
    details = {"ratio": ratio, "coefficient": strength}
    if abs(ratio + 1) < 1e-9:
        message = f"{sample.name}'s gradient has the wrong sign{rest}."
        yield Hypothesis("sign", message, fit, 4.9, details)
        return
    named = scene.name_factor(sample.name, ratio, 1e-8)
    if named is not None:
        message = (
            f"{sample.name}'s gradient is {number(ratio)} times the true one{named.after(number(ratio))}"
        )
        message += f"{rest}; {named.question}" if named.question else f"{rest}."
        yield Hypothesis("scale", message, fit, 5.0, details)


def _ratio_and_rest(sample: Sample) -> tuple[float, float] | None:
    """Return r and k by least squares; None where the two cannot be told apart, or r is 1."""
    value = sample.value_at
    if sample.misshapen or value is None or value.size < 3:
        return None
    columns = np.stack([sample.true, value], axis=1)
    if not (np.isfinite(columns).all() and np.isfinite(sample.said).all()):
        return None
    largest = float(np.abs(columns).max(initial=1e-300))
    if not sample.clear or np.linalg.matrix_rank(columns, tol=1e-8 * largest) < 2:
        return None
    found = np.linalg.lstsq(columns, sample.said, rcond=None)[0]
    ratio, k = complex(found[0]), complex(found[1])
    if ratio == 0 or abs(ratio - 1) < 1e-9 or abs(ratio.imag) + abs(k.imag) > 1e-9 * abs(ratio):
        return None
    return ratio.real, k.real
