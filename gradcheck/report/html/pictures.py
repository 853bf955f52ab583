"""Which plots and drawings a page carries.

A page has a size that people can mail and a browser can open. Plots are what costs, so they are drawn in
the order of the page, worst parameters first, until their share is used up; the page says where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from gradcheck.report.html import plots
from gradcheck.report.html.drawing import Drawing, draw
from gradcheck.report.html.plots import Plot
from gradcheck.report.records import Evidence, ParameterResult, Report, Verdict

_BYTES = 1_000_000  # of all plots together: a page for 200 failing parameters stays below 2 MB
_PAINTERS: tuple[tuple[str, Callable[[Evidence, str], Plot | None]], ...] = (
    ("heat", plots.heat),
    ("scatter", plots.scatter),
    ("steps", plots.steps),
)


class Pictures:
    """Draws while there is room; ``missing`` tells whether a library for it was not there."""

    def __init__(self) -> None:
        self._left = _BYTES
        self.missing = False

    def plots(self, result: ParameterResult, key: str) -> tuple[tuple[Plot, ...], str]:
        """Return the plots of a parameter that did not pass; a sentence where there is no room for them."""
        if result.verdict is Verdict.PASS or result.evidence is None or not self._have("matplotlib"):
            return (), ""
        if self._left <= 0:
            return (
                (),
                "Not plotted, to keep the page small: plots were spent on the parameters before this one.",
            )
        drawn = [paint(result.evidence, f"{key}{name}") for name, paint in _PAINTERS]
        kept = tuple(plot for plot in drawn if plot is not None)
        self._left -= sum(len(plot.svg) for plot in kept)
        return kept, ""

    def drawing(self, report: Report) -> Drawing | None:
        """Return the drawing of the traced computation, None where there is none."""
        return draw(report.trace, report.blames) if report.trace and self._have("grandalf") else None

    def _have(self, library: str) -> bool:
        found = find_spec(library) is not None
        self.missing |= not found
        return found
