"""Whether a forward pass iterates until something is small enough, with more steps for some numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from gradcheck.numerical import directions
from gradcheck.subjects.torch.subject import TorchSubject

# How far leaves are moved, in units of their own size: an iteration that halves its error with each step
# takes one step more for twice the numbers.
_MOVED = (0.1, -0.3, 1.0, -2.0, 0.03)
# A run of fewer operations has no loop in it.
_FEW = 4


class _Counting(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the call, and make it."""
        del types
        self.count += 1
        return func(*args, **(kwargs or {}))


def iterates(subject: TorchSubject) -> bool:
    """Whether the number of operations in an open subject's forward pass depends on the numbers."""
    generator = np.random.default_rng(0)
    names = list(subject.variables)
    first = operations(subject)
    if first is None or first < _FEW:
        return False
    for share in _MOVED:
        direction = directions.direction(subject.variables, names, generator)
        moved = {name: directions.moved(subject.variables[name], v, share) for name, v in direction.items()}
        count = operations(subject, moved)
        if count is not None and count != first:
            return True
    return False


def operations(subject: TorchSubject, values: Mapping[str, torch.Tensor] | None = None) -> int | None:
    """Return the number of calls of PyTorch in a forward pass, with leaves replaced; None where it raises."""
    counting, with_grad = _Counting(), subject.needs_grad_mode
    try:
        with torch.set_grad_enabled(with_grad):
            subject.run(values or {}, track=with_grad, under=counting)
    except Exception:  # outside its domain a forward pass raises what it likes
        return None
    return counting.count
