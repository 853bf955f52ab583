"""Rows {"what", "measured", "bar", "met"} of the benchmarks that are programs of their own."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def rows_of(module: str, quick: bool) -> Rows | None:
    """Return the rows of a benchmark that offers them by ``rows()``, None where there is none."""
    if importlib.util.find_spec(f"benchmarks.{module}") is None:
        return None
    function = importlib.import_module(f"benchmarks.{module}").rows
    takes_quick = "quick" in inspect.signature(function).parameters
    found: Rows = function(quick=quick) if takes_quick else function()
    return [{**row, "measured": _finite(row["measured"])} for row in found]


def _finite(number: float) -> float:
    return number if math.isfinite(number) else math.copysign(1e308, number)  # JSON has no infinity
