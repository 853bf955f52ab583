"""One search for the guilty: the computation, the first recording of it, and what everything has cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gradcheck.blame import trace
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.chance import Chance
from gradcheck.blame.computation import Computation
from gradcheck.blame.recording import Gradients, Recording, record
from gradcheck.blame.result import BlameCost
from gradcheck.blame.trace import Visitor

_SAME = 1e-9


class Session:
    """``wrong`` are the leaves whose gradients are in question, empty for all of them."""

    def __init__(
        self,
        computation: Computation,
        wrong: Sequence[str],
        cotangents: Sequence[torch.Tensor | None] | None,
        rng: np.random.Generator | None,
    ) -> None:
        self.computation = computation
        self.wrong = frozenset(wrong) & frozenset(computation.values)
        self.chance = Chance(rng if rng is not None else np.random.default_rng(0))
        self.runs = self.backwards = 0
        self.evaluations = self.pullbacks = self.examined = 0
        self.recording = self.record(cotangents)

    def record(self, cotangents: Sequence[torch.Tensor | None] | None = None, **options: Any) -> Recording:
        """Record another run, with the first one's cotangents where none are given."""
        self.runs += 1
        self.backwards += 1
        first: Recording | None = getattr(self, "recording", None)
        if cotangents is None and first is not None:
            cotangents = first.cotangents
        return record(self.computation, self.chance, cotangents, **options)

    def run_traced(self, visitor: Visitor) -> None:
        """Run the forward pass once more under a visitor."""

        def run() -> None:
            with self.computation.running({}, track=True):
                pass

        trace.run_traced(run, visitor)
        self.runs += 1

    def concerns(self, call: TracedCall) -> bool:
        """Whether the call lies on the way to a leaf in question, as far as one can tell."""
        leaves = self.recording.ancestry.leaves_of[call.id]
        return not self.wrong or not leaves or bool(leaves & self.wrong)

    def direction(self) -> dict[str, torch.Tensor]:
        """Draw a direction for the leaves in question."""
        names = [name for name in self.computation.values if not self.wrong or name in self.wrong]
        return {name: self.chance.direction(self.computation.values[name]) for name in names}

    @property
    def track(self) -> bool:
        """Whether grad mode must be on even where nothing is differentiated from outside."""
        return any(call.differentiates for call in self.recording.calls)

    def same(self, a: Gradients, b: Gradients) -> bool:
        """Whether two runs gave the leaves in question the same gradients."""
        names = [name for name in b if not self.wrong or name in self.wrong]
        return all(_close(a.get(name), b.get(name)) for name in names)

    @property
    def cost(self) -> BlameCost:
        """What was spent so far."""
        return BlameCost(self.runs, self.backwards, self.examined, self.evaluations, self.pullbacks)


def _close(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        other = b if a is None else a
        return other is None or not bool(other.any())
    largest = float(b.abs().max()) if b.numel() else 0.0
    return torch.allclose(a, b, rtol=_SAME, atol=_SAME * largest, equal_nan=True)
