"""Where a function ends: outputs that are no numbers, and slopes that have no end.

The slope of a square root grows as its argument falls to zero. There no finite number is a derivative, and no
finite difference tells one claimed number from another: not to be resolved is then the answer.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gradcheck.examination import Examination
from gradcheck.locate import entry_direction
from gradcheck.numerical import roundoff
from gradcheck.numerical.line import Line, flatten, total
from gradcheck.probes import Pulled

ENDLESS = "the slope grows with every smaller step, to no end: no finite number is a derivative there"
# Steps, in units of an entry's scale: each a sixteenth of the last, the least above what is mostly rounding.
_LARGEST, _RATIO, _LEAST = 2.0**-8, 16.0, 0.6
_FEWEST = 4
# With each step the slope grows by more than this, the outputs' change falls by more than that (a logarithm's
# beside its end by a twelfth, that of a jump not at all), and the change is so many times what rounding makes
# of it.
_GROWS, _FALLS, _ABOVE = 1.04, 1.05, 1e2


def undefined_outputs(exam: Examination) -> str:
    """Return a note on outputs that are NaN, "" where there are none; infinite ones are masked scores."""
    if not exam.outside:
        return ""
    flat = flatten(exam.outputs)
    undefined = int((flat != flat).sum())
    return (
        f"{undefined} of {flat.shape[0]} outputs are NaN: nothing was verified of them" if undefined else ""
    )


def has_endless_slope(exam: Examination, pulled: Pulled, name: str, i: int) -> bool:
    """Whether on some side the difference quotients of one entry grow with every smaller step, to no end.

    A slope that does end, nearer than the least step, is steeper than the last quotient. A claim of that
    size, as an arc cosine's a rounding away from 1, gets the benefit of the doubt.
    """
    ladders = growing_slopes(exam, pulled, name, i)
    claimed = float(pulled.gradients[name].reshape(-1)[i].real) * _scale(exam, name, i)
    further = np.log(_steps(exam)[-1] / exam.subject.epsilon) / np.log(_RATIO)
    return bool(ladders) and not any(_may_end(quotients, claimed, further) for quotients in ladders)


def growing_slopes(exam: Examination, pulled: Pulled, name: str, i: int) -> list[list[float]]:
    """Return the difference quotients of one entry on the sides where they grow with every smaller step."""
    if exam.values[name].dtype.kind == "c":
        return []
    line = exam.line(entry_direction(exam, name, i, _scale(exam, name, i)), pulled)
    noise = _ABOVE * roundoff.floor(exam.base, pulled.flat, exam.subject.epsilon)
    steps = _steps(exam)
    sides = [_growing(line, [sign * step for step in steps], noise) for sign in (1.0, -1.0)]
    return [quotients for quotients in sides if quotients]


def _scale(exam: Examination, name: str, i: int) -> float:
    return float(np.broadcast_to(exam.scales[name], exam.values[name].shape).reshape(-1)[i])


def _steps(exam: Examination) -> list[float]:
    count = int(np.log(_LARGEST / exam.subject.epsilon**_LEAST) / np.log(_RATIO)) + 1
    return [_LARGEST / _RATIO**k for k in range(count)]


def _growing(line: Line, steps: list[float], noise: float) -> list[float]:
    """Return the quotients of these steps where they grow with each, else none."""
    base = line(0.0)
    changes = []
    for step in steps:
        value = line(step)
        if base is None or value is None:
            return []
        changes.append(total(line.weighted(value - base)))
    sizes = [abs(change) for change in changes]
    if len(sizes) < _FEWEST or min(sizes) <= noise:
        return []
    # a smooth change falls as the step does, a jump not at all
    growing = all(_FALLS <= large / small <= _RATIO / _GROWS for large, small in pairwise(sizes))
    return [change / step for change, step in zip(changes, steps, strict=True)] if growing else []


def _may_end(quotients: list[float], claimed: float, further: float) -> bool:
    """Whether a claim lies between the last quotient and that of a step as small as a rounding."""
    last, growth = quotients[-1], quotients[-1] / quotients[-2]
    return bool(0.5 <= claimed / last <= 2 * growth**further)
