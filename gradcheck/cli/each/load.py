"""Loading a submission as a module that answers for what it lacks."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Literal

from gradcheck.errors import TargetError
from gradcheck.suggest import did_you_mean
from gradcheck.targets.excerpt import excerpt, in_words
from gradcheck.targets.seeding import seeded

# One name for all, so that a submission called numpy.py stands in nobody's way.
_NAME = "gradcheck_submission"

Suspicion = Literal["certain", "possible", ""]


class Lacking(AttributeError):
    """A submission has no function of the name that the grader asked for."""


_asked: list[str] = []  # names that a grader has asked the submission for
_UNTELLING = ("__class__", "__file__", "__name__")


class SubmissionModule(ModuleType):
    """A module that names what is nearest to what it lacks, and remembers that it was asked for anything."""

    def __getattribute__(self, name: str) -> object:
        """Return what the module has under a name."""
        if name not in _UNTELLING:
            _asked.append(name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> object:
        """Raise Lacking: this is called for a name that the module has not."""
        if name.startswith("__"):
            raise AttributeError(name)
        known = [each for each, value in vars(self).items() if callable(value) and not each.startswith("_")]
        raise Lacking(f"has no function {name!r}." + did_you_mean(name, known, "It has"))


def load_submission(name: str, file: str, root: Path | None) -> ModuleType:
    """Execute a submission's main module and return it; ``name`` is what errors call it.

    Raises:
        TargetError: where it raises or exits; the text is the submission's own traceback.
    """
    spec = importlib.util.spec_from_file_location(_NAME, os.path.abspath(file))
    assert spec is not None and spec.loader is not None  # noqa: PT018 - one fact: .py files have a loader
    module = importlib.util.module_from_spec(spec)
    module.__class__ = SubmissionModule
    sys.modules[_NAME] = module
    try:
        with seeded(0):
            spec.loader.exec_module(module)
    except SystemExit as error:
        raise TargetError(
            f"{name} ends the program ({in_words(error)}) when it is loaded; put what should run only as a "
            'program under if __name__ == "__main__":'
        ) from error
    except Exception as error:
        raise TargetError(f"{name} cannot be loaded: {in_words(error)}\n{excerpt(error, root)}") from error
    _asked.clear()
    return module


def suspicion(error: TargetError, grader: str | None) -> Suspicion:
    """Return how far an error says that the grader, whose file is given, is at fault and not the submission.

    A grader that raises before it asked for anything is. One that raises later, outside of the submission,
    may have been given something wrong.
    """
    if not _asked:
        return "certain"
    cause = error.__cause__
    frames = [] if cause is None else [frame.filename for frame in traceback.extract_tb(cause.__traceback__)]
    submission = getattr(sys.modules.get(_NAME), "__file__", None)
    users = [file for file in frames if file in (grader, submission)]
    return "possible" if submission not in users and (users or cause is None) else ""


def lacking(error: BaseException | None) -> Lacking | None:
    """Return the missing function that an error comes from, if it does."""
    while error is not None:
        if isinstance(error, Lacking):
            return error
        error = error.__cause__ or error.__context__
    return None
