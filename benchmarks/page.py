"""The results' JSON into docs/benchmarks.md: every number on the page comes from there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.sections import SECTIONS

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
PICTURES = "img/benchmarks"  # beside the page


def load() -> dict[str, dict[str, Any]]:
    """Return the results of every section that has been run, in the order of the page."""
    files = {name: RESULTS / f"{name}.json" for name, _ in SECTIONS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def render(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE)
    environment = Environment(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(cell=cell, at=str)
    headings = dict(SECTIONS)
    text: str = environment.get_template("benchmarks.md.j2").render(
        sections=[(name, headings[name], result) for name, result in results.items()],
        settings=_settings(results),
        quick=[headings[name] for name, result in results.items() if result["quick"]],
        bars=[(headings[name], bar) for name, result in results.items() for bar in result["bars"]],
        pictures=PICTURES,
    )
    return text


def _settings(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return each part of the setting with its values, which are one where all sections ran alike."""
    names = dict.fromkeys(name for result in results.values() for name in result["setting"])
    return [
        (name, ", ".join(dict.fromkeys(r["setting"][name] for r in results.values() if name in r["setting"])))
        for name in names
    ]


def cell(value: Any) -> str:
    """Return a number with as many digits as mean something, text safe for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _number(value)
    return str(value).replace("|", "\\|").replace("*", "\\*").replace("\n", " ").replace("_", "\\_")


def _number(value: float) -> str:
    if not math.isfinite(value) or abs(value) >= 1e300:
        return "without bound"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 0.9 < value < 1:  # shares, whose distance from 1 is what counts
        return f"{value:.5f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"
