"""Claimed against expected: right entries lie on the diagonal, and a wrong factor is a wrong slope."""

from __future__ import annotations

import math

from gradcheck.report.html.plots.canvas import DATA, INK, Canvas, Plot, plain_label
from gradcheck.report.records import Evidence

_MOST = 400  # dots: more only cover each other, and each costs bytes


def scatter(evidence: Evidence, key: str) -> Plot | None:
    """Draw ``evidence.scatter``, None where it holds no finite pair."""
    finite = [pair for pair in evidence.scatter if all(map(math.isfinite, pair))]
    if not finite:
        return None
    shown = _thinned(finite)
    return Plot("Claimed against expected", _caption(shown, finite, len(evidence.scatter)), _draw(shown, key))


def _thinned(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most ``_MOST`` pairs: the half farthest from the diagonal, and an even choice of the rest."""
    if len(pairs) <= _MOST:
        return pairs
    ordered = sorted(pairs, key=lambda pair: -abs(pair[0] - pair[1]))
    farthest, rest = ordered[: _MOST // 2], ordered[_MOST // 2 :]
    left = _MOST - len(farthest)
    return farthest + [rest[i * len(rest) // left] for i in range(left)]


def _draw(pairs: list[tuple[float, float]], key: str) -> str:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    with Canvas() as canvas:
        ends = [value for pair in pairs for value in pair]
        margin = 0.06 * (max(ends) - min(ends)) or abs(ends[0]) or 1.0
        low, high = min(ends) - margin, max(ends) + margin
        canvas.axes.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        # One path of zero-length strokes with round caps: the same dots as markers, in fewer bytes.
        strokes = [(expected, claimed) for claimed, expected in pairs for _ in range(2)]
        dots = Path(strokes, [Path.MOVETO, Path.LINETO] * len(pairs))
        canvas.axes.add_patch(
            PathPatch(dots, fill=False, edgecolor=DATA, linewidth=4.5, capstyle="round", alpha=0.65, zorder=2)
        )
        canvas.axes.set(
            xlim=(low, high), ylim=(low, high), xlabel="expected", ylabel="claimed", aspect="equal"
        )
        canvas.axes.grid(visible=True)
        canvas.axes.locator_params(nbins=5)
        for axis in (canvas.axes.xaxis, canvas.axes.yaxis):
            axis.set_major_formatter(plain_label)
        return canvas.svg(key)


def _caption(shown: list[tuple[float, float]], finite: list[tuple[float, float]], total: int) -> str:
    sentence = f"{len(finite):,} entries; a right gradient lies on the dashed diagonal."
    if len(shown) < len(finite):
        sentence += f" {len(shown):,} are drawn: the half farthest off, and an even choice of the others."
    if len(finite) < total:
        sentence += f" {total - len(finite):,} more are not finite and are left out."
    return sentence
