"""Where a target's imports are resolved: from its own folder first, and not from another target's.

Two homework folders may each hold a ``layers.py``. Python keeps modules by name, so without care the second
folder's target would be verified with the first one's layers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from gradcheck.files import staying_here
from gradcheck.shadow import hides

# The modules that were loaded from each folder, by name.
_LOADED: dict[Path, dict[str, ModuleType]] = {}


@contextmanager
def imports_from(root: Path | None) -> Iterator[None]:
    """Let imports find what is in ``root`` first for a while; None changes nothing.

    Modules that other folders loaded give way where ``root`` has one of the same name. They are kept, and
    come back with their own folder.
    """
    if root is None:
        yield
        return
    _swap(root)
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    try:
        with staying_here():
            yield
    finally:
        if str(root) in sys.path:
            sys.path.remove(str(root))
        fresh = {name: sys.modules[name] for name in set(sys.modules) - before}
        own = {name: module for name, module in fresh.items() if is_from(module, root)}
        _LOADED.setdefault(root, {}).update(own)
        for name in [name for name, module in own.items() if "." not in name and hides(name, module)]:
            del sys.modules[name]  # everything else means the one that is installed


def is_from(module: ModuleType, root: Path) -> bool:
    """Whether a module's file lies in a folder or below."""
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(root)


def _swap(root: Path) -> None:
    for other, modules in _LOADED.items():
        for name, module in modules.items():
            if other != root and sys.modules.get(name) is module and _provides(root, name):
                del sys.modules[name]
    for name, module in _LOADED.get(root, {}).items():
        sys.modules.setdefault(name, module)


def _provides(root: Path, name: str) -> bool:
    top = name.partition(".")[0]
    return (root / f"{top}.py").is_file() or (root / top).is_dir()
