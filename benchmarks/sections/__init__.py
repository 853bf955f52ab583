"""The sections, in the order of the page: each is a module with ``measure(quick) -> Result``."""

from __future__ import annotations

from importlib import import_module

from benchmarks.record import Result

# name, heading
SECTIONS: tuple[tuple[str, str], ...] = (
    ("power", "Power: what is caught"),
    ("mutation", "Power: mutants of the rules"),
    ("false_alarms", "False alarms"),
    ("calibration", "Calibration"),
    ("cost", "Cost"),
    ("explanation", "Explanation"),
    ("reference", "Reference implementation"),
)


def measure(name: str, quick: bool) -> Result:
    """Run a section."""
    found: Result = import_module(f"benchmarks.sections.{name}").measure(quick)
    return found


__all__ = ["SECTIONS", "measure"]
