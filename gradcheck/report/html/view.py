"""What the template shows, put together from the records: everything derived is derived here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradcheck.report.html.drawing import Drawing
from gradcheck.report.html.pictures import Pictures
from gradcheck.report.html.plots import Plot
from gradcheck.report.html.source import Line, lines_around
from gradcheck.report.html.words import counted
from gradcheck.report.records import Blame, Comparison, ParameterResult, Report, Verdict
from gradcheck.report.run import Failure, overall

_DETAILED = 600  # parameters whose comparisons are written out; of a larger run only those that did not pass
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_SAID = {Verdict.FAIL: "a wrong gradient", Verdict.INCONCLUSIVE: "a gradient that could not be confirmed"}

_OF_ONE = {
    Verdict.PASS: "The gradient is right.",
    Verdict.FAIL: "The gradient is wrong.",
    Verdict.INCONCLUSIVE: "The gradient could not be confirmed.",
}


@dataclass(frozen=True)
class ParameterView:
    """One row of the table, and one section of details where ``detailed``."""

    key: str
    result: ParameterResult
    standing: str
    worst: Comparison | None
    plots: tuple[Plot, ...]
    without_plots: str
    detailed: bool


@dataclass(frozen=True)
class BlameView:
    """A blamed operation with the source lines around it."""

    blame: Blame
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class SubjectView:
    """One report; its parameters worst first."""

    key: str
    report: Report
    sentence: str
    parameters: tuple[ParameterView, ...]
    blames: tuple[BlameView, ...]
    drawing: Drawing | None


@dataclass(frozen=True)
class PageView:
    """The whole run."""

    verdict: Verdict
    sentence: str
    subjects: tuple[SubjectView, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]


def page_view(reports: Sequence[Report], failures: Sequence[Failure] = ()) -> PageView:
    """Return what the page for ``reports`` shows."""
    pictures = Pictures()
    everything = sum(len(report.parameters) for report in reports) <= _DETAILED
    subjects = tuple(_subject(f"s{i}", report, pictures, everything) for i, report in enumerate(reports))
    notes = (
        []
        if everything
        else ["Passing parameters have no details here, because there are many; the JSON has them."]
    )
    if pictures.missing:
        notes.append("There are no plots and drawings: they need pip install 'gradcheck[html]'.")
    verdicts = [report.verdict for report in reports] + [Verdict.FAIL] * bool(failures)
    verdict = overall(verdicts) if verdicts else Verdict.INCONCLUSIVE  # nothing verified is no pass
    return PageView(verdict, _sentence(reports, failures), subjects, tuple(failures), tuple(notes))


def _subject(key: str, report: Report, pictures: Pictures, everything: bool) -> SubjectView:
    results = sorted(report.parameters.values(), key=_rank)
    parameters = tuple(
        _parameter(f"{key}p{i}", result, pictures, everything) for i, result in enumerate(results)
    )
    blames = tuple(BlameView(blame, lines_around(blame)) for blame in report.blames)
    sentence = report.message or _composed(report)
    return SubjectView(key, report, sentence, parameters, blames, pictures.drawing(report))


def _parameter(key: str, result: ParameterResult, pictures: Pictures, everything: bool) -> ParameterView:
    plots, missing = pictures.plots(result, key)
    detailed = everything or result.verdict is not Verdict.PASS
    standing = str(result.verdict) if result.waived is None else "waived"
    return ParameterView(key, result, standing, _worst(result.comparisons.values()), plots, missing, detailed)


def _rank(result: ParameterResult) -> tuple[int, float]:
    waived = len(_WORST_FIRST) - 1 if result.waived is not None else 0
    return max(_WORST_FIRST.index(result.verdict), waived), result.digits or 0.0


def _worst(comparisons: Iterable[Comparison]) -> Comparison | None:
    """Return the comparison that speaks loudest: worst verdict first, then error beside its tolerance."""

    def quietness(comparison: Comparison) -> tuple[int, float]:
        excess = (
            comparison.abs_error / comparison.tolerance if comparison.tolerance > 0 else comparison.abs_error
        )
        comparable = excess == excess  # not a NaN, which is the worst of all
        return _WORST_FIRST.index(comparison.verdict), -excess if comparable else float("-inf")

    return min(comparisons, key=quietness, default=None)


def _composed(report: Report) -> str:
    """Return the first sentence of a report that brings none."""
    counts = Counter(result.verdict for result in report.parameters.values() if result.waived is None)
    wrong = [
        f"{counted(counts[verdict], 'parameter')} with {said}"
        for verdict, said in _SAID.items()
        if counts[verdict]
    ]
    total = counted(len(report.parameters), "parameter")
    if wrong:
        return f"Of {total}: {', '.join(wrong)}."
    return (
        f"Every gradient is right ({total})." if report.ok else f"The verdict is {report.verdict} ({total})."
    )


def _sentence(reports: Sequence[Report], failures: Sequence[Failure]) -> str:
    """Return how many subjects stand how."""
    if not reports and not failures:
        return "Nothing was verified."
    if len(reports) == 1 and not failures:
        return _OF_ONE[reports[0].verdict]
    counts = Counter(report.verdict for report in reports)
    parts = [f"{counts[verdict]} {verdict}" for verdict in _WORST_FIRST if counts[verdict]]
    parts += [f"{len(failures)} could not be run"] * bool(failures)
    return f"{counted(len(reports) + len(failures), 'subject')}: {', '.join(parts)}."
