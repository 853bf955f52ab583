"""Numbers, entries and slices in words, the same in every message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradcheck.diagnose.numbers import ordinal


def number(value: complex) -> str:
    """Return a number with the digits that a reader wants to see."""
    if isinstance(value, complex):
        if value.imag != 0:
            return f"({value.real:.6g}{value.imag:+.6g}j)"
        value = value.real
    return f"{value:.6g}"


def count(n: int, of: int, what: str = "entries") -> str:
    """Return "3 of 40 entries", "1 of 1 entry"."""
    return f"{n} of {of} {'entry' if of == 1 and what == 'entries' else what}"


def listing(items: Iterable[object], most: int = 6) -> str:
    """Return "a, b and c", cut after ``most``."""
    texts = [str(item) for item in items]
    if len(texts) > most:
        return ", ".join(texts[:most]) + f" and {len(texts) - most} more"
    if len(texts) < 2:
        return "".join(texts)
    return ", ".join(texts[:-1]) + " and " + texts[-1]


def entry(index: Sequence[int]) -> str:
    """Return "[3, 4]"."""
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as NumPy prints it."""
    return str(tuple(int(n) for n in shape))


def axis_words(axis: int, ndim: int, plural: bool = False) -> str:
    """Return "row", "column", or "index along axis 2"; entries of a vector are "entry"."""
    if ndim == 1:
        return "entries" if plural else "entry"
    if ndim == 2:
        return (("row", "rows"), ("column", "columns"))[axis][plural]
    return f"{'indices' if plural else 'index'} along the {ordinal(axis)} axis"


def axes_words(axes: Sequence[int]) -> str:
    """Return "axis 0" or "axes 0 and 1"."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {listing(axes)}"
