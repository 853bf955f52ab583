"""The directions in which the arguments of a call really move when the leaves do.

An operation may be right for all that can ever reach it and wrong elsewhere: the gradient of a Cholesky
factor assumes that its argument stays symmetric, that of a CTC loss that its argument stays normalised.
What it gets wrong in directions that never occur is no fault of the computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gradcheck.blame.arrangement import copy, moved
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.computation import Computation
from gradcheck.blame.trace import Invocation, Key, Passive, run_traced, unique_tensors
from gradcheck.subjects.torch.layout import spacing

Tangents = Mapping[Key, Sequence[torch.Tensor]]


class _Arguments(Passive):
    """Keeps a copy of the differentiable arguments of the given calls."""

    def __init__(self, calls: Mapping[Key, TracedCall]) -> None:
        self.found: dict[Key, list[torch.Tensor]] = {}
        self._calls = calls

    def visit(self, invocation: Invocation) -> Any:
        call = self._calls.get(invocation.key)
        if call is not None:
            arguments = unique_tensors((invocation.args, invocation.kwargs))
            self.found[call.key] = [copy(arguments[i]) for i in call.variables]
        return invocation.run()


def natural(
    computation: Computation,
    direction: Mapping[str, torch.Tensor],
    calls: Sequence[TracedCall],
    track: bool,
) -> Tangents:
    """Return, by call, the tangents of its differentiable arguments: central differences over two runs.

    ``direction`` moves the leaves. Calls that a moved run does not meet, or meets in other shapes, are
    left out.
    """
    dtypes = [computation.values[name].dtype for name in direction]
    step = max(map(spacing, dtypes)) ** (1 / 3)
    right, left = (_arguments(computation, direction, calls, track, sign * step) for sign in (1.0, -1.0))
    return {
        key: _scaled([(a - b) / (2 * step) for a, b in zip(right[key], left[key], strict=True)], right[key])
        for key in right.keys() & left.keys()
        if [a.shape for a in right[key]] == [b.shape for b in left[key]]
    }


def _arguments(
    computation: Computation,
    direction: Mapping[str, torch.Tensor],
    calls: Sequence[TracedCall],
    track: bool,
    t: float,
) -> Mapping[Key, list[torch.Tensor]]:
    values = {name: moved(computation.values[name], v, t) for name, v in direction.items()}
    visitor = _Arguments({call.key: call for call in calls})

    def run() -> None:
        with computation.running(values, track):
            pass

    run_traced(run, visitor)
    return visitor.found


def _scaled(tangents: list[torch.Tensor], points: list[torch.Tensor]) -> list[torch.Tensor]:
    """Bring the largest relative movement to 1, as the step sizes expect; entries not finite stay."""
    tangents = [torch.where(torch.isfinite(v), v, 0) for v in tangents]
    moves = [float(torch.linalg.vector_norm(v.flatten())) for v in tangents]
    sizes = [float(torch.linalg.vector_norm(torch.where(torch.isfinite(p), p, 0).flatten())) for p in points]
    largest = max((move / (size or 1.0) for move, size in zip(moves, sizes, strict=True)), default=0.0)
    return [v / largest for v in tangents] if largest > 0 else tangents
