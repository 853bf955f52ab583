"""What runs in a submission's own process: load it, verify it, leave the result in a file, and be gone."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck.cli.targets import Outcome, attempt
from gradcheck.errors import TargetError
from gradcheck.targets import Target, load, run_target

if TYPE_CHECKING:
    from gradcheck.report.records import Report


def main() -> None:
    """Verify the submission that the first argument, as JSON, describes. Does not return."""
    job = json.loads(sys.argv[1])
    if hasattr(signal, "alarm"):  # ends this process should the parent be killed before it can
        signal.alarm(math.ceil(min(job["limit"], 10**6)) + 5)
    result = Path(job["result"])
    data = json.dumps([*_outcome(job), job.get("suspicion", "")], allow_nan=False)
    beside = result.with_suffix(".new")
    beside.write_text(data, encoding="utf-8")
    os.replace(beside, result)
    # Neither the submission's threads nor what it left to be done at exit keep the process.
    os._exit(0)


def _outcome(job: dict[str, Any]) -> Outcome:
    try:
        report, message = attempt(lambda: _verify(job), job["name"])
    except BaseException as error:  # whatever a submission raises is told in its row
        from gradcheck.targets.excerpt import in_words

        return None, f"{job['name']} ended the program ({in_words(error)})"
    return None if report is None else report.to_dict(), message


def _verify(job: dict[str, Any]) -> Report:
    from gradcheck.cli.each.load import lacking, load_submission, suspicion
    from gradcheck.targets.place import imports_from

    found = load(job["spec"])
    assert isinstance(found, tuple)  # it was a target in the parent
    (target,) = found
    root = None if job["root"] is None else Path(job["root"]).resolve()
    with imports_from(target.root), imports_from(root):
        submission = load_submission(job["name"], job["file"], root)
        try:
            return run_target(_of_submission(target, submission, job), **job["overrides"])
        except TargetError as error:
            missing = lacking(error)
            if missing is None:
                code = getattr(inspect.unwrap(target.function), "__code__", None)
                job["suspicion"] = suspicion(error, code.co_filename if code else None)
                raise
            raise TargetError(f"{job['name']} {missing}") from error


def _of_submission(target: Target, submission: object, job: dict[str, Any]) -> Target:
    """Return the target with its argument given, called what the row is called."""
    return dataclasses.replace(
        target,
        function=functools.partial(target.function, submission),
        spec=job["name"],
        options={**job["defaults"], **target.options},
    )
