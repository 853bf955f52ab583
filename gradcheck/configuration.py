"""``[tool.gradcheck]`` in pyproject.toml: what is verified, and how, so that a gate is one line.

Options are checked by ``Options``, in the same words as everywhere. The other keys are named as the command
line names them.
"""

from __future__ import annotations

import glob
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradcheck.errors import OptionError, UsageError
from gradcheck.options import Options
from gradcheck.suggest import did_you_mean

OPTIONS = ("order", "rtol", "atol", "effort", "variations", "seed")
_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "order": "2",
        "rtol": "1e-5",
        "atol": "1e-8",
        "effort": '"every"',
        "variations": '["zeros"], or false for none',
        "seed": "0",
    }
)
_IN_TOML: Mapping[str, str] = MappingProxyType(
    {"variations": "true, false or a list of names", "effort": '"probe", "auto" or "every"'}
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Configuration:
    """What a project asks for; ``path`` is its pyproject.toml, None where there is none.

    ``targets`` are as written: files, patterns such as "models/*.py", dotted modules, each with ":name" or
    without. ``options`` are keywords of ``verify``. ``run`` holds what concerns a run of the command line:
    jobs, allow-inconclusive, github, baseline, html, json, junit; its files are below the folder of
    ``path``.
    """

    path: Path | None = None
    targets: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    run: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


def find(start: Path | None = None) -> Configuration:
    """Return what the nearest pyproject.toml says, in ``start`` (the working folder) or above it.

    Raises:
        UsageError: where the file cannot be read, or a key or a value is wrong.
    """
    folder = (start or Path.cwd()).resolve()
    for place in (folder, *folder.parents):
        if (place / "pyproject.toml").is_file():
            return read(place / "pyproject.toml")
    return Configuration()


def read(path: Path) -> Configuration:
    """Return what a pyproject.toml says; without ``[tool.gradcheck]`` it says nothing. Raises as ``find``."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:  # ValueError: no TOML, or no UTF-8
        raise UsageError(f"Cannot read {path}: {problem}. Correct the file.") from None
    table = document.get("tool", {}).get("gradcheck", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.gradcheck is no table; write its keys below [tool.gradcheck].")
    try:
        return _checked(path, table)
    except UsageError as problem:
        raise UsageError(f"{path}, [tool.gradcheck]: {problem}") from None


def specs(configuration: Configuration) -> tuple[str, ...]:
    """Return the targets with patterns expanded and files below the folder of pyproject.toml.

    Raises:
        UsageError: where a pattern matches no file: a gate that verifies nothing is not a gate.
    """
    return tuple(spec for target in configuration.targets for spec in _expanded(configuration, target))


def _expanded(configuration: Configuration, target: str) -> list[str]:
    root = configuration.path.parent if configuration.path else Path.cwd()
    place, colon, name = target.partition(":")
    if not glob.has_magic(place):
        return [_from_here(root / place) + colon + name if (root / place).exists() else target]
    found = sorted(path for path in root.glob(place) if path.is_file())
    if not found:
        raise UsageError(f"No file matches the target {target!r} below {root}; correct the pattern.")
    return [_from_here(path) + colon + name for path in found]


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _checked(path: Path, table: Mapping[str, Any]) -> Configuration:
    known = ("targets", *OPTIONS, *_RUN)
    for key in table:
        if key not in known:
            raise UsageError(f"Unknown key {key!r}." + did_you_mean(key, known, "The keys are"))
    options = {key: value for key, value in table.items() if key in OPTIONS}
    try:
        Options.of(**options)
    except OptionError as error:
        raise UsageError(
            f"Expected {_IN_TOML.get(error.name, error.expected)} but got {error.name} = "
            f"{_toml(error.value)}; write for example {error.name} = {_EXAMPLES[error.name]}."
        ) from None
    run = {key: _RUN[key](key, value, path.parent) for key, value in table.items() if key in _RUN}
    targets = _targets(table["targets"]) if "targets" in table else ()
    return Configuration(path, targets, MappingProxyType(options), MappingProxyType(run))


def _toml(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}"
    return str(value)


def _targets(value: object) -> tuple[str, ...]:
    if value == []:
        raise UsageError(
            "targets = [] names nothing to verify; name the files, or leave the key out to verify the "
            "reference implementation."
        )
    if isinstance(value, list) and all(isinstance(target, str) and target for target in value):
        return tuple(value)
    raise UsageError(
        f'Expected a list of text but got targets = {_toml(value)}; write targets = ["models/*.py"].'
    )


def _flag(key: str, value: object, _folder: Path) -> bool:
    if isinstance(value, bool):
        return value
    raise UsageError(f"Expected true or false but got {key} = {_toml(value)}; leave it out for false.")


def _jobs(key: str, value: object, _folder: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise UsageError(f"Expected a number of processes but got {key} = {_toml(value)}; write {key} = 2.")


def _file(key: str, value: object, folder: Path) -> str:
    if isinstance(value, str) and value:
        return str(folder / value)
    raise UsageError(f"Expected the name of a file but got {key} = {_toml(value)}; write it as text.")


_RUN: Mapping[str, Callable[[str, object, Path], Any]] = {
    "allow-inconclusive": _flag,
    "baseline": _file,
    "github": _flag,
    "html": _file,
    "jobs": _jobs,
    "json": _file,
    "junit": _file,
}
