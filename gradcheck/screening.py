"""Which parameters are worth a closer look.

All parameters are moved together first, each in a random direction of its own size: with an error bar near
1e-12 one such probe sees an error in any of them. Where its stated power falls short of a parameter's
tolerance, a second one is made, with a fresh cotangent. Only where one is suspect are groups of parameters
halved until single ones remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcheck.examination import Examination
from gradcheck.judge import Tolerance
from gradcheck.numerical import directions
from gradcheck.probes import Probe, Pulled

# A residual that is so many times its noise needs no closer look to be one.
_PLAIN = 10.0


@dataclass
class Screening:
    """The probes made, by parameter (joint ones under each of theirs), and the suspect parameters."""

    pulls: list[Pulled]
    joint: list[Probe] = field(default_factory=list)
    own: dict[str, list[Probe]] = field(default_factory=dict)
    suspects: list[str] = field(default_factory=list)
    unexamined: list[str] = field(default_factory=list)


def screen(exam: Examination, pulled: Pulled, tolerances: Mapping[str, Tolerance], budget: int) -> Screening:
    """Probe the parameters that have tolerances, together first.

    ``budget`` bounds the forward evaluations spent on halving; suspects beyond it are ``unexamined``.
    """
    names = list(tolerances)
    result = Screening([pulled])
    if not names:
        return result
    result.joint.append(exam.probe(pulled, names))
    if not _tells_enough(result.joint[0], tolerances, exam.magnitude):
        if not exam.subject.fixed_cotangent:
            result.pulls.append(exam.pull())
        result.joint.append(exam.probe(result.pulls[-1], names))
    if len(names) == 1:
        result.own[names[0]] = list(result.joint)
    wrong = [probe for probe in result.joint if probe.suspect or probe.estimate.kink]
    if not wrong:
        return result
    if len(names) == 1:
        result.suspects = [names[0]] if any(probe.suspect for probe in result.joint) else []
        return result
    _halve(exam, names, wrong[0].pulled, result, exam.forward_evaluations + budget)
    return result


def _tells_enough(probe: Probe, tolerances: Mapping[str, Tolerance], magnitude: float) -> bool:
    """Whether a probe on smooth ground sees what each parameter's tolerance forbids, with 99.9% probability.

    Where a gradient is zero as far as can be told, that of all parameters is the scale, or the outputs are
    (``magnitude``).
    """
    if probe.suspect:
        return True  # that something is wrong, or that nothing can be resolved
    if probe.estimate.kink:
        return False
    if not probe.uncertainty:
        return True  # that the outputs of zeros stay zeros
    for name, tolerance in tolerances.items():
        size = probe.parts[name][1]
        scale = size if size > probe.uncertainty else probe.size or magnitude
        visible = directions.detectable(probe.uncertainty, scale, 1)
        if visible is None or visible > tolerance.relative:
            return False
    return True


def _halve(exam: Examination, names: list[str], pulled: Pulled, result: Screening, limit: int) -> None:
    groups = [names]
    while groups:
        group = groups.pop()
        if exam.forward_evaluations > limit and result.suspects:
            result.unexamined += group
            continue
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            _look(exam, half, pulled, result, groups)


def _look(
    exam: Examination, half: list[str], pulled: Pulled, result: Screening, groups: list[list[str]]
) -> None:
    if len(half) > 1 and _plainly_off(exam, half, pulled):
        groups.append(half)
        return
    probe = exam.probe(pulled, half)
    if len(half) == 1:
        result.own.setdefault(half[0], []).append(probe)
        if probe.suspect:
            result.suspects.append(half[0])
    elif probe.suspect or probe.estimate.kink:
        groups.append(half)


def _plainly_off(exam: Examination, names: list[str], pulled: Pulled) -> bool:
    """Whether two evaluations suffice to see that a group has a suspect in it."""
    residual, noise = exam.residual(pulled, exam.direction(pulled, names))
    return abs(residual) > _PLAIN * noise
