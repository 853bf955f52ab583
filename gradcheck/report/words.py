"""How numbers, names and counts are put into plain text: ASCII, on one line, and never markup.

Names and messages come from the code under verification, so that they may hold anything; what could move a
cursor, break a line or start an escape sequence is written as its Python escape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck.report.records import Coverage, Number

_WIDEST_INDEX = 40


def plain(text: str) -> str:
    """Return ``text`` on one line, white space collapsed, with everything unprintable escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in " ".join(text.split()))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cut(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters, cut in the middle: both ends of a name tell."""
    if len(text) <= width:
        return text
    if width <= 5:
        return text[:width]
    tail = (width - 3) // 2
    return text[: width - 3 - tail] + "..." + text[len(text) - tail :]


def size(value: float | None) -> str:
    """Return an error, an uncertainty or a tolerance to two digits; a dash for None."""
    return "-" if value is None else f"{value:.2g}"


def digits(value: float | None) -> str:
    """Return a number of agreeing decimal digits; a dash for None."""
    return "-" if value is None else f"{value:.1f}"


def number(value: Number, places: int = 5) -> str:
    """Return a number to so many significant digits."""
    if isinstance(value, complex):
        sign = "-" if math.copysign(1.0, value.imag) < 0 else "+"
        return f"({value.real:.{places}g}{sign}{abs(value.imag):.{places}g}j)"
    return f"{value:.{places}g}"


def places_to_tell_apart(one: Number, other: Number) -> int:
    """Return how many significant digits show that two numbers differ: 5, or more where needed."""
    largest, difference = max(abs(one), abs(other)), abs(one - other)
    if not math.isfinite(difference) or difference == 0:
        return 5
    return min(17, max(5, math.ceil(math.log10(largest / difference)) + 2))


def index(value: Sequence[int]) -> str:
    """Return the place of an entry as NumPy is indexed: [17, 203]."""
    return "[" + ", ".join(map(str, value)) + "]"


def indices(values: Sequence[Sequence[int]], more: int) -> str:
    """Return a few places of entries, and how many more there are."""
    shown: list[str] = []
    for value in values:
        if shown and sum(map(len, shown)) > _WIDEST_INDEX:
            break
        shown.append(index(value))
    rest = more + len(values) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


def with_article(noun: str) -> str:
    """Return ``noun`` with the article that fits: "a list", "an int"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def counted(count: int, noun: str) -> str:
    """Return ``count`` and ``noun`` in the number that fits: "1 entry", "2 entries"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, plain, and how many more there are."""
    shown = ", ".join(cut(plain(name), 60) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def duration(seconds: float) -> str:
    """Return a span of time in the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def looked_at(coverage: Coverage | None) -> str:
    """Return how much of a parameter was looked at."""
    if coverage is None:
        return "-"
    if coverage.total and coverage.entries >= coverage.total:
        return "every entry"
    parts = [counted(coverage.directions, "direction")] if coverage.directions else []
    if coverage.entries:
        parts.append(f"{coverage.entries:,} of {coverage.total:,} entries")
    return ", ".join(parts) or "-"
