"""The user's forward pass, to be run as often as needed, at the given point or at others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from gradcheck.subjects.torch.randomness import Randomness

Run = tuple[Mapping[str, torch.Tensor], Sequence[torch.Tensor]]


class Computation(Protocol):
    """``values`` are the leaves' values at the point under verification."""

    @property
    def values(self) -> Mapping[str, torch.Tensor]:
        """The leaves' values, by name."""
        ...

    @property
    def accumulates(self) -> bool:
        """Whether gradients come by way of ``.grad`` only."""
        ...

    def running(
        self, values: Mapping[str, torch.Tensor], track: bool
    ) -> contextlib.AbstractContextManager[Run]:
        """Run forward with the named leaves at other values; gives the leaves of this run and its outputs.

        Repeats every random choice. ``track``: with grad mode on.
        """
        ...


class WithLeaves:
    """A function of no arguments that reads these leaf tensors; other values are written into them."""

    accumulates = False

    def __init__(self, run: Callable[[], Sequence[torch.Tensor]], leaves: Mapping[str, torch.Tensor]) -> None:
        self._run, self._leaves = run, dict(leaves)
        self._randomness = Randomness()
        base = {name: leaf.detach().clone() for name, leaf in leaves.items()}
        self.values: Mapping[str, torch.Tensor] = base

    @contextlib.contextmanager
    def running(self, values: Mapping[str, torch.Tensor], track: bool) -> Iterator[Run]:
        """See ``Computation``."""
        self._randomness.restore_all()
        try:
            for name, value in values.items():
                self._leaves[name].data.copy_(value)
            with torch.set_grad_enabled(track):
                yield self._leaves, list(self._run())
        finally:
            for name in self._leaves:
                # also where the run itself wrote into a leaf
                self._leaves[name].data.copy_(self.values[name])
            self._randomness.restore_all()


class OfSubject:
    """A ``TorchSubject`` whose context is entered; leaves may be new tensors in every run."""

    def __init__(self, subject: Any) -> None:
        self._subject = subject
        self.values: Mapping[str, torch.Tensor] = subject.variables

    @property
    def accumulates(self) -> bool:
        """See ``Computation``."""
        return bool(self._subject.accumulates)

    @contextlib.contextmanager
    def running(self, values: Mapping[str, torch.Tensor], track: bool) -> Iterator[Run]:
        """See ``Computation``."""
        subject, track = self._subject, track or self._subject.needs_grad_mode
        with torch.set_grad_enabled(track), subject.running(values, track) as (leaves, outputs):
            yield leaves, [outputs[path] for path in subject.output_paths]
