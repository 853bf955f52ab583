"""Where a function ends: outputs that are no numbers, and slopes that have no end.

The slope of a square root grows as its argument falls to zero. There no finite number is a derivative, and no
finite difference tells one claimed number from another: not to be resolved is then the answer.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gradcheck.examination import Examination, Pulled
from gradcheck.locate import entry_direction
from gradcheck.numerical import roundoff
from gradcheck.numerical.line import Line, flatten, total

ENDLESS = "the slope grows with every smaller step, to no end: no finite number is a derivative there"
# Steps, in units of an entry's scale: each a sixteenth of the last, the least above what is mostly rounding.
_LARGEST, _RATIO, _LEAST = 2.0**-8, 16.0, 0.6
_FEWEST = 4
# With each step the slope grows by more than this, the outputs' change falls by more than that, and the
# change is so many times what rounding makes of it.
_GROWS, _FALLS, _ABOVE = 1.04, 1.2, 1e2


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
    """Whether on some side the difference quotients of one entry grow with every smaller step, to no end."""
    value = exam.values[name]
    if value.dtype.kind == "c":
        return False
    scale = float(np.broadcast_to(exam.scales[name], value.shape).reshape(-1)[i])
    line = exam.line(entry_direction(exam, name, i, scale), pulled)
    epsilon = exam.subject.epsilon
    noise = _ABOVE * roundoff.floor(exam.base, pulled.flat, epsilon)
    count = int(np.log(_LARGEST / epsilon**_LEAST) / np.log(_RATIO)) + 1
    steps = [_LARGEST / _RATIO**k for k in range(count)]
    return any(_grows(line, [sign * step for step in steps], noise) for sign in (1.0, -1.0))


def _grows(line: Line, steps: list[float], noise: float) -> bool:
    base = line(0.0)
    changes = []
    for step in steps:
        value = line(step)
        if base is None or value is None:
            return False
        changes.append(abs(total(line.weighted(value - base))))
    if len(changes) < _FEWEST or min(changes) <= noise:
        return False
    # a smooth change falls as the step does, a jump not at all
    return all(_FALLS <= large / small <= _RATIO / _GROWS for large, small in pairwise(changes))
