"""Right, but only to the digits of a narrower number format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Fit, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scale import ratio_of
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# Rounding errors pass through sums and products; this is how far they may have grown.
_GROWTH = 64.0
# How many entries must be numbers of the narrow format before that is no accident.
_REPRESENTABLE = 3


def _bfloat16(x: Array) -> Array:
    """Round float32 to its upper 16 bits, to nearest even."""
    bits = np.ascontiguousarray(x.astype(np.float32)).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    result: Array = rounded.astype(np.uint32).view(np.float32).astype(np.float64).reshape(x.shape)
    return result


def _cast(dtype: type[np.floating]) -> Callable[[Array], Array]:
    def cast(x: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            result: Array = x.astype(dtype).astype(np.float64)
        return result

    return cast


# Format: unit roundoff, and rounding to it. A number of a narrow one is a number of the wider ones, too.
FORMATS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "float32": (2.0**-24, _cast(np.float32)),
    "float16": (2.0**-11, _cast(np.float16)),
    "bfloat16": (2.0**-8, _bfloat16),
}


def precision(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose rounding to a narrower format, a constant in one, or errors of that size."""
    if sample.misshapen or sample.claimed.dtype.kind == "c" or not sample.true.any():
        return
    error = np.abs(sample.error[sample.wrong])
    if error.size == 0 or not sample.finite:
        return
    largest = float(np.abs(sample.true).max())
    relative = float(error.max()) / largest
    yield from _representable(sample, relative)
    yield from _constant(sample)
    if scene.facts.narrow is not False:
        yield from _by_size(sample, relative)


def _representable(sample: Sample, relative: float) -> Iterator[Hypothesis]:
    said = sample.said[sample.told]
    for name, (unit, rounded) in reversed(FORMATS.items()):
        if relative > _GROWTH * unit or said.size < _REPRESENTABLE:
            continue
        if (np.abs(said) < 1e-30).any() or not np.array_equal(rounded(said), said):
            continue
        message = (
            f"{sample.name}'s gradient is right to {name} only (off by up to {number(relative)} of its "
            f"largest entry), and every claimed number is exactly a {name}: is it computed in {name}?"
        )
        yield Hypothesis("precision", message, CERTAIN, 0.5, {"format": name, "relative": relative})
        return


def _constant(sample: Sample) -> Iterator[Hypothesis]:
    found = ratio_of(sample.said, sample)
    if found is None or not 0 < abs(found[0] - 1) < 4e-7 or not sample.clear:
        return
    off = float(abs(found[0] - 1))
    message = (
        f"{sample.name}'s gradient is off by the same {number(off)} of itself everywhere: "
        "is a constant in it rounded to float32?"
    )
    fit = sample.fit_at(sample.said / found[0])
    yield Hypothesis("precision", message, fit, 2.0, {"format": "float32", "ratio": float(found[0].real)})


def _by_size(sample: Sample, relative: float) -> Iterator[Hypothesis]:
    unit = FORMATS["float32"][0]
    spread = float(sample.wrong.sum() / max(sample.told.sum(), 1))
    if not unit / _GROWTH < relative < _GROWTH * unit or spread < 0.4:
        return
    message = (
        f"{sample.name}'s gradient is off by up to {number(relative)} of its largest entry, without a "
        "pattern, which is the precision of float32: is something in between computed in float32, or is a "
        "small constant (an epsilon) left out?"
    )
    yield Hypothesis(
        "precision", message, Fit(1.0, True, 1.0), 7.5, {"format": "float32", "relative": relative}
    )
