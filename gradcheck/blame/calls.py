"""What is known of one call of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from gradcheck.blame.location import Place
from gradcheck.blame.trace import Key

if TYPE_CHECKING:
    from gradcheck.blame.verification import Verification
    from gradcheck.report.records import Diagnosis


@dataclass(frozen=True)
class Arrangement:
    """Shape and strides of a cotangent as it arrived; both empty where it has no strides."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class HiddenRead:
    """A tensor that a custom Function's forward uses without receiving it as an argument.

    ``call`` counts the operations inside the forward, ``position`` the tensors among its arguments.
    """

    call: int
    position: int
    sources: tuple[str, ...]
    place: Place | None


@dataclass(eq=False)
class TracedCall:
    """One call: what went in, what came out, and what autograd made of it.

    Positions among the call's distinct tensor arguments: ``variables`` of numbers that require grad,
    ``written`` of those changed in place, ``unrecorded`` of those whose change the graph does not know of,
    ``rewrapped`` of leaves made during the run in memory of the graph, with the names of its owners.
    ``severed`` are the positions, among the distinct tensors of the result, of numbers that do not require
    grad although one that went in does; ``severed_value``: the result is Python's or NumPy's.
    ``differentiates``: the call is one of autograd's own, and ``keeps_graph`` where its results can be
    differentiated again. ``cotangents`` holds how the cotangents arrived in the backward pass, by output; it
    stays empty where none did. ``kept`` holds the cotangents themselves, where they were asked for.
    ``diagnoses`` name the mistake in it, where it is guilty and was looked into, or what it was asked for.
    """

    id: str
    key: Key
    place: Place | None
    inputs: tuple[str, ...]
    grad_mode: bool
    user_defined: bool = False
    backward: Place | None = None
    parameters: tuple[str, ...] = ()
    differentiable: bool = False
    severed: tuple[int, ...] = ()
    severed_value: bool = False
    variables: tuple[int, ...] = ()
    written: tuple[int, ...] = ()
    unrecorded: tuple[int, ...] = ()
    random: bool = False
    differentiates: bool = False
    keeps_graph: bool = False
    hidden: tuple[HiddenRead, ...] = ()
    rewrapped: dict[int, str] = field(default_factory=dict)
    cotangents: dict[int, Arrangement] = field(default_factory=dict)
    kept: dict[int, torch.Tensor] = field(default_factory=dict)
    verification: Verification | None = None
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def operation(self) -> str:
        """The operation's name as users write it."""
        return self.key[0]

    @property
    def suspicious(self) -> bool:
        """Whether a value may pass here of which the gradient does not know."""
        return bool(self.severed or self.severed_value or self.unrecorded or self.hidden or self.rewrapped)
