"""For each operation of the table, how it enters a generated graph: a row each, as in the rules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cases.operands import Growing, tame
from cases.plants.elementwise import ELEMENTWISE
from cases.plants.linear import LINEAR
from cases.plants.losses import LOSSES
from cases.plants.planting import Planting
from cases.plants.reductions import REDUCTIONS
from cases.plants.shaping import SHAPING

PLANTS: Mapping[str, Planting] = MappingProxyType(
    {**ELEMENTWISE, **REDUCTIONS, **LINEAR, **SHAPING, **LOSSES}
)
OPERATIONS = tuple(PLANTS)


def plant(b: Growing, operation: str) -> str:
    """Apply an operation to fitting operands, and return the name of the node, its value tamed.

    Raises:
        cases.builder.Unsuitable: where nothing fits; the graph is then as it was before.
    """
    with b.taken_back():
        return tame(b, PLANTS[operation](b))


__all__ = ["OPERATIONS", "PLANTS", "plant"]
