"""Plots of results, as SVG whose bytes depend on the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(plot: Mapping[str, Any], path: Path) -> None:
    """Draw one plot of a section's JSON into a file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "gradcheck", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
        for number, (name, values) in enumerate(plot["series"].items()):
            points = [(x, y) for x, y in zip(plot["x"], values, strict=True) if y is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker="os^vDPX*"[number % 8], label=name, alpha=0.8)
        axes.set(title=plot["title"], xlabel=plot["xlabel"], ylabel=plot["ylabel"])
        axes.set_xscale("log" if plot["logx"] else "linear")
        axes.set_yscale("log" if plot["logy"] else "linear")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
