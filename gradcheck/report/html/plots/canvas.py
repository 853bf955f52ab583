"""What the plots share: size, colours that follow the page's theme, and an SVG fit to stand inline.

matplotlib writes colours into the SVG as numbers. The plots are drawn in marker colours, each of which is
then replaced by a CSS variable of the page: so one drawing serves the light theme, the dark one and print.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.report.html.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010101"
GRID = "#010102"
DATA = "#010103"
MARK = "#010104"
_VARIABLES = {
    INK: "var(--plot-ink)",
    GRID: "var(--plot-grid)",
    DATA: "var(--plot-data)",
    MARK: "var(--plot-mark)",
}

# What matplotlib repeats at every tick, and the class that says the same in style.css.
_SHORTER = {
    r' style="fill: var\(--plot-ink\); stroke: var\(--plot-ink\); stroke-width: 0.8"': "",
    r' style="stroke: var\(--plot-ink\); stroke-width: 0.8"': ' class="tick"',
    r' style="fill: none; stroke: var\(--plot-grid\); [^"]*"': ' class="grid"',
    r"font: 9px 'DejaVu Sans'; |font-size: 9px; font-family: 'DejaVu Sans'; ": "",
    r'; fill: var\(--plot-ink\)(?=")': "",
    r' transform="rotate\(-0 [^"]*"': "",
}

_WIDTH, _HEIGHT = 3.9, 2.9  # inches; the page scales the drawing to its column
_STYLE: Mapping[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, searchable and small
    "svg.hashsalt": "gradcheck",  # the same report gives the same page
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "font.size": 9,
    "font.family": ["DejaVu Sans"],  # for measuring; the page names its own
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "path.simplify": False,  # would drop the zero-length strokes that the scatter's dots are
}


@dataclass(frozen=True)
class Plot:
    """A drawing and the words that say the same. ``svg`` is markup made by us; ``caption`` is plain text."""

    title: str
    caption: str
    svg: str


class Canvas:
    """One figure with one pair of axes, in the page's style.

    Used as a context manager, because matplotlib reads its style while a figure is drawn as well as while
    it is written. Margins are fixed and labels plain text: measuring the one and typesetting the other would
    take most of the time and of the bytes.
    """

    def __init__(self) -> None:
        from matplotlib import style
        from matplotlib.figure import Figure

        self._new = Figure
        self._style = style.context(["default", dict(_STYLE)])  # whatever the user's own style is
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> Canvas:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")  # where warnings are errors, a plot must not cost the page
        self._style.__enter__()
        self.figure: Figure = self._new(figsize=(_WIDTH, _HEIGHT))
        self.figure.subplots_adjust(left=0.19, right=0.96, bottom=0.16, top=0.96)
        self.figure.patch.set_visible(False)
        self.axes: Axes = self.figure.add_subplot()
        self.axes.patch.set_visible(False)
        return self

    def __exit__(self, *problem: object) -> None:
        self._style.__exit__(None, None, None)
        self._warnings.__exit__(None, None, None)

    def svg(self, key: str) -> str:
        """Return the drawing as an inline SVG element whose ids start with ``key``, unique on the page."""
        written = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(written, format="svg", metadata=nothing)
        return _inline(written.getvalue(), key)


def plain_label(value: float, _position: float) -> str:
    """Return the label of a tick on a linear axis."""
    return number(float(f"{value:.4g}"))


def power_label(value: float, _position: float) -> str:
    """Return the label of a tick at a logarithm: 1e-3, and 6.3e-4 between the powers."""
    if abs(value - round(value)) < 1e-9:
        return f"1e{value:.0f}"
    power = math.floor(value)
    return f"{10 ** (value - power):.2g}e{power}"


def _inline(document: str, key: str) -> str:
    """Return the SVG element without what a page has no use for, and with ids that are its own."""
    drawing = document[document.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', drawing))
    drawing = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", drawing)
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", drawing)
    drawing = re.sub(r"<style.*?</style>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<defs>\s*</defs>", "", drawing)
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, variable)
    for written, short in _SHORTER.items():
        drawing = re.sub(written, short, drawing)
    drawing = re.sub(r'\b[dxy]="[^"]*"', _rounded, drawing)
    drawing = drawing.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return re.sub(r"\s*\n\s*", "\n", drawing).strip()


def _rounded(attribute: re.Match[str]) -> str:
    """Return coordinates to a tenth of a point, which is as fine as a screen."""
    return re.sub(r"(\d+\.\d)\d+", r"\1", attribute[0])
