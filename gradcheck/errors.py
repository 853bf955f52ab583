"""Every error that users meet. A message is a sentence that ends in the next action."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck.report.records import Report


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; users' code and libraries say more, or nothing."""
    return (str(error).splitlines() or [""])[0]


class GradcheckError(Exception):
    """Something about the request, not about the gradient, is wrong (exit status 2)."""


class UsageError(GradcheckError, ValueError):
    """An argument, option or file cannot be used."""


class OptionError(UsageError):
    """An option has a value that cannot be used; ``expected`` says what can."""

    def __init__(self, message: str, expected: str, name: str, value: object) -> None:
        super().__init__(message)
        self.expected, self.name, self.value = expected, name, value


class TargetError(GradcheckError):
    """A target cannot be loaded or run."""


class EngineError(GradcheckError):
    """An engine raised, or returned something other than a value and its gradients."""


class GradientMismatch(AssertionError):
    """A gradient is wrong, or could not be confirmed. The text is the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return str(self.report)
