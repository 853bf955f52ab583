"""The files that ``--gradcheck-html`` and ``--gradcheck-json`` ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gradcheck.plugin.ledger import Ledger, ledger_of
from gradcheck.plugin.settings import is_worker

if TYPE_CHECKING:
    from gradcheck.report.run import Run


def write_outputs(config: pytest.Config, *, complete: bool) -> None:
    """Write what was asked for, once, where the whole run is known."""
    html, json = config.getoption("gradcheck_html"), config.getoption("gradcheck_json")
    if is_worker(config) or not (html or json):
        return
    from gradcheck.errors import UsageError

    try:
        _write(_run(ledger_of(config), complete), html, json)
    except UsageError as problem:
        pytest.exit(f"gradcheck: {problem}", returncode=pytest.ExitCode.USAGE_ERROR)


def _write(run: Run, html: str | None, json: str | None) -> None:
    if json:
        from gradcheck.files import write_whole
        from gradcheck.report.json import to_json

        write_whole(json, to_json(run), "the JSON report")
    if html:
        from gradcheck.report.html import write

        write(run, html)


def _run(ledger: Ledger, complete: bool) -> Run:
    """Return what was verified, grouped by file."""
    from gradcheck._version import __version__
    from gradcheck.report.records import Report
    from gradcheck.report.run import Failure, Group, Run, concluded

    files: dict[str, list[Report]] = {}
    for node, reports in ledger.reports.items():
        files.setdefault(node.partition("::")[0], []).extend(reports)
    every = [report for reports in files.values() for report in reports]
    return Run(
        verdict=concluded(every, (report.verdict for report in every)),
        groups=tuple(Group(file, tuple(reports)) for file, reports in files.items()),
        failures=tuple(Failure(node, message) for node, message in ledger.failures.items()),
        seed=every[0].seed if every else 0,
        seconds=sum(report.cost.seconds for report in every),
        complete=complete,
        gradcheck=__version__,
    )
