"""Results appended to a file as they come, so that a run that is killed can be taken up where it ended.

One JSON object to a line, the first of which says what was asked for and which of the user's files were read
for it; where one of these has changed since, nothing is taken up (submissions, whose rows are kept as they
are, are read elsewhere). A last line that was cut off is not read. The file goes when a run comes to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.report.decode import decode
from gradcheck.report.encode import encode
from gradcheck.report.json import from_dict, to_dict
from gradcheck.report.records import Report
from gradcheck.report.run import Failure
from gradcheck.shadow import users_files

if TYPE_CHECKING:
    from gradcheck.cli.request import Request

PLACE = Path(".gradcheck", "run.jsonl")
_FORMAT = {"format": "gradcheck journal", "version": 2}


@dataclass(frozen=True)
class Entry:
    """A report or why there is none, its group, and the key by which it is not made again."""

    key: str
    group: str
    generated: bool
    result: Report | Failure


class Journal:
    """Where the results of a run are appended; ``done`` are those of the run that is resumed.

    ``changed`` is the file because of which there are none, "" where there is no such one.

    Raises:
        UsageError: where another command was stopped than the one that is to be resumed.
    """

    def __init__(self, request: Request, path: Path = PLACE) -> None:
        self._path = path
        self._asked = _asked(request)
        self._given = list(request.case_files)
        self._file: IO[str] | None = None
        self.changed = ""
        self.done: tuple[Entry, ...] = tuple(self._read()) if request.resume else ()

    @property
    def keys(self) -> frozenset[str]:
        """What need not be verified again."""
        return frozenset(entry.key for entry in self.done)

    def _read(self) -> Iterator[Entry]:
        try:
            first, *lines = self._path.read_text(encoding="utf-8").splitlines()
            header = json.loads(first)
        except (OSError, ValueError):  # nothing was stopped here: the run starts at its beginning
            return
        if any(header.get(key) != value for key, value in {**_FORMAT, "asked": self._asked}.items()):
            raise UsageError(
                f"{self._path} is of another command than this one; give the same, or leave out --resume."
            )
        known = header.get("files", {})
        self.changed = next((file for file, stamp in known.items() if _stamp(file) != stamp), "")
        for line in lines if not self.changed else ():
            try:
                data = json.loads(line)
                yield Entry(data["key"], data["group"], data["generated"], _result(data))
            except (ValueError, KeyError, TypeError):  # cut off when the run was killed
                return

    def begin(self) -> None:
        """Start the file anew, with what is done already; a folder that cannot be written gets none."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside = self._path.with_suffix(".new")
            with beside.open("w", encoding="utf-8") as file:
                header = {**_FORMAT, "asked": self._asked, "files": _stamps([*users_files(), *self._given])}
                file.writelines(_line(each) for each in (header, *map(_data, self.done)))
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


def _stamps(files: Iterable[str]) -> dict[str, list[int] | None]:
    """Return size and time of change of each file, None where there is none."""
    return {str(Path(file).resolve()): _stamp(file) for file in files}


def _stamp(file: str) -> list[int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
