"""Every rule of the reference implementation under automatic mutants of its backward pass."""

from __future__ import annotations

from itertools import islice

from benchmarks.mutants import mutants
from benchmarks.mutation import MORE, OUTCOMES, SURVIVES, summary
from benchmarks.mutation import measure as fates_of
from benchmarks.record import Bar, Result, Table

QUICK = 25  # one of so many mutants


def measure(quick: bool) -> Result:
    found = summary(fates_of(islice(mutants(), 0, None, QUICK if quick else 1)))
    rows = [[kind, *counts.values()] for kind, counts in found["kinds"].items()]
    return Result(
        tables=(
            Table(
                "What catches the mutants",
                ("change", *OUTCOMES),
                [*rows, ["all", *found["outcomes"].values()]],
                "Beyond a default run: more cases of the same kinds.",
            ),
            Table("Why some mutants change nothing", ("reason", "mutants"), sorted(found["reasons"].items())),
        ),
        bars=(
            Bar("mutants caught by default, of all that are not equivalent", found["default"], 0.99, True),
            Bar(f"mutants caught by default or by {MORE}", found["all"], 0.99, True),
        ),
        exceptions=[f"{name}: {mutant}" for name in (SURVIVES, MORE) for mutant in found[name]],
        data={"mutants": found["mutants"], "functions": found["functions"]},
    )
