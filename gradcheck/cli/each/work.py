"""All submissions of a folder, several at a time, told in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        with ThreadPoolExecutor(self.request.jobs) as executor:
            try:
                waiting += [(ticket, executor.submit(verify, ticket)) for ticket in tickets]
                while waiting:
                    screen.begin(waiting[0][0].name)
                    waiting[0][1].exception()  # waits; what it raised is raised below
                    ticket, future = waiting.pop(0)
                    self._take(ticket, future.result(), screen, collector)
            except BaseException:
                processes.stop()
                executor.shutdown(cancel_futures=True)
                for ticket, found in _done(waiting):
                    self._take(ticket, found, screen, collector)
                raise

    def _take(self, ticket: Ticket, found: Found | None, screen: Screen, collector: Collector) -> None:
        if found is None:
            return
        report, message = found
        told = self.request.verbose or self.steps == 1
        if report is None:
            collector.fail(ticket.name, message)
            if told:
                screen.error(message)
        else:
            collector.add(self.request.each or "", report, ticket.name)
            if told:
                screen.report(report)
        screen.advance()


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
