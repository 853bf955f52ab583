"""Known discrepancies: recorded with their reason, so that a gate stops at new and changed ones only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradcheck.errors import UsageError
from gradcheck.files import write_whole
from gradcheck.report.decode import decode
from gradcheck.report.encode import encode
from gradcheck.report.records import ParameterResult, Report, Verdict
from gradcheck.report.run import Against, Discrepancy, Run, concluded
from gradcheck.report.table import worst
from gradcheck.report.words import counted

_FORMAT = {"format": "gradcheck baseline", "version": 1}
# Another machine rounds otherwise; a discrepancy that grows or shrinks by more is another one.
_SAME = 2.0
_VARIATION = "variation "


@dataclass(frozen=True)
class Baseline:
    """The discrepancies that are known, each with the reason for which it is accepted."""

    known: tuple[Discrepancy, ...] = ()


def discrepancies(report: Report) -> Iterator[Discrepancy]:
    """Yield what is not right in a report: parameters, variations, or else the whole."""
    if report.ok:
        return
    found = [_of_parameter(report, r) for r in report.parameters.values() if r.verdict is not Verdict.PASS]
    found += [
        Discrepancy(report.name, f"{_VARIATION}{variation.name}", variation.verdict)
        for variation in report.variations
        if variation.verdict not in (Verdict.PASS, None)
    ]
    yield from found or [Discrepancy(report.name, "", report.verdict)]


def compare(run: Run, baseline: Baseline) -> Run:
    """Return the run with its discrepancies told apart, and the verdict that remains.

    What the baseline knows of targets, parameters and variations that were not tried is neither known nor
    gone.
    """
    found = {_key(d): d for report in run.reports for d in discrepancies(report)}
    recorded = {_key(d): d for d in baseline.known}
    both = [(recorded[key], now) for key, now in found.items() if key in recorded]
    reports = {_place(report.name): report for report in run.reports}
    against = Against(
        known=tuple(replace(now, reason=then.reason) for then, now in both if _is_same(then, now)),
        changed=tuple(replace(now, reason=then.reason) for then, now in both if not _is_same(then, now)),
        new=tuple(now for key, now in found.items() if key not in recorded),
        gone=tuple(d for key, d in recorded.items() if key not in found and _was_tried(d, reports)),
    )
    counting = (d.verdict for d in (*against.new, *against.changed))
    return replace(run, against=against, verdict=concluded(run.reports, counting))


def _was_tried(d: Discrepancy, reports: Mapping[str, Report]) -> bool:
    """Whether a discrepancy would have been told of, had it occurred: what was not tried has not gone."""
    report = reports.get(_place(d.target))
    if report is None:
        return False
    if d.what.startswith(_VARIATION):
        tried = {each.name for each in report.variations if each.verdict is not None}
        return d.what.removeprefix(_VARIATION) in tried
    return d.what == "" or bool(report.parameters)


def _key(d: Discrepancy) -> tuple[str, str]:
    return _place(d.target), d.what


def _place(target: str) -> str:
    """Return a target's name as it is from the working folder, however its file was named."""
    file, colon, name = target.rpartition(":")
    if not file.endswith(".py"):
        return target
    path = Path(os.path.abspath(file))
    here = Path.cwd()
    return f"{path.relative_to(here).as_posix() if path.is_relative_to(here) else file}{colon}{name}"


def updated(run: Run, baseline: Baseline, reason: str) -> Baseline:
    """Return the baseline that knows everything in a run; ``reason`` is that of new and changed ones."""
    against = compare(run, baseline).against or Against()
    fresh = tuple(replace(d, reason=reason) for d in (*against.changed, *against.new))
    settled = {_key(d) for d in (*against.known, *fresh, *against.gone)}
    untried = tuple(d for d in baseline.known if _key(d) not in settled)
    known = (replace(d, target=_place(d.target)) for d in (*untried, *against.known, *fresh))
    return Baseline(tuple(sorted(known, key=lambda d: (d.target, d.what))))


def accepted(run: Run, baseline: Baseline, reason: str, path: str) -> str:
    """Return the sentence that says what ``updated`` records, and where."""
    against = compare(run, baseline).against or Against()
    fresh, known = len(against.new) + len(against.changed), len(against.known)
    said = [f"recorded in {path}: {counted(fresh, 'discrepancy')}" + (f" ({reason})" if fresh else "")]
    if known:
        said.append(f"{known} known before, for the reason given then; to give another, edit the file")
    return "; ".join(said)


def read(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: where the file cannot be read or is no baseline; the sentence says where.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(data, dict) or {key: data.pop(key, None) for key in _FORMAT} != _FORMAT:
            raise ValueError("it is no baseline of this version of gradcheck")
        found = decode(data, Baseline, "baseline")
    except FileNotFoundError:
        raise UsageError(
            f"There is no baseline {path}. Write one with: gradcheck verify --baseline {path} "
            "--accept 'REASON'"
        ) from None
    except (OSError, ValueError) as problem:
        raise UsageError(f"Cannot read the baseline {path}: {problem}. Correct the file.") from None
    assert isinstance(found, Baseline)
    return found


def write(baseline: Baseline, path: str | os.PathLike[str]) -> None:
    """Write a baseline, over many lines, so that its changes can be reviewed.

    Raises:
        UsageError: where the file cannot be written.
    """
    text = json.dumps({**_FORMAT, **encode(baseline, Baseline)}, indent=2, allow_nan=False)
    write_whole(path, text + "\n", "the baseline")


def sentences(against: Against) -> Iterator[str]:
    """Yield what to tell of a comparison, the news first."""
    yield from (f"new: {_named(d)}" for d in against.new)
    yield from (f"changed: {_named(d)} (was accepted: {d.reason})" for d in against.changed)
    yield from (f"known: {_named(d)}: {d.reason}" for d in against.known)
    yield from (f"no longer occurs: {_named(d)}; take it out of the baseline" for d in against.gone)


def _named(d: Discrepancy) -> str:
    return f"{d.target} {d.what}".strip()


def _of_parameter(report: Report, result: ParameterResult) -> Discrepancy:
    comparison = worst(result)
    diagnosis = result.diagnoses[0].kind if result.diagnoses else None
    error = None if comparison is None else comparison.rel_error
    return Discrepancy(report.name, result.name, result.verdict, diagnosis, error)


def _is_same(then: Discrepancy, now: Discrepancy) -> bool:
    if (then.verdict, then.diagnosis) != (now.verdict, now.diagnosis):
        return False
    return _is_near(then.error, now.error)


def _is_near(then: float | None, now: float | None) -> bool:
    if then is None or now is None or then != then or now != now:
        return (then is None or then != then) == (now is None or now != now)
    return then == now or (min(then, now) > 0 and max(then, now) / min(then, now) <= _SAME)
