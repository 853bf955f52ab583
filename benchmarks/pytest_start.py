"""What the pytest plugin adds to the start of a pytest run that verifies nothing.

    python -m benchmarks.pytest_start [--runs N]

Both ways take turns in fresh processes, without other plugins. The fastest run of each is shown: whatever
else the machine does can only make a start slower. The bar is 15 ms.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

BAR = 15.0  # ms
_COMMAND = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
# "no tests collected" is how a run over an empty folder ends.
_NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Start:
    """Milliseconds of one pytest run."""

    clock: float
    processor: float


def start(folder: str, *arguments: str) -> Start:
    """Run pytest over an empty folder."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run([*_COMMAND, *arguments], cwd=folder, env=alone, capture_output=True, check=False)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != _NOTHING_COLLECTED:
        raise SystemExit(f"pytest did not run as expected:\n{done.stdout.decode()}{done.stderr.decode()}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(seconds * 1e3, used * 1e3)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Return what the plugin adds, against its bar."""
    (without, ours_too), _ = fastest(3 if quick else 25)
    added = ours_too - without
    return [{"what": "pytest plugin: added start, ms", "measured": added, "bar": BAR, "met": added <= BAR}]


def fastest(runs: int) -> list[tuple[float, float]]:
    """Return the fastest start without the plugin and with it, by the clock and in processor time."""
    with tempfile.TemporaryDirectory() as folder:
        ours = ("-p", "gradcheck.pytest_plugin")
        start(folder, *ours)  # writes the byte code, once
        pairs = [(start(folder), start(folder, *ours)) for _ in range(runs)]
    without, ours_too = zip(*pairs, strict=True)
    return [
        (min(getattr(run, name) for run in without), min(getattr(run, name) for run in ours_too))
        for name in ("clock", "processor")
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25, help="of each (default: 25)")
    runs = parser.parse_args().runs
    table = Table("ms, fastest", "without", "with", "added", "bar")
    for name, (without, ours_too) in zip(("clock", "processor"), fastest(runs), strict=True):
        table.add_row(name, f"{without:.0f}", f"{ours_too:.0f}", f"{ours_too - without:.1f}", f"{BAR:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
