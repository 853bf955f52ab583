"""The relative errors that courses teach, with the thresholds that they teach.

gradcheck judges by uncertainty and tolerance (see ``gradcheck.judge``) and needs none of these. They are here
for readers who know a gradient check by its number: each is computed as its course defines it, beside the
reading that the course gives.

Sources: CS231n, "Gradient checks" in the notes "Neural Networks 3", and ``rel_error`` in its assignments;
deeplearning.ai, "Gradient checking" in "Improving Deep Neural Networks", week 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Where the value is above the limit, the reading applies; the first that does.
_CS231N = (
    (1e-2, "the gradient is probably wrong"),
    (1e-4, "should make you feel uncomfortable"),
    (1e-7, "okay for objectives with kinks; too high where there are none (tanh, softmax)"),
    (-1.0, "you should be happy"),
)
_DEEPLEARNING_AI = (
    (1e-3, "there may be a mistake somewhere: worry"),
    (1e-5, "look closely: some component may be off"),
    (1e-7, "maybe okay: take a careful look at the components"),
    (-1.0, "great"),
)
# The assignments' rel_error divides by the sum of sizes, at least this.
_FLOOR = 1e-8


@dataclass(frozen=True)
class TaughtError:
    """A course's number for one parameter, or for all together, and what the course says of that number."""

    course: str
    parameter: str
    value: float
    reading: str

    def __str__(self) -> str:
        return f"{self.course}, {self.parameter}: {self.value:.2e} ({self.reading})"


def elementwise_error(claimed: Array, numerical: Array) -> float:
    """Return max |a - n| / max(1e-8, |a| + |n|) over the entries, CS231n's ``rel_error``; 0 for no entry."""
    difference = np.abs(np.asarray(claimed) - np.asarray(numerical))
    size = np.maximum(_FLOOR, np.abs(claimed) + np.abs(numerical))
    return float((difference / size).max(initial=0.0))


def norm_error(claimed: Array, numerical: Array) -> float:
    """Return |a - n| / (|a| + |n|) of the whole vectors, deeplearning.ai's difference; 0 where both are 0."""
    difference = float(np.linalg.norm(np.ravel(claimed) - np.ravel(numerical)))
    size = float(np.linalg.norm(np.ravel(claimed)) + np.linalg.norm(np.ravel(numerical)))
    return difference / size if size > 0 else 0.0


def taught_errors(claimed: Mapping[str, Array], numerical: Mapping[str, Array]) -> tuple[TaughtError, ...]:
    """Return CS231n's number for each parameter, and deeplearning.ai's for all parameters in one vector.

    Entries whose numerical gradient is NaN (not examined) are left out; so is a parameter whose claimed
    gradient has another shape.
    """
    found, pairs = [], []
    for name, true in numerical.items():
        said = np.asarray(claimed.get(name))
        if name not in claimed or said.shape != np.shape(true):
            continue
        known = ~np.isnan(true)
        pairs.append((said[known], np.asarray(true)[known]))
        value = elementwise_error(*pairs[-1])
        found.append(TaughtError("CS231n", name, value, _reading(value, _CS231N)))
    if pairs:
        value = norm_error(
            *(np.concatenate([np.ravel(part) for part in side]) for side in zip(*pairs, strict=True))
        )
        found.append(
            TaughtError("deeplearning.ai", "all parameters", value, _reading(value, _DEEPLEARNING_AI))
        )
    return tuple(found)


def taught(
    loss: Callable[[Any], Any] | None,
    params: Any,
    *,
    gradient: Callable[[Any], Any] | None = None,
    value_and_gradient: Callable[[Any], Any] | None = None,
) -> tuple[TaughtError, ...]:
    """Return the courses' numbers for a hand-written gradient, against a numerical gradient of each entry.

    The arguments are those of ``gradcheck.verify``, and so are the errors raised.
    """
    from gradcheck.examination import Examination
    from gradcheck.locate import examine
    from gradcheck.subjects.handwritten import HandWritten

    subject = HandWritten(loss, params, gradient, value_and_gradient)
    exam = Examination(subject, seed=0)
    given = exam.pull()
    gradients = {name: given.gradients.get(name, np.zeros_like(value)) for name, value in exam.values.items()}
    pulled, numerical = replace(given, gradients=gradients), {}
    for name, value in exam.values.items():
        entries = examine(exam, pulled, name, np.arange(value.size), exact=True)
        numerical[name] = entries.expected.reshape(value.shape)
    return taught_errors({name: g for name, g in subject.claims.items() if g is not None}, numerical)


def _reading(value: float, table: tuple[tuple[float, str], ...]) -> str:
    if not np.isfinite(value):
        return "not a number"
    return next(words for limit, words in table if value > limit)
