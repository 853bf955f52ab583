"""Verifying engines on the built-in suite of generated cases, and on cases that were saved."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck.cli.request import Request
from gradcheck.cli.targets import attempt
from gradcheck.errors import UsageError
from gradcheck.report.run import SAVED, Failure, Operation
from gradcheck.report.words import counted
from gradcheck.shadow import require_own

if TYPE_CHECKING:
    from cases import Case
    from gradcheck.cli.collect import Collector
    from gradcheck.cli.screen import Screen
    from gradcheck.cli.work import Work
    from gradcheck.engines.base import Engine
    from gradcheck.report.records import Report
    from gradcheck.suite import Failure as Failing
    from gradcheck.suite import Problem, SuiteResult

_SHOWN = 3  # smallest cases told in full


@dataclass(frozen=True)
class NamedEngine:
    """An engine and what the command line calls it: nothing for the reference implementation."""

    spec: str
    engine: Engine

    @property
    def root(self) -> Path | None:
        """The folder from which its imports are resolved."""
        from gradcheck.targets import root_of

        return root_of(self.spec) if self.spec else None


def generated_works(engines: Sequence[NamedEngine], request: Request) -> Iterator[Work]:
    """Yield the work of verifying engines, the reference implementation where none is named.

    Raises:
        UsageError: where a family is unknown, a saved case cannot be read, or a user's folder is found in
            place of our packages.
    """
    require_own()
    import gradcheck.engines.torch  # noqa: F401 - a witness: what it loads is no time of the first case
    from gradcheck.engines.reference import ReferenceEngine
    from gradcheck.suite.plan import CASES, tickets

    chosen = engines or [NamedEngine("", ReferenceEngine())]
    for named in chosen:
        if request.case_files:
            yield Saved(tuple(map(_load, request.case_files)), named, request)
        else:
            planned = tickets(request.cases or CASES, request.seed, request.families, not request.families)
            prefix = f"{named.engine.name} " if len(chosen) > 1 else ""
            yield Generated(named, request, len(planned), prefix)


@dataclass(frozen=True)
class Saved:
    """Saved cases, by file, for an engine to be verified on."""

    cases: tuple[tuple[str, Case], ...]
    named: NamedEngine
    request: Request

    @property
    def steps(self) -> int:
        """How many cases there are."""
        return len(self.cases)

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify the engine on each, showing each in full."""
        from gradcheck.targets.place import imports_from
        from gradcheck.verification import verify_case

        screen.alone = True
        options = _options(self.request)
        for path, case in self.cases:
            screen.begin(path)
            with imports_from(self.named.root):
                report, message = attempt(partial(verify_case, case, self.named.engine, **options), path)
            if report is None:
                _fail(Failure(path, message, noun="case"), screen, collector)
            else:
                report = replace(report, reproduce=_replay(self.named, path, options))
                collector.add(SAVED, report)
                screen.report(report)
            screen.advance()


@dataclass(frozen=True)
class Generated:
    """An engine on the worked examples and on generated cases; ``prefix`` tells engines' groups apart."""

    named: NamedEngine
    request: Request
    steps: int
    prefix: str

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify the engine on the suite, showing the cases that fail as they come, and the smallest last."""
        from gradcheck.suite import run_suite
        from gradcheck.suite.plan import CASES
        from gradcheck.targets.place import imports_from

        def take(report: Report, case: Case) -> None:
            key = "" if case.seed is None else f"{self.prefix}{case.family} {case.seed}"
            collector.add(self.prefix + case.family, report, key, generated=True)
            screen.report(report, generated=True)
            screen.advance()
            screen.begin(case.family)

        spec = self.named.spec
        suite = partial(
            run_suite,
            self.named.engine,
            cases=self.request.cases or CASES,
            seed=self.request.seed,
            families=self.request.families or None,
            jobs=self.request.jobs,
            on_result=take,
            on_skip=lambda case, why: screen.advance(),
            options={name: value for name, value in _options(self.request).items() if name != "seed"},
            spec=spec,
            load=partial(_engine_in_worker, spec) if spec else None,
            done=frozenset(key.removeprefix(self.prefix) for key in collector.done),
        )
        with imports_from(self.named.root):
            result, message = attempt(suite, spec or self.named.engine.name)
        if result is None:
            _fail(Failure(spec or self.named.engine.name, message, noun="engine"), screen, collector)
        else:
            self._conclude(result, screen, collector)

    def _conclude(self, result: SuiteResult, screen: Screen, collector: Collector) -> None:
        for row in result.families:
            collector.skip(self.prefix + row.family, row.skipped)
        collector.count(
            Operation(result.engine, o.operation, o.run, o.agreed, o.disagreed, o.unsupported)
            for o in result.operations
        )
        for note in result.notes:
            screen.text(f"note: {note}")
        for problem, others in _problems(result):
            more = f" and {counted(others, 'more case')}" if others else ""
            told = f"{problem.case}{more}: {problem.message}"
            traced = f"{told}\n{problem.trace}" if problem.trace else told
            collector.fail(Failure(problem.case, traced, others + 1, "case"))
            screen.error(traced if self.request.verbose else told)
            if problem.command:
                screen.text(f"  reproduce: {problem.command}")
        skipped = sum(row.skipped for row in result.families)
        if skipped and skipped == result.cases and not collector.done:
            name = self.named.spec or result.engine
            _fail(Failure(name, _supports_nothing(name, skipped), noun="engine"), screen, collector)
        saved = {failure.path: failure for failure in reversed(result.failures) if failure.path}
        for failure in [*reversed(saved.values())][:_SHOWN]:
            screen.text("\n".join(_smallest(failure)))
        if not result.complete:
            raise KeyboardInterrupt


def _fail(failure: Failure, screen: Screen, collector: Collector) -> None:
    collector.fail(failure)
    screen.error(failure.message)


def _supports_nothing(name: str, skipped: int) -> str:
    return (
        f"{name} has no operation of the {counted(skipped, 'case')}, so that nothing was verified; make "
        "supports(operation) return True for those that it has."
    )


def _problems(result: SuiteResult) -> Iterator[tuple[Problem, int]]:
    """Yield each thing that an engine did instead of answering once, with in how many more cases it did."""
    alike: dict[str, list[Problem]] = {}
    for problem in result.problems:
        # The message says what went wrong before it says, in parentheses, on which graph.
        alike.setdefault(problem.message.partition(" (")[0], []).append(problem)
    yield from ((first, len(others)) for first, *others in alike.values())


def _smallest(failure: Failing) -> Iterator[str]:
    """Yield the smallest case that fails: its graph, its file, and a program in the engine's own words."""
    nodes = failure.minimal.graph.nodes
    yield f"smallest case that fails like {failure.case.name}: {failure.path}"
    yield from (f"  {node.name} = {node.operation}({', '.join(node.inputs)})" for node in nodes[:10])
    yield from (f"  | {line}" for line in (failure.snippet or "").splitlines())
    yield f"  reproduce: {failure.command}"


def _engine_in_worker(spec: str) -> Engine:
    """Return an engine in a process of its own, where its folder may stay on the path for good."""
    from gradcheck.targets import load, root_of

    engine = load(spec)
    sys.path.insert(0, str(root_of(spec)))
    assert not isinstance(engine, tuple)  # it was an engine in the parent
    return engine


def _replay(named: NamedEngine, path: str, options: dict[str, Any]) -> str:
    words = ["gradcheck", "verify", *([named.spec] if named.spec else []), "--case", path]
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


def _options(request: Request) -> dict[str, Any]:
    """Return the options that a case is verified with; the others concern targets."""
    given = {**request.defaults, **request.overrides}
    return {name: given[name] for name in ("rtol", "atol", "effort", "seed") if name in given}
