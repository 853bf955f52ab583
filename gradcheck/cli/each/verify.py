"""Verifying one submission in a process of its own, and putting into words how that process ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from gradcheck.cli.each.find import Submission
from gradcheck.cli.each.load import Suspicion
from gradcheck.cli.each.process import Ended, Processes
from gradcheck.cli.request import Request
from gradcheck.report.records import Report
from gradcheck.report.words import plain
from gradcheck.targets import Target
from gradcheck.targets.run import command

# What multiprocessing's spawn does too: the child resolves imports as the parent does.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; "
    "from gradcheck.cli.each.child import main; main()"
)
_MOST_LINES = 12
_CRASH = "Fatal Python error"  # its stack has the innermost call first
_CRASH_LINES = 6
# As faulthandler writes what is nobody's of the submission.
_NOT_THEIRS = (f'File "{Path(__file__).parents[2]}{os.sep}', 'File "<', "Extension modules:")


@dataclass(frozen=True)
class Ticket:
    """A submission and the target that it is verified against; ``name`` is what its row is called."""

    name: str
    submission: Submission
    target: Target


@dataclass(frozen=True)
class Found:
    """A report, or why there is none, and how far that says that the grader is at fault."""

    report: Report | None
    message: str
    suspicion: Suspicion = ""


def verify_submission(ticket: Ticket, request: Request, limit: float, processes: Processes) -> Found | None:
    """Return what was found, None where everything was stopped meanwhile."""
    if ticket.submission.problem:
        return Found(None, f"{ticket.name} {ticket.submission.problem}")
    with tempfile.TemporaryDirectory(prefix="gradcheck-", ignore_cleanup_errors=True) as folder:
        result = Path(folder, "result.json")
        words = _words(ticket, request, limit, result)
        # Several processes share the processors; numbers do not depend on how many threads there were.
        ended = processes.run(words, limit, {"OMP_NUM_THREADS": "1", **os.environ})
        if ended is None:
            return None
        found = _read(result)
    if found is None:
        return Found(None, f"{ticket.name} {_in_words(ended, limit)}")
    if found.report is None:
        return found
    return replace(found, report=replace(found.report, reproduce=_reproduce(ticket, request)))


def _words(ticket: Ticket, request: Request, limit: float, result: Path) -> list[str]:
    job = {
        "path": sys.path,
        "name": ticket.name,
        "spec": ticket.target.spec,
        "file": ticket.submission.file,
        "root": ticket.submission.root,
        "overrides": dict(request.overrides),
        "defaults": dict(request.defaults),
        "limit": limit,
        "result": str(result),
    }
    options = ["-P", "-B", "-X", "faulthandler"]  # -B: nothing is written beside a submission
    return [sys.executable, *options, "-c", _START, json.dumps(job, default=sorted)]


def _read(result: Path) -> Found | None:
    try:
        data, message, suspicion = json.loads(result.read_text(encoding="utf-8"))
        return Found(None if data is None else Report.from_dict(data), str(message), suspicion)
    except (OSError, ValueError, TypeError):  # it ended before it wrote one, or something else wrote there
        return None


def _in_words(ended: Ended, limit: float) -> str:
    if ended.status is None:
        said = f"did not finish within {limit:g} s (--time-limit)"
    elif ended.status < 0:
        said = f"crashed: {_signal(-ended.status)}"
    else:
        said = f"ended its process with status {ended.status} before it was verified; does it call os._exit?"
    lines = [plain(line) for line in _telling(ended.printed).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_NOT_THEIRS)]
    lines = lines[:_CRASH_LINES] if lines and lines[0].startswith(_CRASH) else lines[-_MOST_LINES:]
    return "\n".join([said, *(["it printed last:"] if lines else []), *(f"  | {line}" for line in lines)])


def _telling(printed: str) -> str:
    """Return what was printed from where Python's faulthandler says what happened, else all of it."""
    _, crash, after = printed.rpartition(_CRASH)
    return crash + after if crash else printed


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    words = f"{signal.strsignal(number)} ({name})"
    return f"{words}; is there no memory left?" if name == "SIGKILL" else words


def _reproduce(ticket: Ticket, request: Request) -> str:
    seed = ticket.target.options.get("seed", 0)
    words = command(ticket.target, {"seed": seed, **request.overrides})
    each = shlex.join(["--each", request.each or "", f"--only={ticket.submission.name}"])
    return words.replace("verify ", f"verify {each} ", 1)
