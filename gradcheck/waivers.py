"""Declared deviations: reported with their reason, never silent, and named where nobody needs them."""

from __future__ import annotations

from dataclasses import replace

from gradcheck.options import Options
from gradcheck.report.records import ParameterResult, Verdict


def waived(result: ParameterResult, options: Options) -> ParameterResult:
    """Return the result with the user's waiver applied, if there is one for this parameter."""
    if result.name not in options.allow:
        return result
    reason = options.allow[result.name]
    if result.verdict is Verdict.PASS:
        note = "the waiver is not needed: this gradient is right"
        return replace(result, waived=reason, notes=(*result.notes, note))
    return replace(result, verdict=Verdict.PASS, waived=reason)
