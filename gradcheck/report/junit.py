"""Reports as JUnit XML, for the test reporters of GitLab, Jenkins and GitHub.

A target becomes a test suite with a test case for each parameter and each variation, so that a reporter names
what is wrong; a family of generated cases becomes a suite with a test case for each. Only elements and
attributes of the schema that Jenkins validates against (junit-10.xsd) are used. junitparser is imported when
a file is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.errors import UsageError
from gradcheck.report.records import Report, VariationResult, Verdict
from gradcheck.report.run import Group, Run
from gradcheck.report.sentences import (
    blame_lines,
    headline,
    parameter_lines,
    parameter_title,
    variation_line,
)
from gradcheck.report.text import to_text

if TYPE_CHECKING:
    from junitparser import TestCase, TestSuite

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Outcome:
    """A test case: ``kind`` is "failure", "error", "skipped" or "" for passed."""

    classname: str
    name: str
    seconds: float
    kind: str = ""
    type: str = ""
    message: str = ""
    text: str = ""


def require_junit() -> None:
    """Raise UsageError where the library that writes the file is not installed."""
    try:
        import junitparser  # noqa: F401 - whether it can be imported is the question
    except ModuleNotFoundError:
        raise UsageError(
            "The JUnit report needs junitparser. Install it with: pip install 'gradcheck[junit]'"
        ) from None


def to_junit(run: Run, *, allow_inconclusive: bool = False) -> str:
    """Return a run as JUnit XML.

    What is wrong is a failure; what is inconclusive an error, or skipped where that is allowed.

    Raises:
        UsageError: where junitparser is not installed.
    """
    require_junit()
    from junitparser import JUnitXml

    document = JUnitXml("gradcheck")
    for name, outcomes in _suites(run, allow_inconclusive):
        document.add_testsuite(_suite(name, outcomes))
    document.update_statistics()  # type: ignore[no-untyped-call]  # junitparser leaves it without types
    # junitparser counts skipped tests on the root, where the schema has no such attribute.
    document._elem.attrib.pop("skipped", None)  # it offers no other way to leave one out
    written: bytes = document.tostring()  # type: ignore[no-untyped-call]  # as above
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written.decode("utf-8")}\n'


def _suites(run: Run, allow: bool) -> Iterator[tuple[str, list[Outcome]]]:
    for group in run.groups:
        if group.generated:
            yield (
                f"generated: {group.name}",
                [_of_case(run, report, group, allow) for report in group.reports],
            )
        else:
            yield from ((report.name, list(_of_target(run, report, allow))) for report in group.reports)
    if run.failures:
        failed = [
            Outcome("gradcheck", f.target, 0, "error", "TargetError", f.message.partition("\n")[0], f.message)
            for f in run.failures
        ]
        yield "not verified", failed


def _of_case(run: Run, report: Report, group: Group, allow: bool) -> Outcome:
    known = not report.ok and run.standing(report) is Verdict.PASS
    kind, sort = ("skipped", "known") if known else _kind(report.verdict, allow)
    text = "" if report.ok else to_text(report, width=100)
    message = "" if report.ok else headline(report)
    return Outcome(f"generated.{group.name}", report.name, report.cost.seconds, kind, sort, message, text)


def _of_target(run: Run, report: Report, allow: bool) -> Iterator[Outcome]:
    each = report.cost.seconds / max(1, len(report.parameters))
    verdicts = []
    for result in report.parameters.values():
        kind, sort = _unless_known(run, report, result.name, result.verdict, allow)
        if not kind and result.waived is not None:
            kind, sort = "skipped", "waived"
        title = parameter_title(result) if kind else ""
        text = "\n".join([title, *(f"  {line}" for line in parameter_lines(result)), *_end(report)])
        verdicts.append(result.verdict)
        yield Outcome(report.name, result.name, each, kind, sort, title, text if kind else "")
    for variation in report.variations:
        kind, sort = _of_variation(run, report, variation, allow)
        line = variation_line(variation) if kind else ""
        verdicts.append(variation.verdict or Verdict.PASS)
        yield Outcome(report.name, f"variation: {variation.name}", 0, kind, sort, line, line)
    if report.verdict not in verdicts and (report.verdict is not Verdict.PASS or not verdicts):
        kind, sort = _unless_known(run, report, "", report.verdict, allow)
        yield Outcome(report.name, "gradient", 0, kind, sort, headline(report), to_text(report, width=100))


def _of_variation(run: Run, report: Report, variation: VariationResult, allow: bool) -> tuple[str, str]:
    if variation.verdict is None:
        return "skipped", "skipped"
    return _unless_known(run, report, f"variation {variation.name}", variation.verdict, allow)


def _unless_known(run: Run, report: Report, what: str, verdict: Verdict, allow: bool) -> tuple[str, str]:
    known = verdict is not Verdict.PASS and run.reason(report, what) is not None
    return ("skipped", "known") if known else _kind(verdict, allow)


def _kind(verdict: Verdict, allow: bool) -> tuple[str, str]:
    if verdict is Verdict.PASS:
        return "", ""
    if verdict is Verdict.FAIL:
        return "failure", "GradientMismatch"
    return ("skipped" if allow else "error"), "inconclusive"


def _end(report: Report) -> list[str]:
    blames = [line for blame in report.blames for line in blame_lines(blame)]
    return blames + ([f"reproduce: {report.reproduce}"] if report.reproduce else [])


def _suite(name: str, outcomes: Iterable[Outcome]) -> TestSuite:
    from junitparser import TestSuite

    suite = TestSuite(_xml(name))
    for outcome in outcomes:
        suite.add_testcase(_case(outcome))
    suite.update_statistics()  # type: ignore[no-untyped-call]  # as above
    return suite


def _case(outcome: Outcome) -> TestCase:
    from junitparser import Error, Failure, Skipped, TestCase

    case = TestCase(_xml(outcome.name), _xml(outcome.classname), round(outcome.seconds, 3))
    if outcome.kind:
        element = {"failure": Failure, "error": Error, "skipped": Skipped}[outcome.kind]
        entry = element(_xml(outcome.message), outcome.type)
        entry.text = _xml(outcome.text)
        case.result = [entry]
    return case


def _xml(text: str) -> str:
    """Return text with the characters that XML cannot hold written as Python's escapes."""
    return _NOT_XML.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
