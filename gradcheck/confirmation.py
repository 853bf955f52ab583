"""A false alarm costs a user: before an entry is called wrong, it is looked at in other ways.

Other steps: the entry is moved by another amount. Points nearby: where the derivative jumps between nearby
points, the point lies on a kink that a straight line through it may not show (relu(x) - relu(-x) at 0 is
smooth along x, yet its gradient by autograd is 0). There, anything between the nearby derivatives is a
subgradient in the sense of Clarke and no fault.
"""

from __future__ import annotations

import numpy as np

from gradcheck.examination import Examination
from gradcheck.judge import Tolerance
from gradcheck.locate import Entries, entry_direction, entry_probe
from gradcheck.numerical import directions, stairs
from gradcheck.numerical.crossings import cross
from gradcheck.probes import Pulled
from gradcheck.subjects.base import Array

# Of several wrong entries, this many of the worst are confirmed.
_CONFIRMED = 4
# Points nearby at which the derivative is asked for: a few tell whether it jumps. Where it does, more are
# needed to meet its extremes: of ten tied entries that are sorted, each may come last.
_NEARBY_POINTS, _MOST_POINTS = 6, 48
_NEARBY = 1e-4
_STRETCHES = 64
# A slope that falls steeply, as a square root's does near zero, seems to jump from afar, not from as near as
# this power of epsilon (1e-8 in float64).
_NEARER = 0.5
# Much smaller steps: this power of epsilon (5e-7 in float64) of the first.
_CLOSER = 0.4
# Entries beyond this are moved by steps in which something may turn.
_LARGE = 1e3
# A discrepancy that differs by no more than this share is the same.
_MUCH = 0.1
# Derivatives of a smooth function change by about the shift; by more than this share they jump.
_JUMP = 0.02
# Beside a claimed value so many times larger, derivatives nearby differ by no more than the shift makes them:
# about an extremum, where the true one is zero, they seem to jump. More points would not meet the claim.
_HOPELESS = 1e3


def confirm(
    exam: Examination,
    pulled: Pulled,
    name: str,
    entries: Entries,
    wrong: np.ndarray,
    tol: Tolerance,
    largest: float,
) -> str:
    """Look again at the worst of the wrong entries; ``largest`` is the leaf's largest that counts.

    Returns "wrong" where the discrepancy stands, "kink" where each claimed value is a subgradient, "turns"
    where much smaller steps confirm each, and "unclear" where other steps contradict the first.
    """
    order = wrong[np.argsort(-entries.discrepancy[wrong])][:_CONFIRMED]
    outcomes = []
    for row in order:
        outcomes.append(_look_again(exam, pulled, name, entries, int(row), tol, largest))
        if outcomes[-1] == "wrong":
            return "wrong"
    return next((outcome for outcome in ("unclear", "turns") if outcome in outcomes), "kink")


def _look_again(
    exam: Examination,
    pulled: Pulled,
    name: str,
    entries: Entries,
    row: int,
    tol: Tolerance,
    largest: float,
) -> str:
    i = int(entries.flat[row])
    value = exam.values[name]
    scale = float(np.broadcast_to(exam.scales[name], value.shape).reshape(-1)[i])
    apart = entries.claimed[row] - entries.expected[row]
    unit = 1.0j if abs(apart.imag) > abs(apart.real) else 1.0
    again = entry_probe(exam, pulled, name, i, 0.37 * scale, unit)
    tau = tol.of(float(abs(entries.expected[row])), largest) * 0.37 * scale
    if again.discrepancy - again.uncertainty <= tau:
        return "unclear"
    closer = _much_closer(exam, pulled, name, entries, row, scale)
    if closer:
        return closer
    claimed, expected = entries.claimed[row], entries.expected[row]
    return "kink" if _jumps_around(exam, pulled, name, i, scale, claimed, expected) else "wrong"


def _much_closer(
    exam: Examination, pulled: Pulled, name: str, entries: Entries, row: int, scale: float
) -> str:
    """Return "turns" or "unclear" where much smaller steps contradict the first, "" where they do not.

    Steps are as large as the entry: the sine of a large number turns many times within one of them.
    """
    if entries.kink[row] or np.iscomplexobj(entries.expected):
        return ""
    i, step = int(entries.flat[row]), scale * float(exam.subject.epsilon**_CLOSER)
    claimed, expected = entries.claimed[row], entries.expected[row]
    if scale > _LARGE and stairs.moves_as_far_within(
        exam.line(entry_direction(exam, name, i, scale), pulled)
    ):
        return "unclear"
    direction = entry_direction(exam, name, i, step)
    if _stands(exam.residual(pulled, direction), (claimed - expected) * step):
        return ""
    near = exam.along(pulled, direction, climb=False)
    value, bar = near.estimate.value / step, near.uncertainty / step
    if not near.estimate.resolved or abs(value - expected) <= bar + entries.uncertainty[row]:
        return ""
    confirmed = abs(value - claimed) <= bar and abs(value) > 10 * bar
    return "turns" if confirmed else "unclear"


def _stands(residual: tuple[float, float], apart: float) -> bool:
    """Whether two evaluations give the discrepancy as it was found, or are too few to say another one."""
    found, noise = residual
    return noise > _MUCH * abs(apart) or abs(found - apart) <= _MUCH * abs(apart)


def _jumps_around(
    exam: Examination,
    pulled: Pulled,
    name: str,
    i: int,
    scale: float,
    claimed: complex,
    expected: complex,
) -> bool:
    """Whether derivatives nearby jump, from each other or from the one here, and enclose the claim."""
    if exam.values[name].dtype.kind == "c":
        return False
    direction = entry_direction(exam, name, i, scale)
    return all(
        _jumps_within(exam, pulled, direction, distance, scale, claimed.real, expected.real)
        for distance in (_NEARBY, min(_NEARBY, exam.subject.epsilon**_NEARER))
    )


def _jumps_within(
    exam: Examination,
    pulled: Pulled,
    direction: dict[str, Array],
    distance: float,
    scale: float,
    claimed: float,
    expected: float,
) -> bool:
    """See ``_jumps_around``; of each two points one lies opposite the other, so that both sides are seen.

    At the first two, entries grow or fall with their index: there lies what a stable order makes of ties.
    """
    found: list[float] = []
    offset: dict[str, Array] = {}
    for count in range(1, _MOST_POINTS + 1):
        if count % 2:
            shift = exam.ramp() if count == 1 else _random_shift(exam)
            offset = {key: v * distance for key, v in shift.items()}
        else:
            offset = {key: -v for key, v in offset.items()}
        estimate = exam.elsewhere(pulled, direction, offset)
        if estimate.resolved:
            found += [estimate.lower / scale, estimate.upper / scale]
        if count == _NEARBY_POINTS and _jump(found) and not _enclose(found, claimed):
            found += _passing_by(exam, pulled, direction, distance, scale)
        settled = not _jump([*found, expected]) or _enclose(found, claimed) or not _near(found, claimed)
        if count >= _NEARBY_POINTS and settled:
            break
    return _jump([*found, expected]) and _enclose(found, claimed)


def _passing_by(
    exam: Examination, pulled: Pulled, direction: dict[str, Array], distance: float, scale: float
) -> list[float]:
    """Return the ends of what a line beside the point admits: it moves an entry that ties past the others."""
    offset = {name: v * distance for name, v in _random_shift(exam).items()}
    crossed = cross(exam.beside(pulled, direction, offset), distance, _STRETCHES)
    return [] if crossed is None else [crossed.lower / scale, crossed.upper / scale]


def _random_shift(exam: Examination) -> dict[str, Array]:
    return directions.direction(exam.variables, list(exam.values), exam.generator, exam.scales)


def _jump(found: list[float]) -> bool:
    return len(found) > 1 and max(found) - min(found) > _JUMP * max(abs(min(found)), abs(max(found)))


def _enclose(found: list[float], claimed: float, widths: float = 0.1) -> bool:
    low, high = min(found), max(found)
    margin = widths * (high - low)
    return low - margin <= claimed <= high + margin


def _near(found: list[float], claimed: float) -> bool:
    return _enclose(found, claimed, _HOPELESS)
