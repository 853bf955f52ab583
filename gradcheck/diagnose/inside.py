"""What is wrong inside a part of a gradient that is wrong only there."""

from __future__ import annotations

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scale import ratio_of
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

IDLE = "not zero, and should be"


def inside(sample: Sample, scene: Scene, chosen: Array) -> str:
    """Return "zero", "of the wrong sign", "1/2 of the true one", or "" where no single words fit.

    ``chosen`` masks the known entries that make up the part.
    """
    said, true, noise = sample.said[chosen], sample.true[chosen], sample.noise[chosen]
    if not said.any():
        return "zero"
    if (np.abs(true) <= noise).all():
        return IDLE
    if (np.abs(said + true) <= noise).all():
        return "of the wrong sign"
    of_itself = _penalty(sample, chosen)
    if of_itself:
        return of_itself
    found = ratio_of(sample.said, sample, chosen)
    if found is None or found[0].imag or found[0] == 0:
        return ""
    ratio, uncertainty = found[0].real, found[1]
    if (np.abs(said / ratio - true) > noise).any():
        return ""
    named = scene.name_factor(sample.name, ratio, uncertainty)
    if named is None and said.size < 2:
        return ""
    return f"{number(ratio)} times the true one{named.after(number(ratio)) if named else ''}"


def _penalty(sample: Sample, chosen: Array) -> str:
    """Return "the true one plus 0.1 × W" where that is all that is wrong; "" where it is not."""
    if sample.value_at is None or int(chosen.sum()) < 3:
        return ""
    value, error = sample.value_at[chosen], sample.error[chosen]
    size = float(np.vdot(value, value).real)
    if size == 0 or np.iscomplexobj(value) or np.iscomplexobj(error):
        return ""
    factor = float(np.vdot(value, error)) / size
    if (np.abs(error - factor * value) > sample.noise[chosen]).any():
        return ""
    sign = "plus" if factor > 0 else "minus"
    return f"the true one {sign} {number(abs(factor))} × {sample.name}"
