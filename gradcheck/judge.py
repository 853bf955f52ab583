"""From a discrepancy and its uncertainty to a verdict.

Pass: d + u <= tau. Fail: d - u > tau. Otherwise the evidence does not decide. The tolerance tau belongs to
the number format in which the gradient was claimed, not to the size of the tensor: what a larger tensor
makes harder is accounted for by u.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from gradcheck.report.records import Verdict


@dataclass(frozen=True)
class Tolerance:
    """What a correct gradient may differ by.

    ``relative`` applies to the entry; ``of_largest`` to the largest entry of the parameter's gradient (an
    entry that is a small difference of large terms keeps the rounding of those); ``absolute`` to all, and
    ``of_nothing`` to entries that change nothing at all.
    """

    relative: float
    of_largest: float
    absolute: float = 0.0
    of_nothing: float = 0.0

    def of(self, expected: float, largest: float) -> float:
        """Return the tolerance of one entry."""
        nothing = self.of_nothing if expected == 0 else 0.0
        return self.relative * abs(expected) + self.of_largest * largest + self.absolute + nothing


# float64: an error in the mathematics is never as small as 1e-6 of the entry; a constant or an intermediate
#   in single precision is (6e-8), and is reported as imprecise instead.
# float32 and narrower: about the square root of the spacing, which is what a backward pass that sums a few
#   thousand rounded products keeps.
TOLERANCES = {
    "longdouble": Tolerance(1e-8, 1e-12),
    "float64": Tolerance(1e-6, 1e-10),
    "complex128": Tolerance(1e-6, 1e-10),
    "float32": Tolerance(5e-3, 1e-3),
    "complex64": Tolerance(5e-3, 1e-3),
    "float16": Tolerance(5e-2, 2e-2),
    "bfloat16": Tolerance(1e-1, 5e-2),
}
SINGLE = 2.0**-23


@functools.cache
def tolerance(dtype: str, rtol: float | None = None, atol: float | None = None) -> Tolerance:
    """Return the table's tolerance for a dtype, with what the user asked for in its place."""
    default = TOLERANCES.get(dtype, TOLERANCES["float64"])
    return Tolerance(
        default.relative if rtol is None else rtol,
        default.of_largest if atol is None and rtol is None else 0.0,
        0.0 if atol is None else atol,
    )


@functools.cache
def coarser(*dtypes: str) -> str:
    """Return the dtype of the widest tolerance."""
    return max(dtypes, key=lambda dtype: tolerance(dtype).relative)


def format_of(epsilon: float) -> str:
    """Return the format in which numbers of a spacing are judged: single precision and coarser, or double."""
    return "float32" if epsilon >= SINGLE else "float64"


def rounded_again(epsilon: float) -> float:
    """Return by what share two roads to one gradient may part, for the spacing of the numbers on them."""
    return max(2e3 * epsilon, 0.3 * float(epsilon**0.5))


def verdict(discrepancy: float, uncertainty: float, tau: float) -> Verdict:
    """Judge one number. All three in the unit of the gradient."""
    if discrepancy + uncertainty <= tau:
        return Verdict.PASS
    if discrepancy - uncertainty > tau:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return fail before inconclusive before pass; pass where there is nothing."""
    for candidate in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if candidate in verdicts:
            return candidate
    return Verdict.PASS


def like_rounding(discrepancy: np.ndarray, uncertainty: np.ndarray, largest: float) -> bool:
    """Whether errors look like a narrower number format: all tiny, and most entries have one.

    A single wrong entry of size 1e-6 beside entries of size 1 is not that: the others are exact.
    """
    if discrepancy.size == 0 or largest == 0:
        return False
    spread = float(np.mean(discrepancy > uncertainty)) >= 0.4
    return spread and float(discrepancy.max()) <= 4 * SINGLE * largest


def digits(discrepancy: float, scale: float) -> float:
    """Return the decimal digits to which two numbers of this scale agree, at most 17."""
    if discrepancy == 0:
        return 17.0
    if not scale or not math.isfinite(discrepancy):
        return 0.0
    return max(0.0, min(17.0, -math.log10(discrepancy / scale)))
