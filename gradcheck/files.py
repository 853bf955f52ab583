"""Files that are there whole or not at all: written under another name beside the target, then renamed.

A run may take an hour, so whether its files can be written is tried before it starts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gradcheck.errors import UsageError

_SOURCES = (".py", ".pyi", ".ipynb")
_START = 4096  # bytes, in which a file says what it is


_start: ContextVar[str | None] = ContextVar("start", default=None)


@contextmanager
def staying_here() -> Iterator[None]:
    """Show paths from the working folder as it is now, and come back to it: code that runs may leave it."""
    folder = os.getcwd()
    token = _start.set(_start.get() or folder)
    try:
        yield
    finally:
        _start.reset(token)
        os.chdir(folder)


def near(file: str | os.PathLike[str]) -> str | None:
    """Return a file's path from the working folder, None where it does not lie below."""
    start = Path(_start.get() or os.getcwd())
    path = Path(file).resolve()
    return str(path.relative_to(start)) if path.is_relative_to(start) else None


def write_whole(path: str | os.PathLike[str], text: str, what: str) -> None:
    """Write ``text`` to ``path``; ``what`` names it in errors, "the HTML report".

    A device or a pipe (``/dev/stdout``) is written to as it is. A link keeps pointing where it does.

    Raises:
        UsageError: where the file cannot be written; nothing is left behind.
    """
    try:
        target = Path(path).resolve()
        if _is_special(target):
            target.write_text(text, encoding="utf-8", errors="backslashreplace")
        else:
            _replace(target, text.encode("utf-8", errors="backslashreplace"))
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise _unwritable(path, what, problem) from None


def require_writable(path: str | os.PathLike[str], what: str, marks: Sequence[str] = ()) -> None:
    """Find out, by trying, whether ``write_whole`` could write ``path``. Changes nothing.

    ``marks`` are what files of this kind begin with, one of them at least: another file that is there, and
    any source file, is somebody's work, which a slip of the hand must not replace.

    Raises:
        UsageError: where it could not, or should not, with the reason.
    """
    if not os.fspath(path):
        raise UsageError(f"Expected the name of a file for {what} but got an empty one; name one.")
    if os.fspath(path) == "-":
        raise UsageError(
            f"Expected the name of a file for {what} but got -; for standard output: /dev/stdout."
        )
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if not target.parent.is_dir():
            raise FileNotFoundError(None, f"there is no folder {target.parent}")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(None, "it is read-only")
        if _is_special(target):
            return
        if marks:
            _require_ours(target, marks)
        beside = _beside(target)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        beside.unlink()
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise _unwritable(path, what, problem) from None


def _require_ours(target: Path, marks: Sequence[str]) -> None:
    if target.suffix in _SOURCES:
        raise FileExistsError(None, f"{target.suffix} is the ending of a program")
    if not target.exists():
        return
    with target.open("rb") as file:
        start = file.read(_START).decode("utf-8", errors="replace")
    if start and not any(mark in start for mark in marks):
        raise FileExistsError(None, "it is there already, and gradcheck did not write it")


def _is_special(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}")


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target, with the mode that it has or that a new file gets, and rename."""
    beside = _beside(target)
    try:
        with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(beside, target)
    except BaseException:  # also Ctrl-C: nothing half-written stays
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _unwritable(path: str | os.PathLike[str], what: str, problem: OSError | ValueError) -> UsageError:
    reason = getattr(problem, "strerror", None) or problem
    return UsageError(f"Cannot write {what} to {Path(path)}: {reason}. Name a file that can be written.")
