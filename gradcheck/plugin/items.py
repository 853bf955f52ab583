"""Targets as tests: ``models/mlp.py::mlp``, one item for each.

One for each target, not one for each parameter: all parameters are verified together, at a fraction of the
cost, and their names are not known before the target has run, which collecting must not do. The report in
the failure names every parameter.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from gradcheck.errors import GradcheckError, GradientMismatch
from gradcheck.plugin.frames import show_only_theirs
from gradcheck.plugin.ledger import record, record_failure
from gradcheck.plugin.settings import defaults, marked, replayed
from gradcheck.targets import Target, run_target, targets_in


class TargetFile(pytest.File):
    """A file with targets."""

    def collect(self) -> Iterator[TargetItem]:
        """Load the file and make its targets items. A file that never names us is not loaded."""
        if b"gradcheck" not in self.path.read_bytes():
            return
        try:
            found = targets_in(_from_here(self.path))
        except GradcheckError as problem:
            raise self.CollectError(str(problem)) from None
        for target in found:
            yield TargetItem.from_parent(self, name=target.name, target=target)


class TargetItem(pytest.Item):
    """A target as a test. ``obj`` is its function, whose pytest marks hold."""

    def __init__(self, *, target: Target, **rest: Any) -> None:
        super().__init__(**rest)
        self.target = target
        self.obj = target.function
        for mark in getattr(target.function, "pytestmark", ()):
            self.add_marker(getattr(pytest.mark, mark.name).with_args(*mark.args, **mark.kwargs))
        self.add_marker("gradcheck")

    def runtest(self) -> None:
        """Verify the target."""
        own = self.target.options
        general = {name: value for name, value in defaults(self.config).items() if name not in own}
        report = run_target(self.target, **general, **(marked(self) | replayed(self.config)))
        record(self, report)
        report.raise_if_failed()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the report, or the sentence about what cannot be run; an error of theirs with its frames."""
        if isinstance(excinfo.value, GradientMismatch):
            return str(excinfo.value)
        record_failure(self, str(excinfo.value))
        if isinstance(excinfo.value, GradcheckError):
            return str(excinfo.value)
        show_only_theirs(excinfo.value)
        return super().repr_failure(pytest.ExceptionInfo.from_exception(excinfo.value), style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the target is defined."""
        line = self.target.line
        return self.path, None if line is None else line - 1, self.name


class _WithoutTests(pytest.File):
    def collect(self) -> Iterable[pytest.Item]:
        return ()


def without_tests(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return an empty collector for a file that pytest would take for tests only because it was named.

    None for one that ``python_files`` matches: it holds tests as well.
    """
    if any(_matches(path, pattern) for pattern in parent.config.getini("python_files")):
        return None
    return _WithoutTests.from_parent(parent, path=path)


def _matches(path: Path, pattern: str) -> bool:
    """Match as pytest does: a pattern without a slash is about the name, one with a slash about the path."""
    if os.sep not in pattern and "/" not in pattern:
        return fnmatch(path.name, pattern)
    return fnmatch(str(path), pattern if os.path.isabs(pattern) else f"*{os.sep}{pattern}")


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
