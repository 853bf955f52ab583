"""Where in the tensor the gradient is wrong: the discrepancy as a heat map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from gradcheck.report.html.plots.canvas import Canvas, Plot, plain_label
from gradcheck.report.html.words import counted, size
from gradcheck.report.records import Evidence

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.colors import Normalize
    from numpy.typing import NDArray

_LOGARITHMIC = 1e3  # a wider range than this is unreadable on a linear scale
_DEEPEST = 1e-12  # relative to the largest: smaller discrepancies are drawn alike


def heat(evidence: Evidence, key: str) -> Plot | None:
    """Draw ``evidence.heat``, None where no entry was examined."""
    import numpy as np

    if not any(cell is not None for row in evidence.heat for cell in row):
        return None
    widest = max(len(row) for row in evidence.heat)
    padded = [[*row, *[None] * (widest - len(row))] for row in evidence.heat]
    cells = np.array([[math.nan if cell is None else _shown(cell) for cell in row] for row in padded])
    title = "|claimed − expected| over the tensor"
    return Plot(title, _caption(cells, evidence.heat_block), _draw(cells, evidence.heat_block, key))


def _shown(cell: float) -> float:
    return math.inf if math.isnan(cell) else cell  # a discrepancy that is no number; NaN means "not examined"


def _draw(cells: NDArray[np.float64], block: tuple[int, int], key: str) -> str:
    from matplotlib.ticker import MaxNLocator

    with Canvas() as canvas:
        canvas.figure.subplots_adjust(left=0.15, right=0.92)
        rows, columns = cells.shape
        corners = (-0.5, columns * block[1] - 0.5, rows * block[0] - 0.5, -0.5)
        picture = canvas.axes.imshow(
            cells,
            cmap="cividis",
            norm=_norm(cells),
            extent=corners,
            aspect=_aspect(cells, block),
            interpolation="none",
        )
        for axis in (canvas.axes.xaxis, canvas.axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        canvas.axes.set(xlabel="column", ylabel="row")
        bar = canvas.figure.colorbar(picture, ax=canvas.axes, pad=0.03, format=plain_label)
        bar.ax.patch.set_visible(False)
        bar.minorticks_off()
        bar.outline.set_visible(False)
        return canvas.svg(key)


def _aspect(cells: NDArray[np.float64], block: tuple[int, int]) -> Literal["equal", "auto"]:
    """Return "equal" for a matrix that stays legible so, else stretch it to fill the frame."""
    height, width = cells.shape[0] * block[0], cells.shape[1] * block[1]
    return "equal" if 1 / 3 <= height / width <= 3 else "auto"


def _norm(cells: NDArray[np.float64]) -> Normalize:
    import numpy as np
    from matplotlib.colors import LogNorm, Normalize

    finite = cells[np.isfinite(cells)]
    top = float(finite.max()) if finite.size else 1.0
    positive = finite[finite > 0]
    if positive.size and top / float(positive.min()) > _LOGARITHMIC:
        return LogNorm(vmin=max(float(positive.min()), top * _DEEPEST), vmax=top, clip=True)
    return Normalize(vmin=0.0, vmax=top if top > 0 else 1.0, clip=True)


def _caption(cells: NDArray[np.float64], block: tuple[int, int]) -> str:
    import numpy as np

    rows, columns = cells.shape
    examined = int((~np.isnan(cells)).sum())
    sentences = [f"The tensor as a matrix of {rows * block[0]:,} × {columns * block[1]:,} entries."]
    if block != (1, 1):
        sentences = [
            f"The tensor as a matrix, downsampled: each of {rows:,} × {columns:,} cells shows the largest "
            f"discrepancy in a block of {block[0]:,} × {block[1]:,} entries."
        ]
    if examined < cells.size:
        sentences.append(
            f"Blank cells were not examined ({counted(cells.size - examined, 'cell')} of {cells.size:,})."
        )
    finite = np.where(np.isfinite(cells), cells, -1.0)
    row, column = (int(i) for i in np.unravel_index(int(finite.argmax()), cells.shape))
    if np.isinf(cells).any():
        sentences.append("Cells that are not finite have the colour of the largest.")
    if finite[row, column] >= 0:
        place = f"row {row * block[0]:,}, column {column * block[1]:,}" + (
            " onward" if block != (1, 1) else ""
        )
        sentences.append(f"Largest: {size(float(finite[row, column]))}, in {place}.")
    return " ".join(sentences)
