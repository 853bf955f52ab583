"""The three plots of a failing parameter, drawn by matplotlib and inlined as SVG.

Each function takes a piece of `Evidence` and returns a `Plot`, or None where there is nothing to draw. The
caption says in words what the picture shows, so that nobody needs to see it.
"""

from __future__ import annotations

from gradcheck.report.html.plots.canvas import Plot
from gradcheck.report.html.plots.heat import heat
from gradcheck.report.html.plots.scatter import scatter
from gradcheck.report.html.plots.steps import steps

__all__ = ["Plot", "heat", "scatter", "steps"]
