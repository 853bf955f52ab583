"""What there is to do, loaded and checked: targets, engines on generated cases, saved cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from gradcheck.cli.generated import NamedEngine, generated_works
from gradcheck.cli.request import Request
from gradcheck.cli.screen import Screen
from gradcheck.errors import TargetError, UsageError
from gradcheck.report.run import Failure

if TYPE_CHECKING:
    from gradcheck.cli.collect import Collector
    from gradcheck.engines.base import Engine
    from gradcheck.targets import Target


class Work(Protocol):
    """A part of a run; ``steps`` is how far it moves the progress bar."""

    @property
    def steps(self) -> int:
        """How many reports it makes."""
        ...

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify, showing and collecting each report as it comes."""
        ...


def plan(request: Request, screen: Screen, collector: Collector) -> list[Work]:
    """Load what the request names. What raises while it is loaded is told and collected as a failure.

    Raises:
        UsageError: where something named is not there, or does not go with the rest.
        TargetError: where the targets that submissions are verified against cannot be loaded.
    """
    if request.each is not None:
        from gradcheck.cli.each.work import submissions

        return [submissions(request, screen)]
    targets, engines, failures = _load(request)
    _check_generated_options(request, targets, engines, failures)
    works = list(_works(request, targets, engines, failures))
    screen.alone = len(targets) == 1
    for spec, message in failures:
        collector.fail(Failure(spec, message))
        screen.error(message)
    return works


def _works(
    request: Request, targets: list[Target], engines: list[NamedEngine], failures: list[tuple[str, str]]
) -> Iterator[Work]:
    if targets:
        from gradcheck.cli.targets import Targets

        yield Targets(tuple(targets), request)
    if engines or not (targets or failures):
        yield from generated_works(engines, request)


def _load(request: Request) -> tuple[list[Target], list[NamedEngine], list[tuple[str, str]]]:
    targets: dict[str, Target] = {}
    engines: list[NamedEngine] = []
    failures: list[tuple[str, str]] = []
    for spec in dict.fromkeys(request.targets):
        try:
            found = _load_one(spec)
        except TargetError as error:
            failures.append((spec, str(error)))
            continue
        if isinstance(found, tuple):
            for target in found:
                targets[target.spec] = _with_defaults(target, request)
        else:
            engines.append(NamedEngine(spec, found))
    return list(targets.values()), engines, failures


def _load_one(spec: str) -> tuple[Target, ...] | Engine:
    from gradcheck.targets import load

    return load(spec)


def _with_defaults(target: Target, request: Request) -> Target:
    return dataclasses.replace(target, options={**request.defaults, **target.options})


def _check_generated_options(
    request: Request, targets: Sequence[Target], engines: Sequence[NamedEngine], failures: Sequence[object]
) -> None:
    given = [
        name
        for name, value in (
            ("--cases", request.cases),
            ("--family", request.families),
            ("--case", request.case_files),
        )
        if value
    ]
    if given and targets and not engines:
        raise UsageError(
            f"{given[0]} is about cases for an engine, but {request.targets[0]} is no engine; "
            "leave one of them out."
        )
    about = {"order": "--order", "variations": _variations_flag(request)}
    ignored = [flag for name, flag in about.items() if name in request.overrides]
    if ignored and not targets and not failures:
        raise UsageError(
            f"{ignored[0]} is about targets, and engines on cases have none of it; leave it out, or name a "
            "target."
        )


def _variations_flag(request: Request) -> str:
    return "--variations" if request.overrides.get("variations") else "--no-variations"
