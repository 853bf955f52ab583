"""One factor between claimed and true gradient: sign, scale, and the factor shared by a row or a column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Fit, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import axes_words, axis_words, number

# Below this distance from 1 a constant factor is a rounded constant, which is the business of `precision`.
_ROUNDED = 4e-7
# Factors of the slices that differ by less than this are nearly one factor.
_ALIKE = 1e-3
# Factors that agree to this are the same as those of a known array.
_KNOWN = 1e-6


def sign(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the gradient is the negative of the true one, or its complex conjugate."""
    if sample.misshapen:
        return
    fit = sample.fit_at(-sample.said)
    yield Hypothesis(
        "sign", f"{sample.name}'s gradient has the wrong sign everywhere.", fit, 1.0, {"ratio": -1.0}
    )
    if sample.claimed.dtype.kind == "c":
        yield _conjugate(sample)


def _conjugate(sample: Sample) -> Hypothesis:
    message = (
        f"{sample.name}'s gradient is the complex conjugate of the expected one: the imaginary part has the "
        "other sign. Expected is g with dL = Re(conj(g) dz), as PyTorch has it; g with dL = Re(g dz), as JAX "
        "has it, is its conjugate."
    )
    fit = sample.fit_at(sample.said.conj())
    return Hypothesis("sign", message, fit, 1.0, {"conjugate": True})


def scale(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the gradient is a constant times the true one, and say what the constant is."""
    if sample.misshapen:
        return
    found = ratio_of(sample.said, sample)
    if found is None:
        return
    ratio, uncertainty = found
    if ratio == 0 or abs(ratio - 1) < _ROUNDED or abs(ratio + 1) < _ROUNDED:  # the last is a wrong sign
        return
    fit, entries = sample.fit_at(sample.said / ratio), int(sample.told.sum())
    nameable = ratio.imag == 0 and fit.share > 0.9
    named = scene.name_factor(sample.name, ratio.real, uncertainty) if nameable else None
    if named is None and entries < 2:
        return
    message = f"{sample.name}'s gradient is {number(ratio)} times the true one{_everywhere(entries)}"
    message += named.after(number(ratio)) if named else ""
    message += f"; {named.question}" if named and named.question else "."
    cost = 2.0 + (0.3 * named.cost if named else 1.0)
    details = {"ratio": _plain(ratio), "uncertainty": uncertainty, "factor": named.text if named else None}
    yield Hypothesis("scale", message, fit, cost, details)


def _everywhere(entries: int) -> str:
    return f" in all {entries} entries" if entries > 1 else ""


def _plain(ratio: complex) -> Any:
    return [ratio.real, ratio.imag] if ratio.imag else ratio.real


def ratio_of(said: Array, sample: Sample, chosen: Array | None = None) -> tuple[complex, float] | None:
    """Return the least-squares ratio of claimed to expected values, and its relative uncertainty.

    ``said`` holds claimed values at the known entries, ``chosen`` masks those to be used.
    """
    use = np.isfinite(said) & (sample.noise > 0)
    if chosen is not None:
        use &= chosen
    weight = 1 / sample.noise[use]
    weighted, claimed = sample.true[use] * weight, said[use] * weight
    size = float(np.vdot(weighted, weighted).real)
    if size <= 1.0:
        return None
    ratio = complex(np.vdot(weighted, claimed)) / size
    if abs(ratio.imag) <= 1e-9 * abs(ratio):
        ratio = complex(ratio.real, 0.0)
    return ratio, 1.0 / float(np.sqrt(size))


def sliced_scale(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that each row, column or other slice is off by its own factor."""
    ndim = len(sample.shape)
    if sample.misshapen or ndim < 2 or not sample.clear:
        return
    for size in range(ndim - 1, 0, -1):
        for along in itertools.combinations(range(ndim), size):
            slices = _slices(sample, along)
            counts = np.bincount(slices[sample.told], minlength=1)
            if np.count_nonzero(counts) < 2:
                continue
            ratios = _ratios(sample, slices)
            if not np.isfinite(ratios).all() or not ratios.all() or np.abs(ratios - 1).max() < _ROUNDED:
                continue
            fit = sample.fit_at(sample.said / ratios[slices])
            known = _known_ratios(sample, scene, ratios, np.flatnonzero(counts)) if fit.exact else None
            if known is not None or (fit.exact and np.median(counts[counts > 0]) >= 3):
                yield _sliced(sample, scene, along, ratios, known, fit)


def _slices(sample: Sample, along: tuple[int, ...]) -> Array:
    """Return, for each known entry, the number of the slice along the axes that it lies in."""
    rest = [axis for axis in range(len(sample.shape)) if axis not in along]
    shape = [sample.shape[axis] for axis in rest]
    return np.asarray(np.ravel_multi_index(tuple(sample.index[axis] for axis in rest), tuple(shape)))


def _ratios(sample: Sample, slices: Array) -> Array:
    """Return the ratio in each slice, 1 where it has no entry to tell."""
    count = int(slices.max()) + 1
    size = np.bincount(slices, np.abs(sample.true) ** 2, count)
    product = sample.true.conj() * sample.said
    total = np.bincount(slices, product.real, count) + 0j
    if np.iscomplexobj(product):
        total += 1j * np.bincount(slices, product.imag, count)
    ratios = np.where(size > 0, total / np.where(size > 0, size, 1), 1.0)
    return ratios if np.iscomplexobj(product) else ratios.real


def _sliced(
    sample: Sample,
    scene: Scene,
    along: tuple[int, ...],
    ratios: Array,
    known: tuple[str, str] | None,
    fit: Fit,
) -> Hypothesis:
    ndim = len(sample.shape)
    word = axis_words(1 - along[0], 2) if ndim == 2 else f"slice along {axes_words(along)}"
    message = f"Each {word} of {sample.name}'s gradient is off by a factor of its own"
    details: dict[str, Any] = {"along": list(along)}
    if known is not None:
        text, question = known
        message += f", {text}: {question}"
        return Hypothesis("scale", message, fit, 3.0, {**details, "factor": text})
    low, high = float(np.abs(ratios).min()), float(np.abs(ratios).max())
    message += f" (from {number(low)} to {number(high)}), constant within the {word.split()[0]}"
    middle, spread = (low + high) / 2, (high - low) / (high + low)
    named = scene.name_factor(sample.name, middle, 2 * spread) if spread < _ALIKE else None
    message += f": nearly {named.text}." if named else "."
    return Hypothesis("scale", message, fit, 6.0, {**details, "ratios": np.ravel(ratios).tolist()[:100]})


def _known_ratios(sample: Sample, scene: Scene, ratios: Array, told: Array) -> tuple[str, str] | None:
    """Return what the factors are and what to ask, where they are made of a known array.

    ``told`` are the slices that have entries to tell their factor from.
    """
    flat = ratios.reshape(-1)[told]
    for name, array in scene.known_arrays(sample.name).items():
        given = np.asarray(array).reshape(-1)
        if given.dtype.kind not in "iufc" or given.size != ratios.size or not given.all():
            continue
        x = given[told].astype(flat.dtype if flat.dtype.kind == "c" else float)
        for text, factor in ((name, x), (f"1/{name}", 1 / x), (f"{name}²", x**2)):
            if np.allclose(flat, factor, rtol=_KNOWN, atol=0):
                missing = "missing" if text == f"1/{name}" else "too many"
                return text, f"is a multiplication by {name} {missing}?"
            common = _common(scene, flat / factor)
            if common is not None and np.ptp(np.abs(x)) > 0:
                return f"{text} times {common}", f"is one of them in the place of {name}?"
    return None


def _common(scene: Scene, quotients: Array) -> str | None:
    """Return the words for one number that all quotients are, None where they differ or it has none."""
    if quotients.dtype.kind == "c" or not np.allclose(quotients, quotients[0], rtol=_KNOWN, atol=0):
        return None
    named = scene.name_factor("", float(quotients[0]), _KNOWN)
    return f"{number(float(quotients[0]))}{named.after(number(float(quotients[0])))}" if named else None
