"""All submissions of a folder, several at a time, told in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradcheck.cli.each.find import find_submissions
from gradcheck.cli.each.process import Processes
from gradcheck.cli.each.verify import Found, Ticket, verify_submission
from gradcheck.cli.request import Request
from gradcheck.errors import UsageError
from gradcheck.report.run import Failure
from gradcheck.report.words import listed
from gradcheck.targets import Target, load
from gradcheck.targets.declare import needed_arguments

if TYPE_CHECKING:
    from gradcheck.cli.collect import Collector
    from gradcheck.cli.screen import Screen

TIME_LIMIT = 60.0  # seconds for a submission, from the start of its process


@dataclass(frozen=True)
class Submissions:
    """Submissions to verify with the options of a request."""

    tickets: tuple[Ticket, ...]
    request: Request

    @property
    def steps(self) -> int:
        """How many rows there will be."""
        return len(self.tickets)

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify each that a resumed run has not. What is done when the run is stopped is kept."""
        tickets = [ticket for ticket in self.tickets if ticket.name not in collector.done]
        for _ in range(len(self.tickets) - len(tickets)):
            screen.advance()
        processes = Processes()
        limit = self.request.time_limit or TIME_LIMIT
        verify = partial(verify_submission, request=self.request, limit=limit, processes=processes)
        waiting: list[tuple[Ticket, Future[Found | None]]] = []
        seen: dict[str, list[tuple[Ticket, Found]]] = {}
        with ThreadPoolExecutor(self.request.jobs) as executor:
            try:
                waiting += [(ticket, executor.submit(verify, ticket)) for ticket in tickets]
                while waiting:
                    screen.begin(waiting[0][0].name)
                    waiting[0][1].exception()  # waits; what it raised is raised below
                    ticket, future = waiting.pop(0)
                    found = future.result()
                    self._take(ticket, found, screen, collector)
                    if found is not None:
                        seen.setdefault(ticket.target.spec, []).append((ticket, found))
            except BaseException:
                processes.stop()
                executor.shutdown(cancel_futures=True)
                for ticket, found in _done(waiting):
                    self._take(ticket, found, screen, collector)
                raise
        for spec, outcomes in seen.items():
            self._judge_grader(spec, outcomes, screen, collector)

    def _judge_grader(
        self, spec: str, outcomes: Sequence[tuple[Ticket, Found]], screen: Screen, collector: Collector
    ) -> None:
        """Say that the grader is at fault, where it is; else tell what was held back until that was clear."""
        suspected = [(ticket, found) for ticket, found in outcomes if found.suspicion]
        message = "" if collector.done else graders_fault(outcomes)
        if message:
            told = f"{spec} fails whatever the submission: {message}"
            failure = Failure(spec, told, len(suspected), "grader")
            collector.blame_grader([ticket.name for ticket, _ in suspected], failure)
            screen.error(told)
        elif self._tells:
            for _, found in suspected:
                screen.error(found.message)

    @property
    def _tells(self) -> bool:
        return self.request.verbose or self.steps == 1

    def _take(self, ticket: Ticket, found: Found | None, screen: Screen, collector: Collector) -> None:
        if found is None:
            return
        report = found.report
        if report is None:
            collector.fail(Failure(ticket.name, found.message), "" if found.suspicion else ticket.name)
            if self._tells and not found.suspicion:
                screen.error(found.message)
        else:
            collector.add(self.request.each or "", report, ticket.name)
            if self._tells:
                screen.report(report)
        screen.advance()


def graders_fault(outcomes: Sequence[tuple[Ticket, Found]]) -> str:
    """Return what all submissions failed with in the grader, "" where it is not at fault.

    It is where submissions end in the same error before the grader asks for anything of them, or where
    several, and all that there are, end in the same error outside of their code.
    """
    reached = [(ticket, found) for ticket, found in outcomes if found.report or found.suspicion]
    messages = {found.message.replace(ticket.name, "it") for ticket, found in reached}
    sure = 1 < len(outcomes) == len(reached) or all(found.suspicion == "certain" for _, found in reached)
    if not sure or len(messages) != 1 or any(found.report for _, found in reached):
        return ""
    return messages.pop().removeprefix("it ").removeprefix("it: ")


def _done(waiting: Iterable[tuple[Ticket, Future[Found | None]]]) -> Iterator[tuple[Ticket, Found | None]]:
    for ticket, future in waiting:
        if future.done() and not future.cancelled() and future.exception() is None:
            yield ticket, future.result()


def submissions(request: Request, screen: Screen) -> Submissions:
    """Load the targets, find the submissions, and say what lies among them and is none.

    Raises:
        UsageError: where there is nothing to verify, or no target that takes a submission.
        TargetError: where the file of targets cannot be loaded.
    """
    assert request.each is not None  # it is what was asked for
    (spec,) = request.targets
    targets = load(spec)
    if not isinstance(targets, tuple):
        raise UsageError(f"{spec} is an engine; --each needs a target that takes a submission.")
    for target in targets:
        if target.fault:
            raise UsageError(f"{target.spec}: {target.fault}")
        if len(needed_arguments(target.function)) != 1:
            raise UsageError(
                f"{target.spec} takes no submission; with --each, write a target with one argument: "
                f"def {target.name}(submission), which uses submission.loss and submission.gradient."
            )
    own = targets[0].file
    found, others = find_submissions(request.each, request.only, Path(own).resolve() if own else None)
    if others:
        screen.text(f"note: neither a folder nor a file that ends in .py: {listed(others, 5)}")
    several = len(targets) > 1
    return Submissions(
        tuple(
            Ticket(f"{each.name}:{target.name}" if several else each.name, each, _with(target, request))
            for each in found
            for target in targets
        ),
        request,
    )


def _with(target: Target, request: Request) -> Target:
    return replace(target, options={**request.defaults, **target.options})
