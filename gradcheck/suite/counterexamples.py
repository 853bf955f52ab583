"""From a failing case to the smallest that fails, in a file, with the command that shows it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cases import Case, CaseError, save, shrink
from gradcheck.engines.base import Engine
from gradcheck.errors import EngineError, UsageError
from gradcheck.files import write_whole
from gradcheck.report.records import Blame, Report, Verdict
from gradcheck.suite.blame import ADDING_UP, node_cases
from gradcheck.suite.examine import examine
from gradcheck.suite.records import Failure, Outcome, Problem
from gradcheck.verification import verify_case

FOLDER = Path(".gradcheck", "counterexamples")


class Counterexamples:
    """Makes a Failure of each failing case; the first of its kind is shrunk and saved.

    A kind is a set of blamed operations: the hundredth case that a wrong ``max`` breaks says nothing new,
    and is shown again by its family and seed.
    """

    def __init__(
        self,
        engine: Engine,
        options: Mapping[str, Any],
        *,
        spec: str = "",
        folder: Path = FOLDER,
        budget: int = 300,
    ) -> None:
        self._engine = engine
        self._options = {**options, "effort": options.get("effort", "auto")}
        self._spec, self._folder, self._budget = spec, folder, budget
        self._home = Path.cwd()
        self._seen: set[tuple[str, ...]] = set()
        self._raised: set[str] = set()

    def take(self, case: Case, report: Report) -> Failure:
        """Shrink, save and describe a failing case.

        Raises:
            UsageError: where it cannot be saved.
        """
        kind = tuple(sorted(blame.operation for blame in report.blames))
        if kind in self._seen and case.seed is not None:
            command = self._generate(case)
            return Failure(case, replace(report, reproduce=command), case, None, command)
        self._seen.add(kind)
        minimal = shrink(self._start(case, report.blames), self._fails, self._budget)
        snippet = self._snippet(minimal)
        path = self._save(minimal, " ".join([case.family, *_seed(case), *kind]), snippet)
        command = self._command(["--case", path])
        return Failure(case, replace(report, reproduce=command), minimal, path, command, snippet)

    def take_problem(self, outcome: Outcome) -> Problem:
        """Describe a case on which the engine did not answer; the first of its kind is shrunk and saved.

        Raises:
            UsageError: where it cannot be saved.
        """
        case, kind = outcome.case, _kind(outcome.error)
        if kind in self._raised and case.seed is not None:
            return Problem(case.name, outcome.error, outcome.trace, None, self._generate(case))
        self._raised.add(kind)

        def is_alike(other: Case) -> bool:
            return _kind(examine(other, self._engine, self._options).error) == kind

        minimal = shrink(replace(case, name=f"smallest of {case.name}"), is_alike, self._budget)
        path = self._save(minimal, " ".join([case.family, *_seed(case), "raises"]), None)
        return Problem(case.name, outcome.error, outcome.trace, path, self._command(["--case", path]))

    def _generate(self, case: Case) -> str:
        return self._command(["--family", case.family, "--seed", str(case.seed), "--cases", "1"])

    def _start(self, case: Case, blames: Sequence[Blame]) -> Case:
        """Return the blamed node alone, if it fails alone, else the whole case."""
        guilty = {blame.operation for blame in blames} - {ADDING_UP}
        for node, alone in node_cases(case, self._engine) if guilty else ():
            if node.operation in guilty and self._fails(alone):
                return replace(alone, name=f"{node.operation} in {case.name}")
        return replace(case, name=f"smallest of {case.name}")

    def _fails(self, case: Case) -> bool:
        try:
            return verify_case(case, self._engine, **self._options).verdict is Verdict.FAIL
        except EngineError:
            return False  # another fault than the one that is looked for

    def _snippet(self, case: Case) -> str | None:
        make = getattr(self._engine, "snippet", None)
        return make(case.graph, case.values) if callable(make) else None

    def _save(self, case: Case, name: str, snippet: str | None) -> str:
        path = self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.json"
        place = self._home / path  # the engine may have left the folder that we were started in
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            save(case, place)
        except (OSError, CaseError) as problem:
            raise UsageError(f"Cannot save the counterexample to {path}: {problem}") from problem
        if snippet is not None:
            write_whole(place.with_suffix(".py"), snippet + "\n", "the reproduction")
        return str(path)

    def _command(self, words: Sequence[str]) -> str:
        return shlex.join(["gradcheck", "verify", *([self._spec] if self._spec else []), *words])


def _kind(error: str) -> str:
    """Return what an engine did, without the text of what it raised and without the graph that it was."""
    return error.partition(" (")[0].partition(": ")[0]


def _seed(case: Case) -> list[str]:
    return [] if case.seed is None else [str(case.seed)]
