"""NaN or infinity where the true gradient is a number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Fit, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import count, entry, number

_USUAL = "Is there a division by zero, a log of zero, or an overflow in the backward pass?"


def non_finite(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """State which entries are not finite, and what the parameter is there."""
    bad = ~np.isfinite(sample.claimed)
    if sample.misshapen:
        bad = np.broadcast_to(bad.any(), sample.shape)
    bad = bad & sample.known
    if not bad.any():
        return
    wrong = np.zeros(sample.shape, dtype=bool)
    wrong[sample.known] = sample.wrong
    others = int((wrong & ~bad).sum())
    share = float(bad.sum() / max((wrong | bad).sum(), 1))
    first = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    message = (
        f"{sample.name}'s gradient is not finite ({_kinds(sample)}) in {count(int(bad.sum()), bad.size)}"
    )
    message += f", the first {entry(first)}" if first else ""
    message += f"; the true one is. {_cause(sample, bad)}"
    message += f" Of the finite entries, {others} are wrong as well." if others else ""
    details = {"count": int(bad.sum()), "first": list(first)}
    yield Hypothesis("non-finite", message, Fit(share, share == 1.0, share), 0.1, details)


def _kinds(sample: Sample) -> str:
    nan, inf = np.isnan(sample.claimed).any(), np.isinf(sample.claimed).any()
    return "NaN and infinity" if nan and inf else "NaN" if nan else "infinity"


def _cause(sample: Sample, bad: Array) -> str:
    value = sample.value
    if sample.misshapen or value is None or value.shape != bad.shape:
        return _USUAL
    there, elsewhere = value[bad], value[sample.known & ~bad]
    if not there.any():
        return f"It is so exactly where {sample.name} is 0. Is there a division by it, or a 0 · inf?"
    tied = np.unique(there).size == 1 and bad.sum() > 1 and not (elsewhere == there[0]).any()
    if tied:
        return f"It is so exactly where {sample.name} is {number(complex(there[0]))}."
    if elsewhere.size and np.abs(there).min() > np.abs(elsewhere).max() and np.abs(there).min() > 20:
        least = number(float(np.abs(there).min()))
        return f"It is so where |{sample.name}| is at least {least}. Does an exponential overflow?"
    if elsewhere.size and not (there < 0).sum() < there.size and (elsewhere >= 0).all():
        return f"It is so exactly where {sample.name} is negative. Is there a root, a log or a power of it?"
    return _USUAL
