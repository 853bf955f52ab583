"""What was asked for: targets, seed, and the options that hold for a test.

Of options for the same thing the nearest wins: the call, then the marker, then the ini file, then
pyproject.toml. ``--gradcheck-seed`` is there to replay a run, so that it wins over everything but the call.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gradcheck.errors import UsageError
from gradcheck.pytest_plugin import SEED, TARGETS

_INI = pytest.StashKey[Mapping[str, Any]]()
_DEFAULTS = pytest.StashKey[Mapping[str, Any]]()


def prepare(config: pytest.Config, names: Iterable[str]) -> None:
    """Read and check the command line and the ini file.

    Raises:
        pytest.UsageError: where a value cannot be used; the run ends before it starts.
    """
    try:
        config.stash[SEED] = _seed(config)
        config.stash[_INI] = _from_ini(config, names)
        config.stash[TARGETS] = _targets(config)
        _require_writable(config)
    except UsageError as problem:
        raise pytest.UsageError(f"gradcheck: {problem}") from None
    _collect_targets_outside_testpaths(config)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker, whose results the controller collects."""
    return hasattr(config, "workerinput")


def defaults(config: pytest.Config) -> Mapping[str, Any]:
    """Return the options of pyproject.toml and the ini file. Raises UsageError where they cannot be used."""
    if _DEFAULTS not in config.stash:
        from gradcheck.configuration import find

        from_ini = config.stash.get(_INI, {})
        config.stash[_DEFAULTS] = {**find(config.rootpath).options, **from_ini}
    return config.stash[_DEFAULTS]


def marked(item: pytest.Item) -> dict[str, Any]:
    """Return the options of an item's markers, the nearest marker's first of all.

    Raises:
        UsageError: where a marker has arguments without a name.
    """
    options: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("gradcheck"))):
        if mark.args:
            raise UsageError(
                f"Expected options by name but got @pytest.mark.gradcheck{mark.args!r}; write for example "
                "@pytest.mark.gradcheck(rtol=1e-5)."
            )
        options |= mark.kwargs
    return options


def replayed(config: pytest.Config) -> dict[str, Any]:
    """Return the seed of the command line as an option, nothing where none was given."""
    seed = config.stash.get(SEED, None)
    return {} if seed is None else {"seed": seed}


def _seed(config: pytest.Config) -> int | None:
    if is_worker(config):
        return config.workerinput["gradcheck_seed"]  # type: ignore[attr-defined,no-any-return]  # xdist's
    given = config.getoption("gradcheck_seed")
    if given == "random":
        import secrets

        return secrets.randbelow(2**32)
    if given is None or given.isdecimal():
        return None if given is None else int(given)
    raise UsageError(
        f"Expected 'random' or an integer that is not negative but got --gradcheck-seed {given}; use for "
        "example 0."
    )


def _from_ini(config: pytest.Config, names: Iterable[str]) -> dict[str, Any]:
    given = {name: config.getini(f"gradcheck_{name}") for name in names}
    options = {name: _value(name, text) for name, text in given.items() if text}
    if options:
        from gradcheck.options import Options

        try:
            Options.of(**options)
        except UsageError as problem:
            raise UsageError(f"{config.inipath}: {problem}") from None
    return options


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text.lower())
    except ValueError:
        return [word.strip() for word in text.split(",")] if name == "variations" else text


def _targets(config: pytest.Config) -> frozenset[Path]:
    """Return the files that ``gradcheck_targets`` names, below the folder of the ini file."""
    root = config.rootpath if config.inipath is None else config.inipath.parent
    found: set[Path] = set()
    for pattern in config.getini("gradcheck_targets"):
        matches = {path for path in root.glob(pattern) if path.is_file()}
        file, colon, name = pattern.rpartition(":")
        if not matches and colon and (root / file).is_file():
            raise UsageError(
                f"gradcheck_targets names files, but {pattern!r} names one target; write {file!r}, and "
                f"choose tests with: pytest -k {name}"
            )
        if not matches:
            what = "matches" if glob.has_magic(pattern) else "is"
            raise UsageError(f"No file {what} {pattern!r} below {root}; correct gradcheck_targets.")
        found |= matches
    return frozenset(found)


def _require_writable(config: pytest.Config) -> None:
    for name, what in (("html", "the HTML report"), ("json", "the JSON report")):
        path = config.getoption(f"gradcheck_{name}")
        if path is not None and not is_worker(config):
            from gradcheck.files import require_writable
            from gradcheck.report.marks import MARKS

            require_writable(path, what, MARKS[name])


def _collect_targets_outside_testpaths(config: pytest.Config) -> None:
    """Add target files to a run that collects ``testpaths``, which otherwise would never come by them."""
    if not config.stash[TARGETS] or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    folders = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    outside = (p for p in config.stash[TARGETS] if not any(p.is_relative_to(folder) for folder in folders))
    config.args = [*config.args, *sorted(map(str, outside))]
