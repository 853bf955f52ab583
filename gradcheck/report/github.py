"""A run as GitHub Actions shows it: annotations at the blamed lines, and a job summary in Markdown.

Annotations are workflow commands on standard output
(https://docs.github.com/actions/reference/workflow-commands-for-github-actions); whatever the code under
verification put into a name or a message is escaped, so that it can neither end a command nor start one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from gradcheck.errors import UsageError
from gradcheck.report.baseline import sentences
from gradcheck.report.records import ParameterResult, Report, Verdict
from gradcheck.report.run import Failure, Run
from gradcheck.report.sentences import WORDS, blame_lines, headline, of_verdict, parameter_title
from gradcheck.report.summary import conclusion, worst_digits
from gradcheck.report.text import to_text
from gradcheck.report.words import digits, duration, plain

# By the verdict that a baseline leaves, the worst first.
_LEVELS = {
    Verdict.FAIL: ("error", "wrong gradient"),
    Verdict.INCONCLUSIVE: ("warning", "gradient not resolved"),
    Verdict.PASS: ("notice", "known discrepancy"),
}
_LARGEST_SUMMARY = 900_000  # GitHub refuses a summary of more than 1 MiB
_RISKY = frozenset("\\`*_{}[]()<>#+-!|~&@:$")


def to_annotations(run: Run) -> str:
    """Return one workflow command for each blamed line, for each report without one, and for each failure.

    Errors come first: GitHub shows ten of a kind for each step.
    """
    order = list(_LEVELS)
    reports = sorted(run.reports, key=lambda report: order.index(run.standing(report)))
    lines = [_failure(failure) for failure in run.failures]
    lines += [line for report in reports for line in _of_report(report, run.standing(report))]
    return "".join(f"{line}\n" for line in lines)


def to_summary(run: Run) -> str:
    """Return the job summary: a conclusion, a table of what was verified, and the reports of what failed."""
    parts = [f"## gradcheck: {_markdown(conclusion(run))}\n"]
    if run.failures:
        parts += ["\n### Not verified\n\n", *(_details(f.target, f.message) for f in run.failures)]
    if run.against:
        parts += ["\n### Against the baseline\n\n", *(f"- {_markdown(s)}\n" for s in sentences(run.against))]
    parts += ["\n", *_table(run)]
    told = (_details(headline(r), to_text(r, width=100)) for r in run.reports if not r.ok)
    return "".join(_within(chain(parts, told)))


def _within(parts: Iterable[str]) -> Iterator[str]:
    """Yield whole parts as long as they fit, and say so where some do not."""
    room = _LARGEST_SUMMARY
    for part in parts:
        room -= len(part.encode(errors="backslashreplace"))
        if room < 0:
            yield "\nCut here; the log has the rest.\n"
            return
        yield part


def write_summary(run: Run, environment: Mapping[str, str] = os.environ) -> None:
    """Append the job summary to the file that GitHub names, if it names one.

    Raises:
        UsageError: where that file cannot be written.
    """
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(to_summary(run))
    except OSError as problem:
        raise UsageError(
            f"Cannot write the job summary to {path}: {problem.strerror}. GITHUB_STEP_SUMMARY names the file."
        ) from None


def _of_report(report: Report, standing: Verdict) -> Iterator[str]:
    if report.ok:
        for result in report.parameters.values():
            if result.waived is not None:
                yield _command("notice", report.location, "gradient waived", parameter_title(result))
        return
    level, title = _LEVELS[standing]
    concerned = of_verdict(report.parameters.values(), report.verdict)
    titles = [line for result in concerned[:10] for line in (parameter_title(result), *_mistake(result))]
    body = "\n".join(dict.fromkeys([headline(report), *titles]))
    if report.reproduce:
        body += f"\nreproduce: {plain(report.reproduce)}"
    for blame in report.blames:
        place = _changed(concerned) if len(report.blames) == 1 else None
        where = place or blame.location or report.location
        yield _command(level, where, title, "\n".join([*blame_lines(blame), body]))
    if not report.blames:
        yield _command(level, _changed(concerned) or report.location, title, body)


def _mistake(result: ParameterResult) -> list[str]:
    return [plain(diagnosis.message) for diagnosis in result.diagnoses[:1]]


def _changed(results: Iterable[ParameterResult]) -> str | None:
    """Return the line whose change makes the gradient right, where one is known."""
    for diagnosis in (diagnosis for result in results for diagnosis in result.diagnoses):
        place = diagnosis.details.get("place")
        if diagnosis.kind == "slip" and isinstance(place, str):
            return place
    return None


def _failure(failure: Failure) -> str:
    file = failure.target.partition(":")[0]
    location = file if file.endswith(".py") else None
    return _command("error", location, "target not verified", failure.message)


def _command(level: str, location: str | None, title: str, message: str) -> str:
    properties = [*_place(location), f"title={_property(title)}"]
    return f"::{level} {','.join(properties)}::{_data(message)}"


def _place(location: str | None) -> list[str]:
    """Return the properties that name a place, the file as seen from the root of the repository."""
    if not location:
        return []
    file, colon, line = location.rpartition(":")
    if not colon or not line.isdecimal():
        file, line = location, ""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    path = Path(file).resolve()
    near = path.relative_to(root).as_posix() if path.is_relative_to(root) else file
    return [f"file={_property(near)}"] + ([f"line={line}"] if line else [])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _table(run: Run) -> Iterator[str]:
    rows = [report for group in run.groups if not group.generated for report in group.reports]
    if rows:
        yield "| target | verdict | parameters | digits | time |\n| --- | --- | ---: | ---: | ---: |\n"
    for report in rows:
        yield (
            f"| {_markdown(report.name)} | {WORDS[report.verdict]} | {len(report.parameters)} "
            f"| {digits(worst_digits(report))} | {duration(report.cost.seconds)} |\n"
        )
    families = [group for group in run.groups if group.generated]
    if families:
        yield "\n| family | cases | pass | FAIL | inconclusive |\n| --- | ---: | ---: | ---: | ---: |\n"
    for group in families:
        found = [report.verdict for report in group.reports]
        counts = " | ".join(
            str(found.count(verdict)) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
        )
        yield f"| {_markdown(group.name)} | {len(found)} | {counts} |\n"


def _details(title: str, text: str) -> str:
    fence = "`" * (max((len(run) for run in _ticks(text)), default=0) + 3)
    title = _markdown(title.partition("\n")[0])
    return f"\n<details><summary>{title}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>\n"


def _ticks(text: str) -> list[str]:
    return "".join(c if c == "`" else " " for c in text).split()


def _markdown(text: str) -> str:
    """Return text that Markdown and HTML show as it is: what could mean something is a reference."""
    return "".join(f"&#{ord(c)};" if c in _RISKY else c for c in plain(text))
