"""Timing several ways of doing the same thing side by side, so that a busy machine slows all of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping


def cores() -> int:
    """Return how many cores a process may use: OMP_NUM_THREADS where set, else all it was given."""
    limit = os.environ.get("OMP_NUM_THREADS")
    return int(limit) if limit else len(os.sched_getaffinity(0))


def medians(
    ways: Mapping[str, Callable[[], object]], blocks: int = 12, calls: int = 10, warm_up: int = 2
) -> dict[str, float]:
    """Return the median seconds of a call of each way.

    The ways take turns in blocks of ``calls``, each after ``warm_up`` untimed ones: in turns, as the machine
    changes over time; in blocks, as the thread pools of different libraries stand in each other's way.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(blocks):
        for name, call in ways.items():
            for i in range(warm_up + calls):
                start = time.perf_counter()
                call()
                if i >= warm_up:
                    seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
