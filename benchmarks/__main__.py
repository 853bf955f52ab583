"""Run the benchmarks, print the tables side by side, and write the JSON, the plots and the page.

    python -m benchmarks [--quick] [--only NAME ...] [--render]

A section that is not run keeps the results that it has. ``--render`` runs nothing, and makes plots and page
anew.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import page
from benchmarks.machine import setting
from benchmarks.plots import draw
from benchmarks.sections import SECTIONS, measure

NAMES = [name for name, _ in SECTIONS]


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer faults, sizes and repeats: a few minutes")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}"
    )
    parser.add_argument("--render", action="store_true", help="run nothing: plots and page from the JSON")
    parser.add_argument("--dry", action="store_true", help="print only: write neither JSON nor page")
    options = parser.parse_args()
    console = Console()
    warnings.simplefilter("ignore")
    for name in [] if options.render else options.only or NAMES:
        result = run(name, options.quick)
        show(console, name, result)
        if not options.dry:
            page.RESULTS.mkdir(exist_ok=True)
            (page.RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    if not options.dry:
        write_page()


def run(name: str, quick: bool) -> dict[str, Any]:
    """Run a section and return what goes into its file."""
    start = time.perf_counter()
    found = measure(name, quick).to_json()
    seconds = round(time.perf_counter() - start, 1)
    return {"section": name, "setting": setting(), "quick": quick, "seconds": seconds, **found}


def write_page() -> None:
    """Make the plots and the page from the results that there are."""
    results = page.load()
    for result in results.values():
        for plot in result["plots"]:
            draw(plot, page.PAGE.parent / page.PICTURES / f"{plot['name']}.svg")
    page.PAGE.write_text(page.render(results))


def show(console: Console, name: str, result: dict[str, Any]) -> None:
    """Print a section's tables, bars and exceptions."""
    console.rule(f"{dict(SECTIONS)[name]}, {result['seconds']} s")
    for table in result["tables"]:
        if table["rows"]:
            console.print(_shown(table["title"], table["columns"], table["rows"]))
    bars = [[b["what"], b["measured"], b["bar"], "yes" if b["met"] else "MISSED"] for b in result["bars"]]
    console.print(_shown("What was to be reached", ["what", "measured", "bar", "met"], bars))
    for line in result["exceptions"]:
        console.print(line, highlight=False, markup=False)


def _shown(title: str, columns: list[str], rows: list[list[Any]]) -> Table:
    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*(page.cell(value).replace("\\", "") for value in row))
    return shown


if __name__ == "__main__":
    main()
