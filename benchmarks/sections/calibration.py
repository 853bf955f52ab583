"""Calibration: whether true errors lie within the stated uncertainty, and misses are as rare as promised."""

from __future__ import annotations

from benchmarks.others import rows_of
from benchmarks.record import Result, Table, bar_of


def measure(quick: bool) -> Result:
    rows = rows_of("calibration", quick)
    missing = "benchmarks.calibration measures this; it was not there when this page was made."
    if rows is None:
        return Result(exceptions=[missing])
    return Result(
        tables=(Table("Calibration", ("what", "measured"), [[r["what"], r["measured"]] for r in rows]),),
        bars=[bar_of(r) for r in rows if r.get("bar") is not None],
    )
