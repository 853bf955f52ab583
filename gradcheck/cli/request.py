"""What the user asked for, from the command line and pyproject.toml, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradcheck.errors import UsageError

if TYPE_CHECKING:
    from gradcheck.configuration import Configuration

OPTIONS = ("order", "rtol", "atol", "effort", "seed")
FILES = ("html", "json", "junit")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    """``overrides`` are options given on the command line, ``defaults`` those of pyproject.toml.

    ``cases`` and ``families`` are None and empty where they were not given; ``files`` maps the name of a
    format to a path. ``accept`` is the reason with which everything found is recorded in ``baseline``.
    ``each`` is a folder of submissions, ``only`` the names of those wanted (all where it is empty), and
    ``time_limit`` what each may take, in seconds.
    """

    targets: tuple[str, ...] = ()
    case_files: tuple[str, ...] = ()
    cases: int | None = None
    families: tuple[str, ...] = ()
    jobs: int = 1
    overrides: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    defaults: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    files: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    github: bool = False
    verbose: bool = False
    allow_inconclusive: bool = False
    baseline: str | None = None
    accept: str | None = None
    resume: bool = False
    each: str | None = None
    only: tuple[str, ...] = ()
    time_limit: float | None = None

    @property
    def seed(self) -> int:
        """The seed that generated cases start from."""
        return int({**self.defaults, **self.overrides}.get("seed", 0))


def make_request(given: Mapping[str, Any], configuration: Configuration) -> Request:
    """Return the request for click's parameters; what is given on the command line wins.

    Raises:
        UsageError: where a value cannot be used, or two contradict each other.
    """
    from gradcheck.configuration import specs
    from gradcheck.options import Options

    overrides = _given(given, OPTIONS) | _variations(given)
    Options.of(**overrides)
    run = configuration.run
    baseline = run.get("baseline") if given["baseline"] is None else given["baseline"]
    if given["accept"] is not None and (baseline is None or not given["accept"].strip()):
        raise UsageError("--accept takes the reason, and needs --baseline FILE to record it in; give both.")
    _check_each(given)
    for name in ("cases", "family"):
        if given["case"] and given[name]:
            raise UsageError(
                f"--case names saved cases, and --{name} is about generated ones; give one of them."
            )
    generated = given["cases"] is not None or given["family"] or given["case"]
    return Request(
        targets=given["targets"] or (() if generated else specs(configuration)),
        case_files=given["case"],
        cases=_positive("--cases", given["cases"]),
        families=given["family"],
        jobs=_positive("--jobs", given["jobs"]) or run.get("jobs", 1),
        overrides=overrides,
        defaults=configuration.options,
        files={**{name: run[name] for name in FILES if name in run}, **_given(given, FILES)},
        github=given["github"] or run.get("github", False),
        verbose=given["verbose"],
        baseline=baseline,
        accept=given["accept"],
        resume=given["resume"],
        each=given["each"],
        only=given["only"],
        time_limit=given["time_limit"],
        allow_inconclusive=given["allow_inconclusive"] or run.get("allow-inconclusive", False),
    )


def _given(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if given[name] is not None}


def _check_each(given: Mapping[str, Any]) -> None:
    """Refuse what does not go with a folder of submissions, or only with one."""
    if given["each"] is None:
        for name in ("only", "time_limit"):
            if given[name] not in (None, ()):
                raise UsageError(
                    f"--{name.replace('_', '-')} is about submissions; give --each FOLDER as well."
                )
        return
    if len(given["targets"]) != 1:
        raise UsageError(
            "--each verifies submissions against one file of targets; name it: gradcheck verify --each "
            "FOLDER grader.py"
        )
    for name in ("case", "cases", "family"):
        if given[name]:
            raise UsageError(f"--{name} is about cases for an engine, not about submissions; leave it out.")
    limit = given["time_limit"]
    if limit is not None and not 0 < limit < math.inf:
        raise UsageError(
            f"Expected a positive number of seconds but got --time-limit {limit:g}; use for example 60."
        )


def _variations(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["no_variations"] and given["variations"]:
        raise UsageError("--no-variations and --variations contradict each other; give one of them.")
    if given["no_variations"]:
        return {"variations": False}
    return {"variations": frozenset(given["variations"])} if given["variations"] else {}


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise UsageError(
            f"Expected a number of at least 1 but got {name} {value}; leave it out for the default."
        )
    return value
