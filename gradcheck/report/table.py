"""The table of parameters: as many columns as fit the width, names cut in the middle for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.report.records import Comparison, ParameterResult, Verdict
from gradcheck.report.sentences import WORDS
from gradcheck.report.words import cut, digits, looked_at, plain, size

if TYPE_CHECKING:
    from rich.table import Table

# A name that is cut tells less than the columns from priority 3 on, up to 50 characters; than the others, up
# to 20.
_ROOMY = 50
_LEAST_NAME = 20
_DISPENSABLE = 3
_GAP = 2
_STYLES = {"pass": "green", "waived": "yellow", "FAIL": "bold red", "inconclusive": "yellow"}


@dataclass(frozen=True)
class Column:
    """``priority`` 0 always stays; the highest leaves first where the table is too wide."""

    title: str
    cell: Callable[[ParameterResult], str]
    priority: int = 0
    right: bool = False


Filled = tuple[Column, list[str]]


def worst(result: ParameterResult) -> Comparison | None:
    """Return the comparison that tells most: the worst verdict, then the largest error of its tolerance."""
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    return max(
        result.comparisons.values(),
        key=lambda c: (order.index(c.verdict), (c.abs_error + c.uncertainty) / (c.tolerance or 1e-300)),
        default=None,
    )


def _of_worst(field: str) -> Callable[[ParameterResult], str]:
    def cell(result: ParameterResult) -> str:
        comparison = worst(result)
        return "-" if comparison is None else size(getattr(comparison, field))

    return cell


def _verdict(result: ParameterResult) -> str:
    return "waived" if result.waived is not None else WORDS[result.verdict]


COLUMNS = (
    Column("parameter", lambda result: plain(result.name)),
    Column("shape", lambda result: "x".join(map(str, result.shape)) or "scalar", 2),
    Column("dtype", lambda result: plain(result.dtype), 5),
    Column("verdict", _verdict),
    Column("digits", lambda result: digits(result.digits), 0, right=True),
    Column("error", _of_worst("abs_error"), 1, right=True),
    Column("+-", _of_worst("uncertainty"), 1, right=True),
    Column("tolerance", _of_worst("tolerance"), 1, right=True),
    Column("examined", lambda result: looked_at(result.coverage), 3),
    Column(
        "would see",
        lambda result: size(result.coverage.detectable if result.coverage else None),
        4,
        right=True,
    ),
)


def parameter_table(results: Sequence[ParameterResult], width: int) -> Table:
    """Return rich's table of ``results``, at most ``width`` characters wide where that can be done."""
    from rich.table import Table
    from rich.text import Text

    filled = [(column, [column.cell(result) for result in results]) for column in COLUMNS]
    columns, name_width = _fit(filled, width - _GAP)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", show_edge=False)
    table.add_column("")  # the indentation of everything below the headline
    for column, _ in columns:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for name, *cells in zip(*(cells for _, cells in columns), strict=True):
        texts = (Text(cell, style=_STYLES.get(cell, "")) for cell in cells)
        table.add_row("", Text(cut(name, name_width)), *texts)
    return table


def _fit(columns: list[Filled], width: int) -> tuple[list[Filled], int]:
    """Return the columns that fit beside the names, and the width that is left for these."""
    widths = {column.title: max(map(len, [column.title, *cells])) for column, cells in columns}
    longest = widths.pop(columns[0][0].title)
    while True:
        others = sum(widths[column.title] + _GAP for column, _ in columns[1:]) + _GAP
        highest = max(column.priority for column, _ in columns)
        wanted = min(longest, _ROOMY if highest >= _DISPENSABLE else _LEAST_NAME)
        if width - others >= wanted or highest == 0:
            return columns, max(width - others, 8)
        columns = [filled for filled in columns if filled[0].priority < highest]
