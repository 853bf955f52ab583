"""Verifying targets, one after the other or in several processes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gradcheck.cli.request import Request
from gradcheck.errors import EngineError, GradcheckError
from gradcheck.report.records import Report
from gradcheck.report.run import Failure
from gradcheck.shadow import hiding_module
from gradcheck.targets import Target, load, run_target
from gradcheck.targets.excerpt import excerpt, in_words

if TYPE_CHECKING:
    from gradcheck.cli.collect import Collector
    from gradcheck.cli.screen import Screen

# What became of a target: its report as JSON data, or why there is none.
Outcome = tuple[dict[str, Any] | None, str]
Found = TypeVar("Found")
_CRASHED = (
    "a process ended abruptly (a crash in native code, or no memory left); verify the targets one by one, "
    "without --jobs, to see which."
)


@dataclass(frozen=True)
class Targets:
    """Targets to verify with the options of a request."""

    targets: tuple[Target, ...]
    request: Request

    @property
    def steps(self) -> int:
        """How many targets there are."""
        return len(self.targets)

    def run(self, screen: Screen, collector: Collector) -> None:
        """Verify each that a resumed run has not, showing and collecting what was found."""
        targets = tuple(target for target in self.targets if target.spec not in collector.done)
        for _ in range(len(self.targets) - len(targets)):
            screen.advance()
        following = [*targets[1:], *targets[-1:]]
        for after, (target, report, message) in zip(following, self._outcomes(targets), strict=True):
            if report is None:
                collector.fail(Failure(target.spec, message))
                screen.error(message)
            else:
                collector.add(target.spec.rpartition(":")[0], report, target.spec)
                screen.report(report)
            screen.advance()
            screen.begin(after.spec)

    def _outcomes(self, targets: tuple[Target, ...]) -> Iterator[tuple[Target, Report | None, str]]:
        jobs = min(self.request.jobs, len(targets))
        if jobs > 1:
            yield from _in_processes(targets, self.request, jobs)
            return
        for target in targets:
            yield (
                target,
                *attempt(partial(run_target, target, **self.request.overrides), target.spec),
            )


def attempt(verify: Callable[[], Found], name: str) -> tuple[Found | None, str]:
    """Return what was found, or None and why there is none: mistakes in words, ours with the traceback."""
    try:
        return verify(), ""
    except GradcheckError as error:
        text = str(error)
        if isinstance(error, EngineError) and error.__cause__ is not None:
            text += f"\n{excerpt(error.__cause__)}"
        return None, text if text.startswith(name) or name in text.partition("\n")[0] else f"{name}: {text}"
    except BrokenPipeError:  # ours: what a target raises has been put into words already
        raise
    except SystemExit as error:
        return None, f"{name} ended the program ({in_words(error)}); let it return what it has to, or raise."
    except Exception as error:
        hidden = hiding_module(error)
        return None, f"{name}: {hidden}" if hidden else (
            f"{name}: gradcheck itself failed. Please report this, with the target if you can:\n"
            f"{traceback.format_exc().rstrip()}"
        )


def _in_processes(
    targets: tuple[Target, ...], request: Request, jobs: int
) -> Iterator[tuple[Target, Report | None, str]]:
    """Verify in fresh processes, and yield in the order in which targets were named."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    executor = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet)
    try:
        options = dict(request.overrides), dict(request.defaults)
        pending = [(target, executor.submit(_verify_spec, target.spec, *options)) for target in targets]
        for target, future in pending:
            try:
                data, message = future.result()
            except BrokenProcessPool:
                data, message = None, f"{target.spec}: {_CRASHED}"
            yield target, None if data is None else Report.from_dict(data), message
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends its processes itself."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _verify_spec(spec: str, overrides: dict[str, Any], defaults: dict[str, Any]) -> Outcome:
    import dataclasses

    def verify() -> Report:
        found = load(spec)
        assert isinstance(found, tuple)  # it was a target in the parent
        target = dataclasses.replace(found[0], options={**defaults, **found[0].options})
        return run_target(target, **overrides)

    report, message = attempt(verify, spec)
    return None if report is None else report.to_dict(), message
