"""How numbers, shapes and long names are put into words on the page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from gradcheck.report.records import Number
from gradcheck.report.words import counted, duration

__all__ = [
    "counted",
    "detail",
    "digits",
    "duration",
    "index",
    "number",
    "product",
    "shape",
    "shortened",
    "size",
]


def number(value: Number | None) -> str:
    """Return ``value`` to five significant digits, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, complex):
        sign = "-" if math.copysign(1.0, value.imag) < 0 else "+"
        return _tidy(f"{value.real:.5g} {sign} {abs(value.imag):.5g}i")
    return _tidy(f"{value:.5g}")


def size(value: float | None) -> str:
    """Return an error, uncertainty or tolerance to two significant digits, a dash for None."""
    return "–" if value is None else _tidy(f"{value:.2g}")


def detail(value: object) -> str:
    """Return a detail of a diagnosis: numbers to five digits, counts that are not zero, the rest as it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {detail(each)}" for key, each in value.items() if each != 0) or "none"
    return number(value) if isinstance(value, float | complex) else str(value)


def digits(value: float | None) -> str:
    """Return a number of agreeing decimal digits."""
    return "–" if value is None else f"{value:.1f}"


def shape(value: tuple[int, ...]) -> str:
    """Return a shape as Python writes it."""
    return f"({value[0]},)" if len(value) == 1 else "(" + ", ".join(map(str, value)) + ")"


def product(value: tuple[int, ...]) -> int:
    """Return the number of entries of a tensor of this shape."""
    return math.prod(value)


def index(value: tuple[int, ...] | None) -> str:
    """Return where a comparison was made: an entry, or a random direction."""
    if value is None:
        return "along a random direction"
    return "the whole (a scalar)" if value == () else "[" + ", ".join(map(str, value)) + "]"


def shortened(text: str, width: int) -> str:
    """Return ``text`` cut in the middle to at most ``width`` characters, on one line."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    tail = (width - 1) // 2
    return line[: width - 1 - tail] + "…" + line[len(line) - tail :]


def _tidy(written: str) -> str:
    """Return numbers with their exponents unpadded: 1e-7 for 1e-07."""
    return re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", written)
