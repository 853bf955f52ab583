"""Verifying engines on the built-in suite of generated cases, and on cases that were saved."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gradcheck.cli.request import Request
from gradcheck.cli.targets import attempt
from gradcheck.errors import UsageError
from gradcheck.report.run import SAVED
from gradcheck.shadow import require_own
from gradcheck.suggest import did_you_mean

if TYPE_CHECKING:
    from cases import Case
    from gradcheck.cli.collect import Collector
    from gradcheck.cli.screen import Screen
    from gradcheck.cli.work import Work
    from gradcheck.engines.base import Engine
    from gradcheck.report.records import Report

DEFAULT_CASES = 200


def generated_works(engines: Sequence[NamedEngine], request: Request) -> Iterator[Work]:
    """Yield the work of verifying engines, the reference implementation where none is named.

    Raises:
        UsageError: where a family is unknown, a saved case cannot be read, or a user's folder is found in
            place of our packages.
    """
    require_own()
    from gradcheck.engines.reference import ReferenceEngine

    for engine in engines or [NamedEngine("", ReferenceEngine())]:
        if request.case_files:
            yield Saved(tuple(map(_load, request.case_files)), engine, request)
        else:
            _check_families(request.families)
            yield Generated(engine, request)


@dataclass(frozen=True)
class NamedEngine:
    """An engine and what the command line calls it; nothing for the reference implementation."""

    spec: str
    engine: Engine


@dataclass(frozen=True)
class Saved:
    """Saved cases, by file, for an engine to be verified on."""

    cases: tuple[tuple[str, Case], ...]
    engine: NamedEngine
    request: Request

    @property
    def steps(self) -> int:
        """How many cases there are."""
        return len(self.cases)

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify the engine on each, showing each in full."""
        from gradcheck.verification import verify_case

        options = _options(self.request)
        for path, case in self.cases:
            report, message = attempt(partial(verify_case, case, self.engine.engine, **options), path)
            if report is None:
                collector.fail(path, message)
                screen.error(message)
            else:
                report = replace(report, reproduce=_replay(self.engine, path, options))
                collector.add(SAVED, report)
                screen.report(report)
            screen.advance()


@dataclass(frozen=True)
class Generated:
    """An engine on generated cases."""

    engine: NamedEngine
    request: Request

    @property
    def steps(self) -> int:
        """How many cases will be generated."""
        return self.request.cases or DEFAULT_CASES

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify the engine on the suite, showing the cases that fail."""
        from gradcheck.suite import run_suite

        def take(report: Report, case: Case) -> None:
            collector.add(case.family, report, generated=True)
            screen.report(report, generated=True)
            screen.advance()
            screen.begin(case.family)

        run_suite(
            self.engine.engine,
            cases=self.steps,
            seed=self.request.seed,
            families=self.request.families or None,
            jobs=self.request.jobs,
            on_result=take,
        )


def _replay(engine: NamedEngine, path: str, options: dict[str, Any]) -> str:
    words = ["gradcheck", "verify", *([engine.spec] if engine.spec else []), "--case", path]
    return shlex.join(
        [*words, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    )


def _load(path: str) -> tuple[str, Case]:
    from cases import CaseError, load

    try:
        return path, load(path)
    except CaseError as error:
        raise UsageError(str(error)) from None
    except OSError as problem:
        raise UsageError(
            f"Cannot read the case {path}: {problem.strerror}. Name a file that is there."
        ) from None


def _check_families(families: Sequence[str]) -> None:
    from cases import ALL_FAMILIES

    for family in families:
        if family not in ALL_FAMILIES:
            raise UsageError(
                f"Unknown family {family!r}.{did_you_mean(family, ALL_FAMILIES, 'The families are')}"
            )


def _options(request: Request) -> dict[str, Any]:
    """Return the options that a case is verified with; the others concern targets."""
    given = {**request.defaults, **request.overrides}
    return {name: given[name] for name in ("rtol", "atol", "effort", "seed") if name in given}
