"""Results appended to a file as they come, so that a run that is killed can be taken up where it ended.

One JSON object to a line, the first of which says what was asked for; a last line that was cut off is not
read. The file goes when a run comes to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.report.decode import decode
from gradcheck.report.encode import encode
from gradcheck.report.json import from_dict, to_dict
from gradcheck.report.records import Report
from gradcheck.report.run import Failure

if TYPE_CHECKING:
    from gradcheck.cli.request import Request

PLACE = Path(".gradcheck", "run.jsonl")
_FORMAT = {"format": "gradcheck journal", "version": 1}


@dataclass(frozen=True)
class Entry:
    """A report or why there is none, its group, and the key by which it is not made again."""

    key: str
    group: str
    generated: bool
    result: Report | Failure


class Journal:
    """Where the results of a run are appended; ``done`` are those of the run that is resumed.

    Raises:
        UsageError: where another command was stopped than the one that is to be resumed.
    """

    def __init__(self, request: Request, path: Path = PLACE) -> None:
        self._path = path
        self._asked = _asked(request)
        self._file: IO[str] | None = None
        self.done: tuple[Entry, ...] = tuple(_read(path, self._asked)) if request.resume else ()

    @property
    def keys(self) -> frozenset[str]:
        """What need not be verified again."""
        return frozenset(entry.key for entry in self.done)

    def begin(self) -> None:
        """Start the file anew, with what is done already; a folder that cannot be written gets none."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside = self._path.with_suffix(".new")
            with beside.open("w", encoding="utf-8") as file:
                file.writelines(
                    _line(each) for each in ({**_FORMAT, "asked": self._asked}, *map(_data, self.done))
                )
            os.replace(beside, self._path)
            self._file = self._path.open("a", encoding="utf-8")

    def append(self, entry: Entry) -> None:
        """Append a result; it is in the file when this returns."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a disk that is full takes the journal, not the run
                self._file.write(_line(_data(entry)))
                self._file.flush()

    def end(self, *, complete: bool) -> None:
        """Close the file, and remove it where there is nothing left to resume."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            if complete:
                self._path.unlink(missing_ok=True)


def _asked(request: Request) -> Any:
    from gradcheck.options import Options

    options = Options.of(**{**request.defaults, **request.overrides}).to_dict()
    return json.loads(
        json.dumps(
            [request.targets, request.each, request.case_files, request.cases, request.families, options]
        )
    )


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, allow_nan=False) + "\n"


def _data(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "group": entry.group,
        "generated": entry.generated,
        **(
            {"failure": encode(entry.result, Failure)}
            if isinstance(entry.result, Failure)
            else {"report": to_dict(entry.result)}
        ),
    }


def _result(data: Mapping[str, Any]) -> Report | Failure:
    if "failure" not in data:
        return from_dict(data["report"])
    failure = decode(data["failure"], Failure, "failure")
    assert isinstance(failure, Failure)
    return failure


def _read(path: Path, asked: Any) -> Iterator[Entry]:
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        header = json.loads(first)
    except (OSError, ValueError):  # nothing was stopped here: the run starts at its beginning
        return
    if {**header, "asked": None} != {**_FORMAT, "asked": None} or header["asked"] != asked:
        raise UsageError(f"{path} is of another command than this one; give the same, or leave out --resume.")
    for line in lines:
        try:
            data = json.loads(line)
            yield Entry(data["key"], data["group"], data["generated"], _result(data))
        except (ValueError, KeyError, TypeError):  # cut off when the run was killed
            return
