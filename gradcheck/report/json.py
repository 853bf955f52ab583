"""Reports as JSON and back, exactly, driven by the records' own fields.

A field that is added to a record is written and read with no change here; ``report.schema.json`` beside this
file, which ``gradcheck.report.schema`` makes, describes the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gradcheck.report.decode import decode
from gradcheck.report.encode import encode
from gradcheck.report.records import Report
from gradcheck.report.run import Run
from gradcheck.report.words import with_article

VERSION = 1
FORMATS: Mapping[str, type] = {"gradcheck report": Report, "gradcheck run": Run}


def to_dict(record: Report | Run) -> dict[str, Any]:
    """Return a report or a run as JSON-ready data, which ``from_dict`` and ``run_from_dict`` read back."""
    name = next(name for name, kind in FORMATS.items() if isinstance(record, kind))
    return {"format": name, "version": VERSION, **encode(record, type(record))}


def from_dict(data: Mapping[str, Any]) -> Report:
    """Read a report. Raises ValueError, whose sentence names the place, where the data is not one."""
    return _read(data, Report)  # type: ignore[no-any-return]  # decode returns the kind that it is given


def run_from_dict(data: Mapping[str, Any]) -> Run:
    """Read a run. Raises ValueError, whose sentence names the place, where the data is not one."""
    return _read(data, Run)  # type: ignore[no-any-return]  # as above


def to_json(record: Report | Run) -> str:
    """Return a report or a run as strict JSON, one line per level, with a last line break."""
    return json.dumps(to_dict(record), indent=1, allow_nan=False, ensure_ascii=True) + "\n"


def _read(data: Mapping[str, Any], kind: type) -> Any:
    name = next(name for name, of in FORMATS.items() if of is kind)
    if not isinstance(data, Mapping):
        raise ValueError(
            f"Expected a {name} but got {with_article(type(data).__name__)}; read the JSON into a dict first."
        )
    if data.get("format", name) != name:
        raise ValueError(f"Expected a {name} but got format={data['format']!r}.")
    if data.get("version", VERSION) != VERSION:
        raise ValueError(
            f"Expected version {VERSION} of a {name} but got version={data['version']!r}; read it with the "
            "gradcheck that wrote it."
        )
    body = {key: value for key, value in data.items() if key not in ("format", "version")}
    return decode(body, kind, kind.__name__.lower())
