"""What the pytest plugin adds to the start of a pytest run that verifies nothing.

    python -m benchmarks.pytest_start [--runs N]

Both ways take turns in fresh processes, and each pair is compared with itself, so that a busy machine slows
both. Processor time stands beside the clock, because it is what a busy machine changes least. The bar is
15 ms.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

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
    done = subprocess.run([*_COMMAND, *arguments], cwd=folder, capture_output=True, check=False)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != _NOTHING_COLLECTED:
        raise SystemExit(f"pytest did not run as expected:\n{done.stdout.decode()}{done.stderr.decode()}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(seconds * 1e3, used * 1e3)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25, help="pairs of runs (default: 25)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        start(folder)  # writes the byte code, once
        pairs = [(start(folder, "-p", "no:gradcheck"), start(folder)) for _ in range(runs)]
    table = Table("ms, median", "without", "with", "added", "bar")
    for name in ("clock", "processor"):
        columns = [[getattr(one, name) for one in pair] for pair in pairs]
        without, with_it = (statistics.median(column) for column in zip(*columns, strict=True))
        added = statistics.median(after - before for before, after in columns)
        table.add_row(name, f"{without:.0f}", f"{with_it:.0f}", f"{added:.1f}", f"{BAR:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
