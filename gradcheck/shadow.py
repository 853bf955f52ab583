"""Whether Python finds the package that is meant, or a user's file or folder of the same name in its place.

``cases`` and ``reference_impl`` are ordinary names, and ``python -m gradcheck`` looks in the working folder
first. A target's imports look in its own folder first, where a ``torch.py`` takes the place of PyTorch.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from gradcheck.errors import UsageError
from gradcheck.files import near

_HOME = Path(__file__).resolve().parents[1]
LIBRARIES = tuple(
    Path(folder).resolve()
    for name, folder in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
)
NAMES = ("cases", "reference_impl")


def users_files() -> list[str]:
    """Return the files of the modules loaded so far that are neither installed nor gradcheck's own."""
    others = tuple(
        f"{folder}{os.sep}" for folder in (*LIBRARIES, *(_HOME / n for n in ("gradcheck", *NAMES)))
    )
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    named = [file for file in files if isinstance(file, str) and not file.startswith(others)]
    return [file for file in named if not str(Path(file).resolve()).startswith(others)]


def require_own() -> None:
    """Make sure that the packages which come with gradcheck are those that importing them finds.

    Raises:
        UsageError: where something else is found; the sentence names the file.
    """
    for name in NAMES:
        found = _found(name)
        if found is not None and found.parent.parent != _HOME:
            raise UsageError(
                f"gradcheck needs its own package {name!r}, but Python finds {found} in its place; rename "
                "that, or run in another folder."
            )


def hiding_module(error: BaseException | None) -> str:
    """Return which file hides the module that an error is about, as a sentence; "" where none does."""
    for name, module in _concerned(error):
        if module is not None and hides(name, module):
            return f"{_near(module.__file__ or name)} hides the installed module {name!r}; rename it."
    return ""


def hides(name: str, module: ModuleType) -> bool:
    """Whether a top-level module stands where, without its folder, another one would be found."""
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    if any(path.is_relative_to(folder) for folder in LIBRARIES):
        return False
    folder = path.parents[1] if path.name == "__init__.py" else path.parent
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != folder]
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, others)
    except (ImportError, ValueError, OSError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() != path


def _concerned(error: BaseException | None) -> Iterator[tuple[str, ModuleType | None]]:
    """Yield the top-level modules in which an error, or what it was raised from, missed something."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        name = error.name if isinstance(error, ImportError) else None
        if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
            name = error.obj.__name__
        if name:
            top = name.partition(".")[0]
            yield top, getattr(error, "obj", None) or sys.modules.get(top)
        error = error.__cause__ or error.__context__


def _near(file: str) -> str:
    return near(file) or file


def _found(name: str) -> Path | None:
    """Return the file that stands for a package, None for a package without a file of its own."""
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(module, "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec is not None else None
    return Path(origin).resolve() if origin else None
