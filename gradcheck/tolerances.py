"""Gradients that are off by what an iteration leaves out where it stops at a tolerance.

A fixed point, a root, a linear system solved to 1e-6 has, at a fixed number of steps, a slope that differs
from that of the exact solution by about as much; a backward pass by the implicit function theorem gives the
latter. Neither is a fault. What tells such a forward pass is that the number of its operations depends on the
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.findings import Finding
from gradcheck.options import Options
from gradcheck.pipeline import NOT_LINEAR, Outcome
from gradcheck.report.records import Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.iterating import iterates

# An error of less than the first, as a share of the largest entry, is right as far as it goes, one beyond the
# second is no matter of tolerances.
_RIGHT, _SLIGHT = 1e-4, 1e-2
_WHY = "the forward pass iterates until something is small enough: the number of its operations varies"


def excuse(subject: TorchSubject, outcome: Outcome, options: Options) -> Options:
    """Take back what an iteration's tolerance may explain, where that is all that is wrong.

    Returns the options by which to judge at other points: where it does explain it, with a wider tolerance.
    """
    if not explains(subject, outcome, outcome.failing):
        return options
    for name in outcome.failing:
        finding, error = outcome.findings[name], _error(outcome, name)
        finding.wrong, finding.by_directions = finding.wrong[:0], False
        if error <= _RIGHT:
            finding.verdict, finding.message, finding.imprecise = Verdict.PASS, "", True
            finding.notes.append(f"imprecise: off by {error:.1g} of its largest entry, and {_WHY}")
        else:
            finding.verdict = Verdict.INCONCLUSIVE
            finding.message = (
                f"off by {error:.1g} of its largest entry, which may be what is left out where the forward "
                f"pass stops ({_WHY}); let it iterate further, or give rtol"
            )

    return options.replace(rtol=max(options.rtol or 0.0, _SLIGHT))


def explains(subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]) -> bool:
    """Whether an iteration's tolerance may be all that is wrong with these leaves."""
    return explain_shares(subject, [_error(outcome, name) for name in wrong])


def explain_shares(subject: TorchSubject, shares: Sequence[float]) -> bool:
    """Whether it may be all that is wrong with gradients off by these shares of their largest entries."""
    return bool(shares) and all(share <= _SLIGHT for share in shares) and iterates(subject)


def _error(outcome: Outcome, name: str) -> float:
    """Return the error as a share of the largest entry; infinity where it is no matter of numbers."""
    finding = outcome.findings[name]
    nonlinear = (
        outcome.exam.rounding.deviations.get(name, 0.0) if finding.message.startswith(NOT_LINEAR) else 0.0
    )
    if (finding.message and not nonlinear) or finding.tied is not None or name in outcome.pulls[0].missing:
        return float("inf")
    return max(_of_numbers(finding), nonlinear)


def _of_numbers(finding: Finding) -> float:
    if finding.digits is not None:
        return float(10.0**-finding.digits)
    comparison = finding.comparison
    return float("inf") if comparison is None else comparison.rel_error
