"""What the search for the guilty operation brought to light."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.report.records import Blame, Call

Cuts = tuple[tuple[Blame, frozenset[str]], ...]


@dataclass(frozen=True)
class BlameCost:
    """``runs``, ``backwards`` of the whole; ``evaluations``, ``pullbacks`` of ``calls`` single operations."""

    runs: int = 0
    backwards: int = 0
    calls: int = 0
    evaluations: int = 0
    pullbacks: int = 0

    @property
    def forward_evaluations(self) -> int:
        """All forward evaluations in units of one run of the whole, rounded up."""
        return self.runs + -(-self.evaluations // max(self.calls, 1))

    @property
    def backward_evaluations(self) -> int:
        """All backward passes in units of one of the whole, rounded up."""
        return self.backwards + -(-self.pullbacks // max(self.calls, 1))


@dataclass(frozen=True)
class BlameResult:
    """``blames``: every fault found, nearest the output first. ``trace``: the calls of the run, in order.

    ``all_calls_right``: every operation that the leaves' gradients pass through was verified alone and is
    right, no path is cut, and no hook alters a gradient; by the chain rule the whole is then right, and
    what differs at a kink is a choice of subgradient. ``kinks`` are the operations that sat on one.
    ``of_the_user`` are the blames that are not of PyTorch's own operations. ``cuts`` are those of cut paths,
    with the leaves that the paths lead to. ``arguments`` are leaves that a wrong operation takes itself: what
    is said of its other arguments is not said of these. ``unverified`` says, operation by operation, what
    could not be examined.
    """

    blames: tuple[Blame, ...]
    trace: tuple[Call, ...]
    all_calls_right: bool
    kinks: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    cost: BlameCost = BlameCost()
    of_the_user: tuple[Blame, ...] = ()
    cuts: Cuts = ()
    arguments: frozenset[str] = frozenset()
