"""All changes that are tried, in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradcheck.slips import (
    activations,
    axes,
    indexing,
    names,
    numbers,
    operators,
    simpler,
    slices,
    terms,
    wraps,
)
from gradcheck.slips.influence import POSSIBLE, PROMISING, is_unit
from gradcheck.slips.places import Place, written
from gradcheck.slips.setting import Change, Setting

Family = Callable[[Place, Setting], Iterator[Change]]

# Few changes in each place: tried in all of them before the others.
_CHEAP: tuple[Family, ...] = (
    operators.assignments,
    operators.comparisons,
    simpler.calls,
    names.functions,
    operators.operators,
    operators.exchanges,
    numbers.numbers,
    numbers.options,
    simpler.offsets,
    wraps.cumulative,
    wraps.loops,
    wraps.saved,
    wraps.reductions,
    simpler.arguments,
    axes.reductions,
    activations.exchanged,
    activations.powers,
    indexing.repeated,
    indexing.neighbours,
    terms.softmax,
    terms.unused,
)
# What is likelier comes first, within a family what comes first in the source.
_COSTLY: tuple[Family, ...] = (
    names.variables,
    wraps.rearrangements,
    wraps.both_paths,
    axes.orders,
    slices.strides,
    indexing.forgotten,
    indexing.rows,
    indexing.labels,
    simpler.operands,
    slices.ends,
    slices.corners,
    wraps.factors,
    terms.masks,
    terms.multiplied,
    terms.added,
    terms.derivatives,
    terms.sums,
    terms.products,
)
# Those that make nothing that could share memory with what the function was given.
_HARMLESS_IN_PLACE = (
    operators.comparisons,
    operators.operators,
    operators.assignments,
    numbers.numbers,
    numbers.options,
    slices.strides,
)
# Those in which a size that happens to be 2 may stand for the number, or a symmetric matrix is doubled.
_BY_CHANCE = (simpler.operands, names.variables, terms.multiplied, wraps.both_paths)
# Those that cannot make the sizes of arrays much larger.
_OF_SIZES = (operators.operators, numbers.numbers, simpler.offsets, simpler.operands)


@dataclass(frozen=True)
class Candidate:
    """A node for a place, and the question that it answers; ``by_chance``: a size may stand for a number."""

    setting: Setting
    place: Place
    node: Any
    what: str
    by_chance: bool = False

    def plainer(self) -> Iterator[Candidate]:
        """Yield factors of two in the same place: what is 2 by chance explains them, too."""
        above = (self.place.node, *self.place.above)
        units = [unit for unit in self.setting.places if is_unit(unit) and unit.node in above]
        for unit in units[-1:] if self.by_chance else ():
            for text, what in (("2 * e", "is a factor 2 forgotten"), ("e / 2", "is a factor 1/2 forgotten")):
                yield Candidate(self.setting, unit, written(text, e=unit.node), what)


Promises = Mapping[Place, int]


def candidates(settings: Sequence[tuple[Setting, Promises]]) -> Iterator[Candidate]:
    """Yield the changes of functions whose places are more or less promising."""
    for families, rank in itertools.product((_CHEAP, _COSTLY), (PROMISING, POSSIBLE)):
        for family, (setting, promises) in itertools.product(families, settings):
            for place in _open(family, setting, promises, rank):
                for node, what in family(place, setting):
                    yield Candidate(setting, place, node, what, family in _BY_CHANCE)


def _open(family: Family, setting: Setting, promises: Promises, rank: int) -> Iterator[Place]:
    """Yield the places of a rank that a family may change."""
    if setting.in_place and setting.is_torch and family not in _HARMLESS_IN_PLACE:
        return
    for place, found in promises.items():
        if found == rank and (family in _OF_SIZES or not names.is_size(place)):
            yield place
