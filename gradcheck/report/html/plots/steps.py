"""How the numerical derivative was resolved: error against step size, with the step that was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck.report.html.plots.canvas import DATA, INK, MARK, Canvas, Plot, power_label
from gradcheck.report.html.words import number, size
from gradcheck.report.records import Evidence, Step

_UNRESOLVED = 1e100  # a bound so large says that nothing is known at this step


def steps(evidence: Evidence, key: str) -> Plot | None:
    """Draw ``evidence.steps``, None where fewer than two rungs can stand on logarithmic axes."""
    rungs = sorted(filter(_drawable, evidence.steps), key=lambda step: step.size)
    if len(rungs) < 2:
        return None
    chosen = next((rung for rung in rungs if rung.chosen), None)
    return Plot("Error against step size", _caption(rungs, chosen), _draw(rungs, chosen, key))


def _drawable(step: Step) -> bool:
    finite = all(map(math.isfinite, (step.size, step.estimate)))
    return finite and step.size > 0 and 0 < step.bound < _UNRESOLVED


def _draw(rungs: Sequence[Step], chosen: Step | None, key: str) -> str:
    """Draw logarithms on linear axes: matplotlib's logarithmic ones overflow near the ends of the range."""
    from matplotlib.ticker import MaxNLocator

    log = math.log10
    with Canvas() as canvas:
        axes = canvas.axes
        sizes, bounds = [log(rung.size) for rung in rungs], [log(rung.bound) for rung in rungs]
        axes.plot(sizes, bounds, color=DATA, marker="o", markersize=3, label="bound on the error")
        if chosen is not None:
            away = [(log(r.size), abs(r.estimate - chosen.estimate)) for r in rungs]
            crosses = [(x, log(distance)) for x, distance in away if 0 < distance < math.inf]
            xs, ys = zip(*crosses, strict=True) if crosses else ((), ())
            axes.plot(xs, ys, "x", color=INK, markersize=4, label="distance to the chosen estimate")
            axes.axvline(log(chosen.size), color=MARK, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot(log(chosen.size), log(chosen.bound), "D", color=MARK, markersize=6, label="chosen")
        axes.set(xlabel="step size", ylabel="error of the numerical derivative")
        axes.grid(visible=True)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            decades = high - low > 2
            axis.set_major_locator(MaxNLocator(integer=decades, nbins=7 if decades else 4))
            axis.set_major_formatter(power_label)
        canvas.figure.subplots_adjust(top=0.82)
        canvas.figure.legend(loc="upper left", ncols=2)
        return canvas.svg(key)


def _caption(rungs: Sequence[Step], chosen: Step | None) -> str:
    if chosen is None:
        return f"{len(rungs)} steps were tried; none was chosen."
    return (
        f"{len(rungs)} steps were tried. At the chosen step {size(chosen.size)} the numerical derivative is "
        f"{number(chosen.estimate)} ± {size(chosen.bound)}."
    )
