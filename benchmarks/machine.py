"""What a run was made on: nothing that names a person, a path or a host."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.timing import cores

PACKAGES = ("numpy", "scipy", "torch", "jax", "autograd", "numdifftools", "micrograd")


def setting() -> dict[str, str]:
    """Return the processor, the cores used of those there are, and versions."""
    found = {
        "processor": _processor(),
        "cores": f"{cores()} of {os.cpu_count()}",
        "system": platform.system(),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
