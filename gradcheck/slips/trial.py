"""Whether a backward pass that runs now gives the gradients that are wanted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.diagnose.sample import Sample
from gradcheck.slips.record import AnotherValueError, Gradients, Rerun

# A machine that does other things as well may take so many times as long.
_PATIENCE = 2.0
# What is left of the error is rounding, of a sum in another order say.
_GONE, _KEPT = 1e-6, 1e-9


class Clock:
    """So many seconds of this thread's own time, which no other work on the machine shortens."""

    def __init__(self, seconds: float) -> None:
        self._own, self._all = time.thread_time() + seconds, time.perf_counter() + _PATIENCE * seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.thread_time() > self._own or time.perf_counter() > self._all


@dataclass
class Trial:
    """Samples, which of them are wanted right, and how long to try. What is right already must stay so."""

    rerun: Rerun
    samples: Mapping[str, Sample]
    wanted: frozenset[str]
    clock: Clock

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.clock.over

    @cached_property
    def failing(self) -> frozenset[str]:
        """The parameters whose gradients are wrong."""
        return frozenset(name for name, sample in self.samples.items() if sample.failing)

    def succeeds(self, shared: bool) -> tuple[str, ...]:
        """Return the wrong gradients that are right now; () where not all that are wanted are.

        () also where the change is in a function ``shared`` with the forward pass, and changes its value.
        """
        right = self._right()
        return right if not (right and shared) or self._kept() else ()

    def _right(self) -> tuple[str, ...]:
        try:
            claimed = self._claimed()
        except Exception:  # a changed program may raise anything
            return ()
        needed = [name for name, sample in self.samples.items() if name in self.wanted or not sample.failing]
        if not all(_is_right(claimed.get(name), self.samples[name]) for name in needed):
            return ()
        failing = [name for name in self.samples if name in self.failing]
        return tuple(name for name in failing if _is_right(claimed.get(name), self.samples[name]))

    def moves(self, shared: bool) -> dict[str, bool] | None:
        """Return which gradients are not what they were; None where there are none.

        Those of a change after which the forward pass has another value do not count.
        """
        none = dict.fromkeys(self.samples, False)
        try:
            claimed = self._claimed()
        except AnotherValueError:
            return none
        except Exception:  # a changed program may raise anything
            return None
        moved = {name: _differs(claimed.get(name), sample) for name, sample in self.samples.items()}
        return moved if not (shared and any(moved.values())) or self._kept() else none

    def confirmed(self, shared: bool) -> bool:
        """Whether it does so after a fresh forward pass, and at another point, too.

        What was tried before may have left something, and what fits at one point may do so by chance.
        """
        if self.rerun.forward is not None:
            self.rerun.forward()
        right = self.succeeds(shared)
        also = [name for name, sample in self.samples.items() if not sample.failing]
        return bool(right) and self.rerun.elsewhere([*right, *also])

    def _claimed(self) -> Gradients:
        """Run the backward pass on what it was given: what was tried before may have written into it."""
        self.rerun.restore()
        return self.rerun.gradients()

    def _kept(self) -> bool:
        try:
            return self.rerun.kept is not None and self.rerun.kept()
        except Exception:  # as above
            return False


def _is_right(claimed: Any, sample: Sample) -> bool:
    if claimed is None or np.shape(claimed) != sample.shape:
        return False
    given = np.asarray(claimed)
    if given.dtype.kind not in "fciu" or not np.isfinite(given).all() or not sample.true.size:
        return False
    left = np.abs(sample.at(given) - sample.true)
    largest = float(np.abs(sample.true).max(initial=0.0))
    known = not sample.misshapen and sample.finite
    before = float(np.abs(sample.error).max(initial=0.0)) if known else 0.0
    return bool((left <= sample.noise + _KEPT * largest + _GONE * before).all())


def _differs(claimed: Any, sample: Sample) -> bool:
    """Whether a gradient is another one than was claimed first; of NaN it cannot be seen."""
    if claimed is None or np.shape(claimed) != sample.claimed.shape or not sample.finite:
        return True
    return not np.allclose(claimed, sample.claimed, rtol=1e-9, atol=0.0, equal_nan=True)
