"""From what the command line names, "my_model.py:attention" or "pkg.module", to targets or an engine."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gradcheck.errors import TargetError, UsageError
from gradcheck.report.words import listed, with_article
from gradcheck.suggest import did_you_mean
from gradcheck.targets.declare import FAULT, MARK, needed_arguments
from gradcheck.targets.modules import Loaded, load_file, load_module
from gradcheck.targets.record import Target

if TYPE_CHECKING:
    from gradcheck.engines.base import Engine


def load(spec: str) -> tuple[Target, ...] | Engine:
    """Return the targets that ``spec`` names, or the engine.

    ``spec`` is "file.py" or "pkg.module" for every target in it, in the order of their definition, or
    either with ":name" for one.

    Raises:
        UsageError: where there is no such file, module or name.
        TargetError: where it cannot be loaded (with the user's own traceback), or is no target.
    """
    place, name = _split(spec)
    loaded = load_file(place) if _is_file(place) else load_module(place)
    return _named(loaded, name) if name else _all(loaded)


def targets_in(file: str) -> tuple[Target, ...]:
    """Return the targets that a file defines, in their order; none is no error.

    Raises:
        UsageError: where there is no such file.
        TargetError: where it cannot be loaded (with the user's own traceback).
    """
    return _marked(load_file(file))


def root_of(spec: str) -> Path:
    """Return the folder from which imports of what ``spec`` names are resolved. Raises as ``load`` does."""
    place, _ = _split(spec)
    return (load_file(place) if _is_file(place) else load_module(place)).root


def _split(spec: str) -> tuple[str, str]:
    """Split at the last colon, unless it is that of a Windows drive."""
    if not spec.strip():
        raise UsageError("Expected FILE or FILE:TARGET but got an empty name; name what to verify.")
    place, colon, name = spec.rpartition(":")
    if not colon or "\\" in name or "/" in name:
        return spec, ""
    if not place or not name:
        raise UsageError(
            f"Expected FILE:TARGET but got {spec!r}; name both, or the file alone for all its targets."
        )
    return place, name


def _is_file(place: str) -> bool:
    path = Path(place)
    folder = path.is_dir() and not (path / "__init__.py").is_file()
    return place.endswith(".py") or "/" in place or "\\" in place or path.is_file() or folder


def _marked(loaded: Loaded) -> tuple[Target, ...]:
    """Return the targets of a loaded file or module: each once, and not those imported from elsewhere."""
    seen: set[int] = set()
    found = []
    for name, value in vars(loaded.module).items():
        if _is_marked(value) and id(value) not in seen and not _is_imported(value, loaded.module):
            seen.add(id(value))
            found.append(_target(loaded, name, value))
    return tuple(found)


def _all(loaded: Loaded) -> tuple[Target, ...]:
    found = _marked(loaded)
    if found:
        return found
    engines = [name for name, value in vars(loaded.module).items() if _is_engine(value)]
    if engines:
        raise TargetError(
            f"{loaded.spec} has no target, but {_engines(engines)}; verify it with: gradcheck verify "
            f"{loaded.spec}:{engines[0]}"
        )
    raise TargetError(
        f"{loaded.spec} has no target; decorate a function that returns (model, input) with "
        "@gradcheck.target."
    )


def _engines(names: list[str]) -> str:
    return "an engine" if len(names) == 1 else f"{len(names)} engines ({listed(names, 5)})"


def _named(loaded: Loaded, name: str) -> tuple[Target, ...] | Engine:
    value: Any = loaded.module
    for part in name.split("."):
        if not hasattr(value, part):
            known = [n for n, v in vars(loaded.module).items() if _is_candidate(v) and not n.startswith("_")]
            raise UsageError(f"There is no {name!r} in {loaded.spec}." + did_you_mean(name, known, "It has"))
        value = getattr(value, part)
    if _is_marked(value):
        return (_target(loaded, name, value),)
    if not inspect.isclass(value) and _is_engine(value):
        return value  # type: ignore[no-any-return]  # just found to be one
    if inspect.isroutine(value):
        needed = needed_arguments(value)
        if not needed:
            return (_target(loaded, name, value),)
        raise TargetError(
            f"{loaded.spec}:{name} needs {', '.join(needed)}, and a target takes no arguments; write a "
            f"function that returns ({name}, input) and decorate it with @gradcheck.target."
        )
    if hasattr(value, "value_and_gradients"):  # meant as an engine
        what = (
            f"the class {name}, and an engine is an instance" if inspect.isclass(value) else "no engine yet"
        )
        raise TargetError(
            f"{loaded.spec}:{name} is {what}: it has a name, supports(operation) and "
            "value_and_gradients(graph, values)."
        )
    raise TargetError(
        f"{loaded.spec}:{name} is {with_article(type(value).__name__)}, neither a target nor an engine; "
        "write a function that returns (model, input) and decorate it with @gradcheck.target."
    )


def _is_marked(value: object) -> bool:
    # Not getattr: objects that answer to every name (mocks, proxies) are no targets.
    return callable(value) and MARK in getattr(value, "__dict__", {})


def _is_imported(function: Any, module: ModuleType) -> bool:
    """Whether a function is another module's global: then it is that file's target."""
    home = getattr(function, "__module__", None)
    return home != module.__name__ and bool(_global_of(home, getattr(function, "__name__", "")) is function)


def _global_of(home: str | None, name: str) -> object:
    import sys

    return getattr(sys.modules.get(home or ""), name, None)


def _is_engine(value: object) -> bool:
    """Whether a value looks like an engine; the look is taken by type, so that nothing of the user's runs."""
    methods = ("supports", "value_and_gradients")
    return not inspect.isclass(value) and all(callable(getattr(type(value), name, None)) for name in methods)


def _is_candidate(value: object) -> bool:
    return _is_marked(value) or _is_engine(value)


def _target(loaded: Loaded, name: str, function: Any) -> Target:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Target(
        name=name,
        function=function,
        options=getattr(function, MARK, {}),
        fault=getattr(function, FAULT, ""),
        spec=f"{loaded.spec}:{name}",
        file=loaded.file,
        line=code.co_firstlineno if code is not None and loaded.holds(code.co_filename) else None,
        root=loaded.root,
    )
