"""Mutants that change no gradient, and why: data for ``benchmarks.mutation``, which tries each on fresh cases."""

from __future__ import annotations

import re

from benchmarks.mutants import Mutant

EQUIVALENT: tuple[tuple[str, str, str], ...] = ()


def reason_of(mutant: Mutant) -> str:
    """Return why the mutant is equivalent, "" where nobody has said so."""
    for function, pattern, why in EQUIVALENT:
        if function == mutant.function and re.search(pattern, mutant.change):
            return why
    return ""
