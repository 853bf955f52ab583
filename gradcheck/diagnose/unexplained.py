"""No mistake that we know explains the error: show its shape, and guess nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.words import axis_words, listing, number
from gradcheck.report.records import Diagnosis

# A gradient whose errors are all below this share of its largest entry may be meant to be approximate.
_APPROXIMATE = 1e-3
# Error relative to the largest entry of the gradient, in decades.
_BINS = (0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, np.inf)
_LABELS = (
    "below 1e-8",
    "from 1e-8 to 1e-6",
    "from 1e-6 to 1e-4",
    "from 1e-4 to 0.01",
    "from 0.01 to 1",
    "above 1",
)


def unexplained(sample: Sample, nearest: Hypothesis | None) -> Diagnosis:
    """Describe an error: how many entries, how large, in which slices, and what is right about it."""
    if not sample.true.any():
        return _no_effect(sample)
    wrong, known = int(sample.wrong.sum()), sample.true.size
    details = _details(sample)
    looked = ("entry" if known == 1 else "entries") + ("" if sample.complete else " looked at")
    parts = [
        f"No known mistake explains {sample.name}'s gradient: {wrong} of {known} {looked} are off",
        f"errors relative to the largest entry: {_histogram_words(details['histogram'])}",
    ]
    if known > 1:
        parts.append(
            f"cosine with the true gradient {details['cosine']:.3g}, length {number(details['length'])} of it"
        )
    slices = _slices(sample)
    parts += [slices] if slices else []
    if _total_right(sample):
        parts.append("the sum over all entries is right: contributions may have gone to the wrong places")
    small = float(np.abs(sample.error).max()) / float(np.abs(sample.true).max())
    if sample.clear and small < _APPROXIMATE:
        details["approximate"] = True
        largest = float(np.abs(sample.true).max())
        parts.append(
            f"all entries agree to {-math.log10(small):.1f} digits of the largest or more: if it is "
            "approximate by design (an adjoint equation, an iterative solver, a log(p + 1e-8) of which the "
            "gradient leaves out the 1e-8), give "
            f"rtol={_rounded_up(small)}, atol={_rounded_up(small * largest)}"
        )
    if nearest is not None and nearest.fit.share >= 0.9:
        details["nearest"] = {"kind": nearest.kind, "fit": nearest.fit.share}
        parts.append(f"nearest: {nearest.kind}, which leaves {number(1 - nearest.fit.share)} of the error")
    return Diagnosis("unexplained", "; ".join(parts) + ".", 0.0, details)


def _rounded_up(error: float) -> str:
    """Return the next power of ten above an error."""
    return f"1e{math.floor(math.log10(error)) + 1}"


def _no_effect(sample: Sample) -> Diagnosis:
    largest = number(float(np.abs(sample.said).max()))
    message = (
        f"The loss does not change with {sample.name} here: its true gradient is zero, the claimed one up to "
        f"{largest}. Does the loss use {sample.name} at all, and from its argument?"
    )
    return Diagnosis("unexplained", message, 0.0, {"expected_zero": True})


def _details(sample: Sample) -> dict[str, Any]:
    said, true = sample.said, sample.true
    largest = float(np.abs(true).max())
    relative = np.abs(sample.error) / largest
    counts = np.histogram(relative[np.isfinite(relative)], bins=np.array(_BINS))[0]
    # Each by its own largest entry: squares of small and of large numbers leave the format.
    most = float(np.abs(said).max())
    unit_said, unit_true = said / (most or 1.0), true / largest
    lengths = float(np.linalg.norm(unit_said)), float(np.linalg.norm(unit_true))
    product = float(np.vdot(unit_true, unit_said).real)
    return {
        "histogram": dict(zip(_LABELS, (int(n) for n in counts), strict=True)),
        "cosine": product / (lengths[0] * lengths[1]) if lengths[0] else 0.0,
        "length": lengths[0] / lengths[1] * (most / largest),
        "wrong": int(sample.wrong.sum()),
        "known": true.size,
    }


def _histogram_words(histogram: dict[str, int]) -> str:
    return listing(f"{n} {label}" for label, n in reversed(histogram.items()) if n)


def _slices(sample: Sample) -> str:
    """Name the slices that hold most of the error, where a few do."""
    found = []
    for axis in range(len(sample.shape)):
        if len(sample.shape) < 2 or sample.shape[axis] < 3:
            continue
        energy = _energy(sample, axis)
        if energy.sum() == 0:
            continue
        share = energy / energy.sum()
        top = int(np.argmax(share))
        if share[top] > max(0.5, 2.0 / share.size):
            word = axis_words(axis, len(sample.shape))
            found.append(f"{word} {top} holds {100 * share[top]:.0f}% of the squared error")
    return " and ".join(found)


def _energy(sample: Sample, axis: int) -> Array:
    return np.bincount(sample.index[axis], np.abs(sample.error) ** 2, sample.shape[axis])


def _total_right(sample: Sample) -> bool:
    """Whether the errors cancel in the sum, and the sum is not zero anyway."""
    if not sample.complete or sample.wrong.sum() < 2 or not sample.clear:
        return False
    noise = float(sample.noise.sum())
    total = abs(sample.true.sum())
    return bool(abs(sample.error.sum()) <= noise and total > 1e3 * noise)
