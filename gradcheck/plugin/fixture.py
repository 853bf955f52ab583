"""What the fixture ``gradcheck`` is: ``verify`` with the options of the running test, raising on failure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcheck.errors import GradientMismatch
from gradcheck.plugin.frames import show_only_theirs
from gradcheck.plugin.ledger import ledger_of, record, verified_so_far
from gradcheck.plugin.settings import defaults, marked, replayed
from gradcheck.report.records import Report, Verdict

if TYPE_CHECKING:
    import pytest


class Verifier:
    """Call it like ``gradcheck.verify``."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __repr__(self) -> str:
        return "<fixture gradcheck>"

    def __call__(self, function: Callable[..., Any], /, *inputs: Any, **keywords: Any) -> Report:
        """Return the report where the verdict is pass.

        Args:
            function: as for ``gradcheck.verify``, like all that follows.
            inputs: its arguments.
            keywords: ``kwargs``, ``gradient``, and options.

        Raises:
            GradientMismatch: where it is not; the text is the report.
            UsageError: where an argument or an option cannot be used.
            TargetError: where the forward pass does not run.
        """
        __tracebackhide__ = True
        try:
            report = self._verify(function, inputs, keywords)
        except Exception as error:
            show_only_theirs(error)
            raise
        # Two lines: hypothesis takes failures raised on different lines for different ones, and so does
        # not shrink a wrong gradient to one that is merely not resolved.
        if report.verdict is Verdict.FAIL:
            raise GradientMismatch(report)
        if report.verdict is not Verdict.PASS:
            raise GradientMismatch(report)
        return report

    def _verify(
        self, function: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Report:
        from gradcheck.verification import verify

        item = ledger_of(self._config).current
        if item is None:  # called after the test, from a thread that it left behind
            return verify(function, *inputs, **defaults(self._config), **keywords)
        count = verified_so_far(item)
        name = item.nodeid if count == 0 else f"{item.nodeid} ({count + 1})"
        options = {
            "name": name,
            **defaults(self._config),
            **marked(item),
            **replayed(self._config),
            **keywords,
        }
        report = verify(function, *inputs, **options)
        redo = shlex.join(["pytest", item.nodeid, "--gradcheck-seed", str(report.seed)])
        report = dataclasses.replace(report, reproduce=redo)
        record(item, report)
        return report
