"""Where in the user's code something happens.

The innermost frame that belongs neither to PyTorch, nor to the standard library, nor to us is the line that
the user wrote. Paths are shown as the user would type them: relative where they are below the working
directory.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from gradcheck.files import near
from gradcheck.subjects.torch.arguments import Arguments

_OURS = str(Path(__file__).parents[1]) + os.sep
_SUBJECT = str(Path(__file__).parents[1] / "subjects" / "torch" / "subject.py")
# In there: what copies the inputs for a run.
_COPIES = Arguments.fresh.__code__
_LAYOUT = str(Path(_SUBJECT).with_name("layout.py"))
_STANDARD = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# What calls users' code or is called by it, and what calls us.
_CALLERS = ("torch", "numpy", "click", "pytest", "_pytest", "pluggy", "hypothesis", "xdist", "execnet")
_LISTED = re.compile(r'File "(.+?)", line (\d+)')
_DEF = re.compile(r"\s*(async\s+)?def\b")


@dataclass(frozen=True)
class Place:
    """A line of a source file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{_shown(self.file)}:{self.line}"

    @property
    def source(self) -> str | None:
        """The text of the line, None where there is no source."""
        return linecache.getline(self.file, self.line).strip() or None


def _shown(file: str) -> str:
    if file.startswith("<"):
        return file
    return near(file) or file


@functools.cache
def _packages() -> tuple[str, ...]:
    folders = []
    for name in _CALLERS:
        module = sys.modules.get(name)
        if module is not None and module.__file__ is not None:
            folders.append(str(Path(module.__file__).parent) + os.sep)
    return (*folders, _OURS)


@functools.cache
def is_users(code: CodeType) -> bool:
    """Whether the code was written by the user, or by a library of theirs."""
    return _is_users(code.co_filename)


def _is_users(file: str) -> bool:
    if file.startswith(("<frozen", "<__array_function__")) or file.startswith(_packages()):
        return False
    return not file.startswith(_STANDARD) or any(part in file for part in _INSTALLED)


def caller() -> Place | None:
    """Return the innermost line of the user's on the stack, None where there is none.

    The stack is followed to where we call the user's function: what lies beyond called us.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _SUBJECT:
        if is_users(frame.f_code):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def copies_arguments(code: CodeType) -> bool:
    """Whether the code is ours that prepares the arguments of the user's function, in a watched run."""
    return code.co_filename == _LAYOUT or code is _COPIES


def raised_at(traceback: TracebackType | None) -> Place | None:
    """Return the innermost line of the user's in a traceback, None where there is none."""
    found = None
    while traceback is not None:
        if is_users(traceback.tb_frame.f_code):
            found = Place(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def listed_in(text: str) -> Place | None:
    """Return the innermost line of the user's in a traceback that is printed, None where there is none."""
    lines = [Place(file, int(line)) for file, line in _LISTED.findall(text) if _is_users(file)]
    return lines[-1] if lines else None


def definition(function: Any) -> Place | None:
    """Return the line of a function's ``def``, seen through decorators, partials and bound methods."""
    function = getattr(function, "__func__", function)
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(inspect.getattr_static(type(function), "__call__", None), "__code__", None)
    if code is None or not is_users(code):
        return None
    # a code object starts at its first decorator
    for line in [] if code.co_name == "<lambda>" else range(code.co_firstlineno, code.co_firstlineno + 20):
        if _DEF.match(linecache.getline(code.co_filename, line)):
            return Place(code.co_filename, line)
    return Place(code.co_filename, code.co_firstlineno)
