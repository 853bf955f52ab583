"""The user's own traceback, without what is not theirs: our frames, importlib's and those of libraries."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType, TracebackType

from gradcheck.files import near
from gradcheck.shadow import LIBRARIES, hiding_module

_OURS = Path(__file__).resolve().parents[1]


def in_words(error: BaseException) -> str:
    """Return the error's kind and message on one line, and what is behind it where that is known."""
    told = _one(error)
    hidden = hiding_module(error)
    return f"{told} ({hidden.removesuffix('.')})" if hidden else told


def excerpt(error: BaseException, root: Path | None = None) -> str:
    """Return the traceback of an error with the user's frames only; those below ``root`` count as theirs.

    Errors that it was raised from are included.
    """
    told = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        part = waiting.pop()
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            part.stack = _theirs(part.stack, root)
            waiting += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(told.format()).rstrip("\n")


def raised_by_user(error: BaseException, root: Path | None = None) -> bool:
    """Whether an error that passed through us was raised in code that the user's functions called.

    It was, unless the last frame that is either theirs or ours is ours.
    """
    frames = [frame.f_code.co_filename for frame in _frames(error.__traceback__)]
    sides = [_is_theirs(name, root) for name in frames if _is_theirs(name, root) or _is_ours(name)]
    return bool(sides) and sides[-1]


def passed_through(error: BaseException, root: Path | None = None) -> bool:
    """Whether an error came by a frame of the user's."""
    return any(_is_theirs(frame.f_code.co_filename, root) for frame in _frames(error.__traceback__))


def _one(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _frames(link: TracebackType | None) -> list[FrameType]:
    found = []
    while link is not None:
        found.append(link.tb_frame)
        link = link.tb_next
    return found


def _theirs(stack: traceback.StackSummary, root: Path | None) -> traceback.StackSummary:
    kept = [
        traceback.FrameSummary(_near(frame.filename), frame.lineno, frame.name, line=frame.line)
        for frame in stack
        if _is_theirs(frame.filename, root)
    ]
    return traceback.StackSummary.from_list(kept)


def _is_ours(filename: str) -> bool:
    return Path(filename).resolve().is_relative_to(_OURS)


def _is_theirs(filename: str, root: Path | None) -> bool:
    if filename.startswith("<") or _is_ours(filename):
        return False
    path = Path(filename).resolve()
    if root is not None and path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts:
        return True
    return not any(path.is_relative_to(folder) for folder in LIBRARIES)


def _near(filename: str) -> str:
    """Return a file's name relative to the working folder where it lies below."""
    return near(filename) or filename
