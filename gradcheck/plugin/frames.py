"""A failure shows the user's code: frames of ours are taken out of the traceback."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from gradcheck.errors import GradcheckError
from gradcheck.targets.excerpt import raised_by_user

_OURS = str(Path(__file__).resolve().parents[1])


def show_only_theirs(error: BaseException) -> None:
    """Take our frames out of the traceback of an error, and of those that it was raised from.

    An error that we did not mean to raise keeps them all: they are what a report of it needs.
    """
    if not isinstance(error, GradcheckError) and not raised_by_user(error):
        return
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        part = waiting.pop()
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            part.__traceback__ = _without_ours(part.__traceback__)
            waiting += [part.__cause__, part.__context__]


def _without_ours(link: TracebackType | None) -> TracebackType | None:
    kept = []
    while link is not None:
        if not link.tb_frame.f_code.co_filename.startswith((_OURS, contextlib.__file__)):
            kept.append(link)
        link = link.tb_next
    chain = None
    for part in reversed(kept):
        chain = TracebackType(chain, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return chain
