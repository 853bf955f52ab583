"""All discrepancies of one subject together: mistakes of one parameter are often read off another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcheck.diagnose.evidence import Array, Discrepancy, Facts
from gradcheck.diagnose.numbers import Named, Quantity, collect, name_factor
from gradcheck.diagnose.sample import Sample, observe


@dataclass(frozen=True)
class Scene:
    """``numbers`` maps each known quantity to the words for it; ``order`` runs from input to output."""

    samples: Mapping[str, Sample]
    facts: Facts
    numbers: Mapping[float, Quantity] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, ...]:
        """The parameters from input to output, where known; else as listed."""
        given = [name for name in self.facts.order if name in self.samples]
        return tuple(given) if given else tuple(self.samples)

    @property
    def ordered(self) -> bool:
        """Whether ``order`` says which parameter is nearer to the output."""
        return bool(self.facts.order) or self.facts.listed

    def name_factor(self, name: str, ratio: float, uncertainty: float) -> Named | None:
        """Return the words for a factor in the gradient of a parameter."""
        numbers = dict(self.numbers)
        uses = self.facts.uses.get(name, 1)
        if uses > 1:
            numbers[float(uses)] = Quantity(f"the number of places where {name} is used", True)
        return name_factor(ratio, uncertainty, numbers)

    def name_coefficient(self, coefficient: float, uncertainty: float = 1e-7) -> Named | None:
        """Return the words for the strength of a term: quantities that have a name, no lengths of axes."""
        return name_factor(coefficient, uncertainty, collect(self._quantities, {}), constants=False)

    @property
    def _quantities(self) -> dict[str, float]:
        return quantities(self.samples, self.facts)

    def known_arrays(self, name: str) -> dict[str, Array]:
        """Return the arrays that may enter one parameter's gradient, by name; its own value first."""
        arrays: dict[str, Array] = {}
        own = self.samples[name].value
        if own is not None:
            arrays[name] = own
        for other, sample in self.samples.items():
            if other != name and sample.value is not None:
                arrays[other] = sample.value
        for other, array in self.facts.arrays.items():
            arrays.setdefault(other, array)
        return arrays


def set_scene(discrepancies: Mapping[str, Discrepancy], facts: Facts) -> Scene:
    """Prepare all discrepancies of a subject."""
    samples = {name: observe(discrepancy) for name, discrepancy in discrepancies.items()}
    shapes = {name: sample.shape for name, sample in samples.items()}
    shapes |= {name: tuple(array.shape) for name, array in facts.arrays.items()}
    return Scene(samples, facts, collect(quantities(samples, facts), shapes))


def quantities(samples: Mapping[str, Sample], facts: Facts) -> dict[str, float]:
    """Return the numbers that the caller named, and parameters that are single numbers themselves."""
    found = dict(facts.numbers)
    for name, sample in samples.items():
        if sample.value is not None and sample.value.size == 1 and sample.value.dtype.kind == "f":
            found[f"the value of {name}"] = abs(float(sample.value.reshape(())))
    return found
