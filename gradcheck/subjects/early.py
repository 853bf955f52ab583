"""What two calls of a hand-written loss and gradient tell before any number is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from gradcheck.diagnose.accumulation import differ, repetition
from gradcheck.diagnose.mutates import mutates_message
from gradcheck.diagnose.shape import shape_message
from gradcheck.report.records import Diagnosis
from gradcheck.subjects.matching import Matched

Array = NDArray[Any]


@dataclass(frozen=True)
class Observed:
    """``value`` and ``again``: the loss, twice at the base point, the gradient called in between.

    ``changed``: by parameter, who changed it. ``culprits``: arrays that the functions close over and change
    in place, so that the loss becomes another one.
    """

    value: Array
    again: Array
    first: Matched
    second: Matched
    changed: Mapping[str, str] = field(default_factory=dict)
    culprits: Mapping[str, Array] = field(default_factory=dict)


def early_findings(observed: Observed, variables: Mapping[str, Array]) -> dict[str, Diagnosis]:
    """Return the first thing wrong with each parameter's gradient, if any."""
    found: dict[str, Diagnosis] = {}
    for name, value in variables.items():
        diagnosis = next(_of(observed, name, value), None)
        if diagnosis is not None:
            found[name] = diagnosis
    return found


def _of(observed: Observed, name: str, value: Array) -> Iterator[Diagnosis]:
    if name in observed.changed:
        who = observed.changed[name]
        yield Diagnosis("mutates", mutates_message(name, who), 1.0, {"by": who})
    yield from _unsteady_loss(observed)
    claimed = observed.first.claims.get(name)
    if claimed is None:
        reason = observed.first.problems.get(name, "none was returned")
        message = f"No gradient was given for {name}: {reason}{'' if reason.endswith('?') else '.'}"
        yield Diagnosis("severed", message, 1.0, {"missing": True})
        return
    if claimed.shape != value.shape:
        message = shape_message(name, claimed.shape, value.shape)
        details = {"claimed": list(claimed.shape), "expected": list(value.shape)}
        yield Diagnosis("shape", message, 1.0, details)
    second = observed.second.claims.get(name)
    if second is not None:
        repeated = repetition(name, claimed, second)
        if repeated is not None:
            yield repeated.diagnosis()


def unsteady(observed: Observed) -> Diagnosis | None:
    """Return that the loss itself gives another value each time, where nothing that it uses tells why."""
    return None if observed.culprits else next(_unsteady_loss(observed), None)


def _unsteady_loss(observed: Observed) -> Iterator[Diagnosis]:
    """State that the loss itself is another one on the second call."""
    if not differ(observed.value, observed.again):
        return
    values = f"{float(observed.value):.8g} and {float(observed.again):.8g}"
    if observed.culprits:
        names = " and ".join(observed.culprits)
        message = (
            f"{names}, which the loss uses, is changed in place by the functions under test, so that the "
            f"loss differs from call to call ({values}): work on a copy."
        )
        yield Diagnosis("mutates", message, 1.0, {"arrays": list(observed.culprits)})
        return
    message = (
        f"The loss differs between two calls at the same parameters ({values}): is a mask or noise drawn "
        "anew, or something left over from the call before? Fix the seed inside the loss, or pass the "
        "mask in."
    )
    yield Diagnosis(
        "nondeterministic", message, 1.0, {"values": [float(observed.value), float(observed.again)]}
    )
