"""Whether Python finds our own top-level packages, or a user's folder of the same name in their place.

``cases`` and ``reference_impl`` are ordinary names, and ``python -m gradcheck`` looks in the working folder
first.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from gradcheck.errors import UsageError

_HOME = Path(__file__).resolve().parents[1]
NAMES = ("cases", "reference_impl")


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


def _found(name: str) -> Path | None:
    """Return the file that stands for a package, None for a package without a file of its own."""
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(module, "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec is not None else None
    return Path(origin).resolve() if origin else None
