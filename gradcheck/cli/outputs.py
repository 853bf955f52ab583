"""The files that a run can be written to: one row per format, each tried before the run and written whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck.errors import UsageError
from gradcheck.files import require_writable, write_whole
from gradcheck.report.marks import MARKS

if TYPE_CHECKING:
    from gradcheck.report.run import Run


@dataclass(frozen=True)
class Format:
    """``what`` names the file in errors; ``require`` raises where a library is missing.

    ``marks`` are what such a file has near its beginning.
    """

    what: str
    text: Callable[[Run, bool], str]
    marks: tuple[str, ...]
    require: Callable[[], None] = lambda: None


def _json(run: Run, _allow_inconclusive: bool) -> str:
    from gradcheck.report.json import to_json

    return to_json(run)


def _junit(run: Run, allow_inconclusive: bool) -> str:
    from gradcheck.report.junit import to_junit

    return to_junit(run, allow_inconclusive=allow_inconclusive)


def _require_junit() -> None:
    from gradcheck.report.junit import require_junit

    require_junit()


def _html(run: Run, _allow_inconclusive: bool) -> str:
    from gradcheck.report.html import to_html

    return to_html(run)


def _require_html() -> None:
    from importlib.util import find_spec

    if find_spec("jinja2") is None:
        raise UsageError("The HTML report needs jinja2. Install it with: pip install 'gradcheck[html]'")


FORMATS: Mapping[str, Format] = {
    "html": Format("the HTML report", _html, MARKS["html"], _require_html),
    "json": Format("the JSON report", _json, MARKS["json"]),
    "junit": Format("the JUnit report", _junit, MARKS["junit"], _require_junit),
}


def require(files: Mapping[str, str]) -> None:
    """Make sure that each file, by the name of its format, can be written; changes nothing.

    Raises:
        UsageError: where one cannot, where two are the same, or where a library is missing.
    """
    seen: dict[Path, str] = {}
    for name, path in files.items():
        FORMATS[name].require()
        require_writable(path, FORMATS[name].what, FORMATS[name].marks)
        place = Path(path).resolve()
        if place in seen and (place.is_file() or not place.exists()):
            raise UsageError(f"--{seen[place]} and --{name} name the same file, {path}; give each its own.")
        seen[place] = name


def write(run: Run, files: Mapping[str, str], *, allow_inconclusive: bool) -> None:
    """Write a run in each format; all are tried, and UsageError is raised for the first that failed."""
    problems: list[UsageError] = []
    for name, path in files.items():
        try:
            write_whole(path, FORMATS[name].text(run, allow_inconclusive), FORMATS[name].what)
        except UsageError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
