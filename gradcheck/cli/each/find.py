"""What counts as a submission: the files that end in .py, and the folders, of one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck.errors import UsageError
from gradcheck.report.words import listed
from gradcheck.suggest import did_you_mean

# The main module of a folder is the first of these, or else its only file that ends in .py.
MAIN = ("main.py", "submission.py", "__init__.py")


@dataclass(frozen=True)
class Submission:
    """``file`` is the module that is loaded, ``root`` the folder that it imports from, None for a file.

    ``problem`` says why there is nothing to load.
    """

    name: str
    file: str
    root: str | None = None
    problem: str = ""


def find_submissions(
    folder: str, only: Sequence[str] = (), leave_out: Path | None = None
) -> tuple[tuple[Submission, ...], tuple[str, ...]]:
    """Return the submissions in a folder, sorted by name, and the names of what is none.

    ``only`` are the names of those wanted, all where it is empty; ``leave_out`` is the grader's own file.
    Names that start with a dot or two underscores are passed over.

    Raises:
        UsageError: where there is no such folder, nothing in it, or no submission of a name.
    """
    found: dict[str, Submission] = {}
    others = []
    for path in _entries(folder):
        if leave_out is not None and path.resolve() == leave_out:
            continue
        if path.is_dir():
            found[path.name] = _of_folder(path)
        elif path.suffix == ".py":
            found[path.name] = Submission(path.name, str(path))
        else:
            others.append(path.name)
    if not found:
        raise UsageError(
            f"There is no submission in {folder}; put files that end in .py there, or folders of such files."
        )
    for name in only:
        if name not in found:
            raise UsageError(
                f"There is no submission {name!r} in {folder}." + did_you_mean(name, found, "It has")
            )
    return tuple(s for name, s in found.items() if not only or name in only), () if only else tuple(others)


def _entries(folder: str) -> list[Path]:
    try:
        entries = sorted(Path(folder).iterdir(), key=lambda path: path.name)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        reason = getattr(problem, "strerror", None) or problem
        raise UsageError(
            f"Cannot look for submissions in {folder}: {reason}. Name the folder that holds them."
        ) from None
    return [path for path in entries if not path.name.startswith((".", "__"))]


def _of_folder(folder: Path) -> Submission:
    try:
        files = sorted(path.name for path in folder.iterdir() if path.suffix == ".py")
    except OSError as problem:
        return Submission(folder.name, "", None, f"cannot be read: {problem.strerror}")
    main = next((name for name in MAIN if name in files), files[0] if len(files) == 1 else "")
    if main:
        return Submission(folder.name, str(folder / main), str(folder))
    has = f"only {listed(files)}" if files else "no file that ends in .py"
    return Submission(folder.name, "", None, f"has no main.py or submission.py, {has}")
