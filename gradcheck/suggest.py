"""The words "Did you mean ...?", the same wherever a name that somebody typed is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST = 20


def did_you_mean(name: str, known: Iterable[str], listing: str = "") -> str:
    """Return what to add after "Unknown ...": the nearest names, else what there is, after a space.

    ``listing`` introduces the names where none is near, for example "Known families"; where it is empty,
    or no name is known, nothing is added.
    """
    names = sorted(known)
    near = [each for each in names if each.casefold() == name.casefold() and each != name][:2]
    near = near or difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    if not listing or not names:
        return ""
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f" {listing}: {', '.join(names[:_MOST])}{more}."
