"""Loading a user's file or module, so that its imports, dataclasses and pickles work as anywhere else.

A file is put into ``sys.modules`` under its own name where that is free, and under a name of ours where it
is taken: nothing that is there already is replaced.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gradcheck.errors import TargetError, UsageError
from gradcheck.suggest import did_you_mean
from gradcheck.targets.declare import loading
from gradcheck.targets.excerpt import excerpt, in_words, passed_through
from gradcheck.targets.place import imports_from
from gradcheck.targets.seeding import seeded

_FILES: dict[Path, ModuleType] = {}


@dataclass(frozen=True)
class Loaded:
    """A module and what it was called: ``spec`` on the command line, ``root`` where its imports start."""

    module: ModuleType
    spec: str
    file: str | None
    root: Path

    def holds(self, filename: str) -> bool:
        """Whether code of this file name is the module's own."""
        own = getattr(self.module, "__file__", None)
        return own is not None and Path(filename).resolve() == Path(own).resolve()


def load_file(place: str) -> Loaded:
    """Load a Python file, once.

    Raises:
        UsageError: where there is no such file.
        TargetError: where it raises; the text is the user's own traceback.
    """
    path = _existing(place)
    root, name = _root_and_name(path)
    if path not in _FILES:
        with imports_from(root), seeded(None), _told(place, f"python {place}", root), loading():
            _FILES[path] = importlib.import_module(name) if "." in name else _execute(path, name)
        _require_same(_FILES[path], path)
    return Loaded(_FILES[path], place, place, root)


def load_module(name: str) -> Loaded:
    """Import a module by its dotted name, from the working folder or wherever it is installed.

    Raises:
        UsageError: where there is no such module.
        TargetError: where importing it raises; the text is the user's own traceback.
    """
    root = Path.cwd().resolve()
    with imports_from(root), seeded(None), _told(name, f"python -c 'import {name}'", root), loading():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"There is no file and no module {name!r}; name a file that ends in .py, or run in the "
                "folder from which the module can be imported."
            ) from None
        except ValueError as error:  # a leading dot, or nothing between two
            raise UsageError(
                f"Cannot import {name!r}: {error}. Write it as pkg.module or as a file."
            ) from None
    return Loaded(module, name, getattr(module, "__file__", None), root)


def _existing(place: str) -> Path:
    path = Path(place)
    if path.is_dir():
        raise UsageError(f"{place} is a folder; name the files in it, for example {Path(place) / '*.py'}.")
    if path.suffix == ".json" and path.is_file():
        raise UsageError(f"{place} is no Python file; replay a saved case with --case {place}.")
    if not path.is_file():
        near = [str(other) for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"There is no file {place!r}." + (did_you_mean(place, near) or " Check the path."))
    if path.suffix != ".py":
        raise UsageError(f"{place} is no Python file; targets are functions in a file that ends in .py.")
    return path.resolve()


def _root_and_name(path: Path) -> tuple[Path, str]:
    """Return the folder that imports start from and the dotted name; packages are those with __init__.py."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    return root, ".".join(parts)


def _execute(path: Path, name: str) -> ModuleType:
    free = name not in sys.modules and name not in sys.stdlib_module_names
    if not free and getattr(sys.modules.get(name), "__file__", None) == str(path):
        return sys.modules[name]
    key = name if free else f"gradcheck_target_{len(_FILES)}_{name}"
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - one fact: .py files have a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(key, None)
        raise
    return module


def _require_same(module: ModuleType, path: Path) -> None:
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        _FILES.pop(path)
        raise TargetError(
            f"{path} is {module.__name__} to Python, but importing that finds {found}; "
            "rename the one or the other."
        )


@contextmanager
def _told(place: str, command: str, root: Path) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        if not passed_through(error, root):
            raise
        raise TargetError(f"{place} cannot be loaded: {error}\n{excerpt(error, root)}") from error
    except SystemExit as error:
        raise TargetError(
            f"{place} ends the program ({in_words(error)}) when it is loaded; put what should run only as a "
            'program under if __name__ == "__main__":'
        ) from error
    except Exception as error:
        raise TargetError(
            f"{place} cannot be loaded: {in_words(error)}\n{excerpt(error, root)}\n"
            f"Make this run without an error first: {command}"
        ) from error
