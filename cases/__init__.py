"""What to run: worked examples with known answers, generated graphs, and cases in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from cases.blocks import block
from cases.case import SCHEMA, Case, CaseError, from_json, load, save, to_json
from cases.choices import Choices, SeededChoices
from cases.dags import dag
from cases.kinks import kink
from cases.lecture import lecture_cases
from cases.mlps import mlp
from cases.operations import complex_operation, operation
from cases.shrink import shrink

Family = Callable[[Choices], Case]

# What is generated where nothing else is asked for. A case of "kink" lies at a kink, where more than one
# gradient is right; "complex" is added for engines that have complex numbers.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {"mlp": mlp, "dag": dag, "block": block, "operation": operation, "kink": kink}
)
# What can be asked for.
ALL_FAMILIES: Mapping[str, Family] = MappingProxyType({**FAMILIES, "complex": complex_operation})


def generate(family: str, seed: int) -> Case:
    """Return the case that follows from a family's name and a seed of at least 0, always the same one.

    Raises:
        CaseError: where there is no such family, or the seed is negative.
    """
    if family not in ALL_FAMILIES:
        near = get_close_matches(family, ALL_FAMILIES, 1)
        hint = f"did you mean {near[0]!r}" if near else "use one of these"
        raise CaseError(f"Expected a family from {', '.join(ALL_FAMILIES)} but got {family!r}; {hint}.")
    if seed < 0:
        raise CaseError(f"Expected a seed of at least 0 but got {seed=}; use a positive number.")
    case = ALL_FAMILIES[family](SeededChoices(family, seed))
    return replace(case, name=f"{case.name} {seed}", seed=seed)


__all__ = [
    "ALL_FAMILIES",
    "FAMILIES",
    "SCHEMA",
    "Case",
    "CaseError",
    "Choices",
    "Family",
    "SeededChoices",
    "from_json",
    "generate",
    "lecture_cases",
    "load",
    "save",
    "shrink",
    "to_json",
]
