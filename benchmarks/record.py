"""What a section of the benchmarks hands over: tables, bars, plots and exceptions, as they go into JSON.

The page is rendered from this and nothing else, so every number on it was measured by the run that wrote
the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows of cells; None is shown as a dash. ``note`` says what the reader needs to know to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """Lines over one axis; None where a series has no point."""

    name: str
    title: str
    xlabel: str
    ylabel: str
    x: Sequence[float]
    series: Mapping[str, Sequence[float | None]]
    logx: bool = True
    logy: bool = True


@dataclass(frozen=True)
class Bar:
    """A number that was to be reached."""

    what: str
    measured: float
    bar: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar


@dataclass(frozen=True)
class Result:
    """What one section measured; ``data`` is for tests, ``exceptions`` what did not go as it should."""

    tables: Sequence[Table] = ()
    bars: Sequence[Bar] = ()
    plots: Sequence[Plot] = ()
    exceptions: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as what ``json.dump`` takes."""
        return {
            "tables": [
                {
                    "title": t.title,
                    "note": t.note,
                    "columns": list(t.columns),
                    "rows": [list(r) for r in t.rows],
                }
                for t in self.tables
            ],
            "bars": [
                {"what": b.what, "measured": b.measured, "bar": b.bar, "at_least": b.at_least, "met": b.met}
                for b in self.bars
            ],
            "plots": [
                {**vars(p), "x": list(p.x), "series": {k: list(v) for k, v in p.series.items()}}
                for p in self.plots
            ],
            "exceptions": list(self.exceptions),
            "data": dict(self.data),
        }


def bar_of(row: Mapping[str, Any]) -> Bar:
    """Return a row {"what", "measured", "bar", "met"} of another benchmark as a bar."""
    above = row["measured"] >= row["bar"]
    at_least = bool(row.get("at_least", bool(row["met"]) == above and row["measured"] != row["bar"]))
    return Bar(str(row["what"]), float(row["measured"]), float(row["bar"]), at_least)


def share(part: int, whole: int) -> str:
    """Return "part/whole", "-" of nothing."""
    return f"{part}/{whole}" if whole else "-"
