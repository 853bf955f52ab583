"""The source lines around a blamed line: from the file if it is still there, else as the report kept them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck.report.records import Blame

_AROUND = 4
_LONGEST = 40  # lines shown of a function at most
_DEF = re.compile(r"\s*(async\s+)?def\s")
_SUFFIXES = frozenset({".py", ".pyx", ".pyi", ".cu", ".cuh", ".cpp", ".cc", ".c", ".h", ".hpp"})
_LARGEST = 5_000_000  # bytes: a longer file is not source that somebody reads


@dataclass(frozen=True)
class Line:
    """A line of source; ``number`` is None where the report kept no numbers."""

    number: int | None
    text: str
    blamed: bool


def lines_around(blame: Blame) -> tuple[Line, ...]:
    """Return the blamed line with its neighbours, empty where neither file nor report has them."""
    path, number = _place(blame.location)
    if path is not None and number is not None:
        text = _read(path)
        if 1 <= number <= len(text):
            first = max(number - _AROUND, 1)
            window = text[first - 1 : max(number + _AROUND, _end(text, number))]
            return tuple(Line(n, line, n == number) for n, line in enumerate(window, start=first))
    kept = (blame.source or "").strip("\n").splitlines()
    return tuple(Line(number if len(kept) == 1 else None, line, len(kept) == 1) for line in kept)


def _end(text: Sequence[str], number: int) -> int:
    """Return the last line of the function that begins at a line; the line itself where none does."""
    start = number
    while start < len(text) and text[start - 1].lstrip().startswith("@"):  # its decorators come first
        start += 1
    if not _DEF.match(text[start - 1]):
        return number
    depth, end = _depth(text[start - 1]), start
    for n in range(start + 1, min(start + _LONGEST, len(text)) + 1):
        line = text[n - 1]
        if line.strip() and _depth(line) <= depth and not line.strip().startswith(")"):
            break
        end = n if line.strip() else end
    return end


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _place(location: str | None) -> tuple[Path | None, int | None]:
    path, separator, number = (location or "").rpartition(":")
    if not separator or not number.isdecimal():
        return None, None
    return Path(path), int(number)


def _read(path: Path) -> Sequence[str]:
    """Return the lines of a source file, none where it is not one that can be read."""
    try:
        if path.suffix not in _SUFFIXES or path.stat().st_size > _LARGEST:
            return ()
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # ValueError: a NUL in the name, or bytes that are no UTF-8
        return ()
