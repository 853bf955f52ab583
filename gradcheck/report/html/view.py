"""What the template shows, put together from the records: everything derived is derived here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradcheck.report import baseline
from gradcheck.report.html.drawing import Drawing
from gradcheck.report.html.pictures import Pictures
from gradcheck.report.html.plots import Plot
from gradcheck.report.html.source import Line, lines_around
from gradcheck.report.records import Blame, Comparison, ParameterResult, Report, VariationResult, Verdict
from gradcheck.report.run import Failure, Operation, Run
from gradcheck.report.sentences import WORDS, finding, what_is_wrong
from gradcheck.report.summary import conclusion
from gradcheck.report.table import worst

_DETAILED = 600  # parameters whose comparisons are written out; of a larger run only those that did not pass
_SECTIONS = 200  # subjects of which more than a row is shown
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class ParameterView:
    """One row of the table, and one section of details where ``detailed``.

    ``accepted`` is the reason for which the deviation is waived or known to a baseline.
    """

    key: str
    result: ParameterResult
    standing: str
    accepted: str | None
    sentence: str
    worst: Comparison | None
    plots: tuple[Plot, ...]
    without_plots: str
    detailed: bool


@dataclass(frozen=True)
class VariationView:
    """A variation; ``accepted`` is the reason for which a baseline knows it."""

    variation: VariationResult
    standing: str
    accepted: str | None


@dataclass(frozen=True)
class BlameView:
    """A blamed operation with the source lines around it."""

    blame: Blame
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class SubjectView:
    """One report: a row of the table, and a section of its own where ``detailed``.

    Its parameters come worst first, and are left out where there is no section.
    """

    key: str
    report: Report
    detailed: bool
    standing: str
    worst: ParameterResult | None
    sentence: str
    parameters: tuple[ParameterView, ...]
    variations: tuple[VariationView, ...]
    blames: tuple[BlameView, ...]
    drawing: Drawing | None


@dataclass(frozen=True)
class PageView:
    """The whole run."""

    standing: str
    sentence: str
    subjects: tuple[SubjectView, ...]
    failures: tuple[Failure, ...]
    operations: tuple[Operation, ...]
    notes: tuple[str, ...]


def page_view(run: Run) -> PageView:
    """Return what the page for a run shows."""
    pictures = Pictures()
    everything = sum(len(report.parameters) for report in run.reports) <= _DETAILED
    sections = _with_section(run)
    subjects = tuple(
        _subject(f"s{i}", report, run, pictures if i in sections else None, everything)
        for i, report in enumerate(run.reports)
    )
    notes = tuple(_notes(run, everything, pictures.missing))
    return PageView(_run_standing(run), _run_sentence(run), subjects, run.failures, run.operations, notes)


def _run_standing(run: Run) -> str:
    if run.failures and run.verdict is not Verdict.FAIL:
        return "error"
    return str(run.verdict if run.reports else Verdict.INCONCLUSIVE)  # nothing verified is no pass


def _run_sentence(run: Run) -> str:
    if len(run.reports) == 1 and not run.failures and run.complete:
        return _as_sentence(finding(run.reports[0]))
    said = conclusion(run)
    for word in (*WORDS.values(), "error"):
        said = said.removeprefix(f"{word}: ")
    return _as_sentence(said)


def _notes(run: Run, everything: bool, missing: bool) -> Iterator[str]:
    if run.against is not None:
        yield from map(_as_sentence, baseline.sentences(run.against))
    if len(run.reports) > _SECTIONS:
        yield f"Only {_SECTIONS} subjects, the worst, have sections of their own; the JSON has all."
    if not everything:
        yield "Passing parameters have no details here, because there are many; the JSON has them."
    if missing:
        yield "There are no plots and drawings: they need pip install 'gradcheck[html]'."


def _with_section(run: Run) -> frozenset[int]:
    """Return which reports, by number, have a section: the worst, where there are very many."""
    order = sorted(range(len(run.reports)), key=lambda i: _WORST_FIRST.index(run.standing(run.reports[i])))
    return frozenset(order[:_SECTIONS])


def _subject(key: str, report: Report, run: Run, pictures: Pictures | None, everything: bool) -> SubjectView:
    """Return the view of a report; without ``pictures`` only what its row shows."""
    known = {result.name: run.reason(report, result.name) for result in report.parameters.values()}
    results = sorted(report.parameters.values(), key=lambda result: _rank(result, known[result.name]))
    return SubjectView(
        key=key,
        report=report,
        detailed=pictures is not None,
        worst=results[0] if results else None,
        standing=str(report.verdict) if run.standing(report) is report.verdict else "known",
        sentence=_as_sentence(finding(report)),
        parameters=tuple(
            _parameter(f"{key}p{i}", result, known[result.name], pictures, everything)
            for i, result in enumerate(results)
            if pictures is not None
        ),
        variations=tuple(_variation(variation, report, run) for variation in report.variations),
        blames=tuple(
            BlameView(blame, lines_around(blame)) for blame in report.blames if pictures is not None
        ),
        drawing=None if pictures is None else pictures.drawing(report),
    )


def _parameter(
    key: str, result: ParameterResult, known: str | None, pictures: Pictures, everything: bool
) -> ParameterView:
    plots, without = pictures.plots(result, key)
    return ParameterView(
        key=key,
        result=result,
        standing="waived" if result.waived is not None else "known" if known else str(result.verdict),
        accepted=result.waived if result.waived is not None else known,
        sentence=_as_sentence(what_is_wrong(result)) if result.verdict is not Verdict.PASS else "",
        worst=worst(result),
        plots=plots,
        without_plots=without,
        detailed=everything or result.verdict is not Verdict.PASS,
    )


def _variation(variation: VariationResult, report: Report, run: Run) -> VariationView:
    known = run.reason(report, f"variation {variation.name}")
    plain = "skipped" if variation.verdict is None else str(variation.verdict)
    return VariationView(variation, "known" if known else plain, known)


def _rank(result: ParameterResult, known: str | None) -> tuple[int, bool, float]:
    accepted = known is not None or result.waived is not None
    least = _WORST_FIRST.index(Verdict.PASS) if accepted else 0
    digits = float("inf") if result.digits is None else result.digits
    return max(_WORST_FIRST.index(result.verdict), least), not accepted, digits


def _as_sentence(said: str) -> str:
    """Return the words with a capital letter, unless they start with a name, and a full stop."""
    first = said.partition(" ")[0]
    begun = said[:1].upper() + said[1:] if first.isalpha() else said
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."
