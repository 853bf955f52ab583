"""Who verified what: the test that is running, and the reports of those that ran.

A report travels on pytest's own test report, as JSON text, because that is what xdist carries from a worker
to the controller. One path serves both, so that there is nothing that only shows under xdist.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck.report.records import Report

_VERIFIED = pytest.StashKey[list["Report"]]()
_EXAMPLES = pytest.StashKey[int]()
_FAILURE = pytest.StashKey[str]()


def ledger_of(config: pytest.Config) -> Ledger:
    """Return the ledger of a run."""
    found = config.pluginmanager.get_plugin("gradcheck-ledger")
    assert isinstance(found, Ledger)  # registered by pytest_configure
    return found


class Ledger:
    """Plugin object that follows the run.

    ``entries`` holds the reports of each node id as JSON; ``failures`` the message of each target that could
    not be loaded or run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.current: pytest.Item | None = None
        self.entries: dict[str, list[str]] = {}
        self.failures: dict[str, str] = {}

    @property
    def reports(self) -> dict[str, list[Report]]:
        """The reports by node id, in the order of the run."""
        from gradcheck.report.records import Report

        read = {
            node: [Report.from_dict(json.loads(text)) for text in kept] for node, kept in self.entries.items()
        }
        return {node: reports for node, reports in read.items() if reports}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remember which test is running."""
        self.current = item
        try:
            return (yield)
        finally:
            self.current = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Attach what a test verified to the report of its phase."""
        report = yield
        verified = item.stash.get(_VERIFIED, [])
        if verified:
            report.gradcheck = [json.dumps(each.to_dict()) for each in verified]
            del item.stash[_VERIFIED]
        if _FAILURE in item.stash:
            report.gradcheck_failure = item.stash[_FAILURE]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what a test verified, here or in a worker."""
        if report.when == "setup":  # of a test that is run again, the last run counts
            self.entries.pop(report.nodeid, None)
            self.failures.pop(report.nodeid, None)
        kept = getattr(report, "gradcheck", None)
        if kept:
            self.entries.setdefault(report.nodeid, []).extend(kept)
        if hasattr(report, "gradcheck_failure"):
            self.failures[report.nodeid] = report.gradcheck_failure

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file of targets that cannot be loaded."""
        from gradcheck.pytest_plugin import TARGETS

        if report.failed and self.config.rootpath / report.nodeid in self.config.stash.get(TARGETS, ()):
            self.failures[report.nodeid] = str(report.longrepr)


def record(item: pytest.Item, report: Report) -> None:
    """Note that a test verified something."""
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        _record_example(item, report)
    else:
        item.stash.setdefault(_VERIFIED, []).append(report)


def record_failure(item: pytest.Item, message: str) -> None:
    """Note why a target could not be run."""
    item.stash[_FAILURE] = message


def verified_so_far(item: pytest.Item) -> int:
    """Return how many reports a test has recorded."""
    return len(item.stash.get(_VERIFIED, []))


def _record_example(item: pytest.Item, report: Report) -> None:
    """Keep one report of a test that hypothesis runs on many examples.

    The last that did not pass is the one that was shrunk; where all pass, the worst tells most.
    """
    import dataclasses

    count = item.stash[_EXAMPLES] = item.stash.get(_EXAMPLES, 0) + 1
    before = item.stash.get(_VERIFIED, [])
    worse = not before or not report.ok or (before[0].ok and _digits(report) <= _digits(before[0]))
    kept = report if worse else before[0]
    notes = tuple(note for note in kept.notes if not note.endswith(" that hypothesis tried"))
    told = f"one of {count:,} examples that hypothesis tried"
    item.stash[_VERIFIED] = [dataclasses.replace(kept, notes=(*notes, told))]


def _digits(report: Report) -> float:
    return min((p.digits for p in report.parameters.values() if p.digits is not None), default=float("inf"))
