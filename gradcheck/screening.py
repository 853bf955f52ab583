"""Which parameters are worth a closer look.

All parameters are moved together first, each in a random direction of its own size: with an error bar near
1e-12 two such probes, each with a fresh cotangent, see an error in any of them. Only where one is suspect
are groups of parameters halved until single ones remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradcheck.examination import Examination, Probe, Pulled


@dataclass
class Screening:
    """The probes made, by parameter (joint ones under each of theirs), and the suspect parameters."""

    pulls: list[Pulled]
    joint: list[Probe]
    own: dict[str, list[Probe]] = field(default_factory=dict)
    suspects: list[str] = field(default_factory=list)
    unexamined: list[str] = field(default_factory=list)


def screen(exam: Examination, names: Sequence[str], pulls: list[Pulled], budget: int) -> Screening:
    """Probe the named parameters, together first.

    ``budget`` bounds the forward evaluations spent on halving; suspects beyond it are ``unexamined``.
    """
    result = Screening(pulls, [])
    if not names:
        return result
    for pulled in pulls:
        probe = exam.probe(pulled, names)
        result.joint.append(probe)
        if len(names) == 1:
            result.own.setdefault(names[0], []).append(probe)
    wrong = [probe for probe in result.joint if probe.suspect or probe.estimate.kink]
    if not wrong:
        return result
    if len(names) == 1:
        result.suspects = [names[0]] if any(probe.suspect for probe in result.joint) else []
        return result
    _halve(exam, list(names), wrong[0].pulled, result, exam.forward_evaluations + budget)
    return result


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
    probe = exam.probe(pulled, half)
    if len(half) == 1:
        result.own.setdefault(half[0], []).append(probe)
        if probe.suspect:
            result.suspects.append(half[0])
    elif probe.suspect or probe.estimate.kink:
        groups.append(half)
