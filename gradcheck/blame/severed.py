"""Values that the outputs depend on and the gradient does not: proved by making them constant.

A call is a suspect where a number that requires grad goes in and one that does not comes out, where memory of
the graph is changed without the graph's knowledge, or where a custom forward reads what it was not
given. Most suspects are innocent: subtracting ``x.max().detach()`` before a softmax changes nothing. A
suspect is guilty where the derivative of the outputs changes when the suspect's result is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from gradcheck.blame.arrangement import moved
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.computation import Computation
from gradcheck.blame.replay import Constant, Freezer
from gradcheck.blame.search import necessary
from gradcheck.blame.trace import Key, run_traced
from gradcheck.numerical import roundoff
from gradcheck.numerical.line import Vector, flatten, total
from gradcheck.subjects.torch.layout import spacing

# Derivatives that differ by less than this share of the larger are the same; by ordinary central differences.
_SAME = 1e-5
_ALIASES = ("Tensor.detach", "Tensor.data", "Tensor.detach_")


def suspects(calls: Sequence[TracedCall]) -> list[TracedCall]:
    """Return the calls where a path may be cut.

    An alias through which the graph's memory is written is left out: the write is the suspect then.
    """
    written_through = {source for call in calls if call.unrecorded for source in call.inputs}
    return [
        call
        for call in calls
        if call.suspicious and not (call.operation in _ALIASES and call.id in written_through)
    ]


class Scales:
    """Weighs suspects by the derivative of <cotangents, outputs> along a direction of the leaves."""

    def __init__(
        self,
        computation: Computation,
        direction: Mapping[str, torch.Tensor],
        cotangents: Sequence[torch.Tensor],
        track: bool,
    ) -> None:
        self.evaluations = 0
        self._computation, self._direction, self._track = computation, direction, track
        self._cotangent = flatten(cotangents)
        self._constants: dict[Key, Constant] = {}
        dtypes = [tensor.dtype for tensor in [*computation.values.values(), *cotangents]]
        self._epsilon = max(map(spacing, dtypes))
        self._step = self._epsilon**0.4
        self._floor = 0.0

    def guilty(self, candidates: Sequence[TracedCall]) -> list[TracedCall]:
        """Return the suspects that cut a path, in order."""
        base = self._outputs(0.0, Freezer({call.key: call for call in candidates}))
        self._floor = 4 * roundoff.floor(base, self._cotangent, self._epsilon) / self._step
        candidates = self._faithful(candidates, base)
        whole, remaining, found = self._derivative([]), list(candidates), set[str]()
        while remaining:
            frozen = self._derivative(remaining)
            if self._same(frozen, whole):
                break
            chosen = necessary(remaining, partial(self._gives, frozen))
            if not chosen:
                break
            found.update(call.id for call in chosen)
            remaining = [call for call in remaining if call.id not in found]
        return [call for call in candidates if call.id in found]

    def _faithful(self, candidates: Sequence[TracedCall], base: Vector) -> list[TracedCall]:
        """Leave out suspects whose freezing changes the outputs where nothing has moved."""

        def repeats(calls: Sequence[TracedCall]) -> bool:
            frozen = Freezer({call.key: call for call in calls}, self._constants)
            again = self._outputs(0.0, frozen)
            return bool(abs(total(self._cotangent * (again - base))) <= self._floor * self._step)

        if repeats(candidates):
            return list(candidates)
        return [call for call in candidates if repeats([call])]

    def _gives(self, aim: float, frozen: Sequence[TracedCall]) -> bool:
        return self._same(self._derivative(frozen), aim)

    def _same(self, a: float, b: float) -> bool:
        return bool(abs(a - b) <= _SAME * max(abs(a), abs(b)) + self._floor)

    def _derivative(self, frozen: Sequence[TracedCall]) -> float:
        freeze = {call.key: call for call in frozen}
        right, left = (
            self._outputs(sign * self._step, Freezer(freeze, self._constants)) for sign in (1.0, -1.0)
        )
        return float(total(self._cotangent * (right - left)) / (2 * self._step))

    def _outputs(self, t: float, freezer: Freezer) -> Vector:
        self.evaluations += 1
        values = {
            name: moved(self._computation.values[name], v, t) for name, v in self._direction.items() if t
        }

        def run() -> Vector:
            with self._computation.running(values, self._track) as (_, outputs):
                return flatten([output.detach().clone() for output in outputs])

        outputs, _ = run_traced(run, freezer)
        self._constants = freezer.constants
        return outputs
