"""One mistake that would explain what is seen.

A hypothesis has a cost: how much it may assume. Of two that explain the error equally well the cheaper one
is reported first (Occam): a factor of 2 needs less luck than an unknown rearrangement of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcheck.report.records import Diagnosis


@dataclass(frozen=True)
class Fit:
    """How well a repaired gradient agrees with the expected one.

    ``share`` of the error is gone, what the uncertainty covers counted as gone; ``exact`` says that nothing
    is left in any entry beyond the uncertainty; ``raw`` is the share without allowance for the uncertainty.
    """

    share: float
    exact: bool
    raw: float


CERTAIN = Fit(1.0, True, 1.0)
NOTHING = Fit(0.0, False, 0.0)


@dataclass(frozen=True)
class Hypothesis:
    """See the module; ``message`` is a sentence without its subject's name in front."""

    kind: str
    message: str
    fit: Fit
    cost: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def diagnosis(self) -> Diagnosis:
        """Return the record of this hypothesis for a report."""
        message = self.message
        if not self.fit.exact:
            message += f" This explains {_percent(self.fit.share)} of the error, not all of it."
        details = {key: tuple(v) if isinstance(v, list) else v for key, v in self.details.items()}
        return Diagnosis(self.kind, message, round(self.fit.share, 12), details)


def _percent(share: float) -> str:
    """Never round up to 100%."""
    for digits in range(1, 8):
        text = f"{100 * share:.{digits}f}"
        if float(text) < 100:
            return f"{text}%"
    return "nearly all"
