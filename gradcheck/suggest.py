"""The words "Did you mean ...?", the same wherever a name that somebody typed is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], listing: str = "") -> str:
    """Return what to add after "Unknown ...": the nearest names, else all of them, after a space.

    ``listing`` introduces the names where none is near, for example "Known families"; where it is empty,
    or no name is known, nothing is added.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    return f" {listing}: {', '.join(names)}." if listing and names else ""
