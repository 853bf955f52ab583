"""Renders the page: jinja2 escapes every value that is not markup made here."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from gradcheck._version import __version__
from gradcheck.errors import UsageError
from gradcheck.files import write_whole
from gradcheck.report.html import words
from gradcheck.report.html.view import page_view
from gradcheck.report.records import Report
from gradcheck.report.run import Group, Run, overall

if TYPE_CHECKING:
    from jinja2 import Environment

_FILTERS = (
    words.detail,
    words.number,
    words.size,
    words.digits,
    words.shape,
    words.product,
    words.index,
    words.counted,
    words.duration,
)


def to_html(verified: Run | Sequence[Report]) -> str:
    """Return one HTML document about a run, or about reports; it needs no other file and no network.

    Raises:
        UsageError: where jinja2 is not installed.
    """
    environment = _environment()
    script = _packaged("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        page=page_view(_as_run(verified)),
        style=_packaged("style.css"),
        script=script,
        script_digest=digest,
        version=__version__,
    )


def write(verified: Run | Sequence[Report], path: str | os.PathLike[str]) -> None:
    """Write the page to ``path``; the file is there whole or not at all.

    Raises:
        UsageError: where jinja2 is not installed, or the file cannot be written.
    """
    write_whole(path, to_html(verified), "the HTML report")


def _as_run(verified: Run | Sequence[Report]) -> Run:
    if isinstance(verified, Run):
        return verified
    reports = tuple(verified)
    return Run(overall(report.verdict for report in reports), (Group("", reports),))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError:
        raise UsageError(
            "The HTML report needs jinja2. Install it with: pip install 'gradcheck[html]'"
        ) from None
    environment = Environment(
        loader=PackageLoader("gradcheck.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in _FILTERS})
    return environment


def _packaged(name: str) -> str:
    return files("gradcheck.report.html").joinpath("templates", name).read_text(encoding="utf-8")
