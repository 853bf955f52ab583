"""What a report says, line by line, in the order of use: what is wrong, the numbers, where, why, how to redo.

Every format that is read by people is made from these lines, so that all of them say the same.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from gradcheck.report.records import (
    Blame,
    Comparison,
    Diagnosis,
    ParameterResult,
    Report,
    VariationResult,
    Verdict,
    Wrong,
)
from gradcheck.report.words import (
    counted,
    cut,
    digits,
    duration,
    index,
    indices,
    listed,
    number,
    places_to_tell_apart,
    plain,
    size,
)

_NAME = 90
_MOST_SOURCE = 5
WORDS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.INCONCLUSIVE: "inconclusive"}


def of_verdict(results: Iterable[ParameterResult], verdict: Verdict) -> list[ParameterResult]:
    """Return the parameters of a verdict, in their order."""
    return [result for result in results if result.verdict is verdict]


def headline(report: Report) -> str:
    """Return the first line: the subject's name, the verdict, and what is wrong in words."""
    return f"{cut(plain(report.name), _NAME)}: {WORDS[report.verdict]}, {finding(report)}"


def finding(report: Report) -> str:
    """Return what was found in one sentence, without the subject's name and the verdict."""
    if report.message:
        return plain(report.message)
    results = report.parameters.values()
    concerned = of_verdict(results, report.verdict)
    names = listed([result.name for result in concerned])
    if report.verdict is Verdict.FAIL and concerned:
        return f"wrong gradient for {names}" + _of_all(concerned, report)
    if report.verdict is Verdict.INCONCLUSIVE and concerned:
        return f"the gradient for {names} could not be resolved" + _of_all(concerned, report)
    if report.verdict is Verdict.PASS:
        return _agreement(report)
    varied = [v.name for v in report.variations if v.verdict is report.verdict]
    wrong = "wrong" if report.verdict is Verdict.FAIL else "not resolved"
    as_given = "not resolved" if of_verdict(results, Verdict.INCONCLUSIVE) else "right"
    return f"{as_given} as given, {wrong} under {listed(varied)}" if varied else wrong


def _of_all(concerned: Sequence[ParameterResult], report: Report) -> str:
    total = len(report.parameters)
    return f" ({len(concerned):,} of {counted(total, 'parameter')})" if total > 1 else ""


def _agreement(report: Report) -> str:
    results = list(report.parameters.values())
    if not results:
        return "nothing to verify"
    asked = [result for result in results if result.waived is None]
    small = sum(result.vanishes for result in asked)
    said = [_agree(asked, len(asked) - small)] if len(asked) > small or not small else []
    if small:
        have = "has a gradient" if small == 1 else "have gradients"
        what = f"{small:,}" if said else counted(small, "parameter")
        said.append(f"{what} {have} too small to tell from zero")
    waived = len(results) - len(asked)
    return ", ".join([*said, *([f"{waived} waived"] if waived else [])])


def _agree(asked: Sequence[ParameterResult], count: int) -> str:
    known = [result.digits for result in asked if result.digits is not None and not result.vanishes]
    to = f" to {digits(min(known))} digits" + (" or more" if len(known) > 1 else "") if known else ""
    return f"{counted(count, 'parameter')} {'agrees' if count == 1 else 'agree'}{to}"


def what_is_wrong(result: ParameterResult) -> str:
    """Return what is wrong with a parameter, in words, without its name."""
    if result.wrong is not None and result.verdict is Verdict.FAIL:
        return _wrong_entries(result.wrong, math.prod(result.shape))
    if result.message:
        return plain(result.message)
    if result.verdict is Verdict.FAIL:
        return _wrong_somewhere(result.comparisons)
    if result.verdict is Verdict.INCONCLUSIVE:
        return "its gradient could not be resolved to its tolerance"
    return f"waived: {plain(result.waived)}" if result.waived is not None else "right"


def _wrong_entries(wrong: Wrong, size: int) -> str:
    """Say how many: where a sample was examined, what it makes of all ``size`` entries."""
    if wrong.exact:
        return f"wrong gradient in {wrong.count:,} of {counted(wrong.examined, 'entry')}"
    so_many = "at least" if wrong.at_least else "about"
    return f"wrong gradient in {so_many} {wrong.count:,} of {counted(size, 'entry')}"


def _wrong_somewhere(comparisons: Mapping[str, Comparison]) -> str:
    for comparison in comparisons.values():
        if comparison.verdict is Verdict.FAIL:
            what = "random direction" if comparison.index is None else "entry"
            return f"wrong gradient in {comparison.mismatched:,} of {counted(comparison.compared, what)}"
    return "wrong gradient"


def parameter_title(result: ParameterResult) -> str:
    """Return the first line about a parameter."""
    return f"{cut(plain(result.name), _NAME)} {_shape(result.shape)}: {what_is_wrong(result)}"


def parameter_lines(result: ParameterResult) -> list[str]:
    """Return what there is to say below a parameter's title: numbers, where, why."""
    lines = (
        [plain(result.message)] if result.message and plain(result.message) != what_is_wrong(result) else []
    )
    lines += _number_lines(result)
    if result.wrong is not None:
        lines += _place_lines(result.wrong)
    told = {what_is_wrong(result), *lines}
    lines += [line for line in map(_diagnosis, result.diagnoses) if line not in told]
    lines += [f"note: {plain(note)}" for note in result.notes]
    if result.waived is not None and result.verdict is not Verdict.PASS:
        lines.append(f"waived: {plain(result.waived)}")
    return lines


def _shape(shape: Sequence[int]) -> str:
    return f"({shape[0]},)" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"


def _number_lines(result: ParameterResult) -> list[str]:
    """Return one line for each place at which witnesses were compared, every number beside its bounds.

    What is claimed to be NaN or infinite, the message says.
    """
    told = [c for c in result.comparisons.values() if not (result.message and not cmath.isfinite(c.claimed))]
    ordered = sorted(told, key=lambda c: (c.verdict is Verdict.PASS, c.index or ()))
    return [
        _compared(list(group), result)
        for _, group in groupby(ordered, key=lambda c: (c.index, repr(c.claimed)))
    ]


def _compared(group: Sequence[Comparison], result: ParameterResult) -> str:
    first = group[0]
    places = max(places_to_tell_apart(c.claimed, c.expected) for c in group)
    claimed = f"{_count(first, result)}{_where(first)}claimed {number(first.claimed, places)}"
    witnesses = ", ".join(_witness(c, places, result) for c in group)
    tolerances = sorted({size(c.tolerance) for c in group})
    return f"{claimed}, {witnesses}, tolerance {' and '.join(tolerances)}"


def _count(comparison: Comparison, result: ParameterResult) -> str:
    """Return how many entries are wrong, where the title says something else."""
    told = result.wrong is not None or not result.message or comparison.verdict is not Verdict.FAIL
    if told or comparison.index is None or comparison.compared < 2:
        return ""
    return f"{comparison.mismatched:,} of {counted(comparison.compared, 'entry')} wrong, "


def _where(comparison: Comparison) -> str:
    if comparison.index is None:
        return "along a random direction: "
    return f"worst at {index(comparison.index)}: " if comparison.index else ""


def _witness(comparison: Comparison, places: int, result: ParameterResult) -> str:
    told = (
        f"{plain(comparison.witness)} {number(comparison.expected, places)} +- {size(comparison.uncertainty)}"
    )
    disagree = result.verdict is not Verdict.PASS and len(result.comparisons) > 1
    return told + (" (agrees)" if disagree and comparison.verdict is Verdict.PASS else "")


def _place_lines(wrong: Wrong) -> list[str]:
    pattern = [f"where: {plain(wrong.pattern)}"] if wrong.pattern else []
    if wrong.count > 1 and wrong.indices:
        pattern.append(f"wrong entries: {indices(wrong.indices, wrong.count - len(wrong.indices))}")
    return pattern


def _diagnosis(diagnosis: Diagnosis) -> str:
    told = plain(diagnosis.message) or plain(diagnosis.kind)
    if diagnosis.fit >= 0.995 or diagnosis.kind == "unexplained":
        return told
    return f"{told} (explains {diagnosis.fit:.0%} of the discrepancy)"


def variation_line(variation: VariationResult) -> str:
    """Return a variation's name, outcome, message and the parameters that it concerns."""
    outcome = "skipped" if variation.verdict is None else WORDS[variation.verdict]
    told = f"variation {plain(variation.name)}: {outcome}"
    if variation.message:
        told += f", {plain(variation.message).removeprefix('skipped: ')}"
    return told + (f" ({listed(variation.parameters)})" if variation.parameters else "")


def blame_lines(blame: Blame) -> list[str]:
    """Return where an error enters, the source line where it is known, and what explains it."""
    place = f"at {plain(blame.location)}, " if blame.location else "in "
    message = f"; {plain(blame.message)}" if blame.message else ""
    source = [line.strip() for line in (blame.source or "").splitlines() if line.strip()]
    shown = [f"  > {plain(line)}" for line in source[:_MOST_SOURCE]]
    explained = [f"  {_diagnosis(diagnosis)}" for diagnosis in blame.diagnoses]
    return [f"enters {place}{plain(blame.operation)}{message}", *shown, *explained]


def cost_line(report: Report) -> str:
    """Return what the verification took, which variations were tried, the effort, the seed."""
    cost = report.cost
    parts = [
        f"{counted(cost.forward_evaluations, 'forward evaluation')}",
        f"{counted(cost.backward_evaluations, 'backward evaluation')}",
    ]
    skipped = sum(variation.verdict is None for variation in report.variations)
    tried = len(report.variations) - skipped
    if report.variations:
        parts.append(f"{counted(tried, 'variation')} tried" + (f", {skipped} skipped" if skipped else ""))
    effort = [f"effort {plain(str(report.options['effort']))}"] if "effort" in report.options else []
    return ", ".join([*parts, duration(cost.seconds), *effort, f"seed {report.seed}"])
