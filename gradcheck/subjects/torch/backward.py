"""The claimed gradients of a torch subject, by ``torch.autograd`` as the user's program gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gradcheck.errors import first_line
from gradcheck.subjects.torch import graph, layout
from gradcheck.subjects.torch.pullback import accumulated, vjp
from gradcheck.subjects.torch.widening import Widening, felt

if TYPE_CHECKING:
    from gradcheck.subjects.torch.subject import TorchSubject

# What the error of a reentrant checkpoint under ``torch.autograd.grad`` speaks of.
_REFUSES_GRAD = "use_reentrant"
_HIDDEN = (
    "a reentrant checkpoint hides which parameters it uses, and none but its inputs were verified: take "
    "use_reentrant=False, or verify the module that holds them"
)

Cotangents = Sequence[torch.Tensor | None]
Gradients = dict[str, torch.Tensor | None]


class BackwardError(Exception):
    """The user's backward pass raised; the text is its own first line."""


class Run(NamedTuple):
    """Leaves by name and outputs by path of one forward pass."""

    leaves: Mapping[str, torch.Tensor]
    outputs: Mapping[str, torch.Tensor]


class Backward:
    """Pulls cotangents back through fresh forward passes of a subject, which is given each time.

    ``runs`` counts backward passes. ``accumulates``: some leaf's gradient comes by way of ``.grad`` only, and
    so they are all fetched there. Known once it has begun: ``is_own``, whether all operations of the backward
    pass are PyTorch's own, and ``strangers``, leaves at which the graph ends that are not under verification.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.accumulates = self.is_own = False
        self._looked_for_more = self._looked_for_casts = self._refuses_grad = False
        self.strangers: list[torch.Tensor] = []
        self._first: Run | None = None

    def begin(self, subject: TorchSubject, run: Run, hooks: bool) -> None:
        """Look at the graph of the first run; ``hooks``: whether any were put on its tensors.

        The first gradients are taken from that very run where the graph is PyTorch's own, which notices when
        what it has saved is overwritten.
        """
        behind = graph.behind(run.outputs[path] for path in subject.output_paths)
        self.is_own = not hooks and behind.is_own
        known = {id(run.leaves[name]) for name in subject.names}
        self.strangers = [leaf for leaf in behind.leaves if id(leaf) not in known]
        self._first = run if self.is_own else None
        if behind.hides and not subject.parameters:
            subject.notes.append(_HIDDEN)

    def forget(self) -> None:
        """Let the graph of the first run go."""
        self._first = None

    def pull_back(self, subject: TorchSubject, cotangents: Cotangents | None) -> Gradients:
        """Return the gradient of each leaf on a forward pass that has not been differentiated yet.

        The cotangents are copied: a backward pass may write into what it is given.
        """
        given = cotangents and [None if u is None else layout.copy(u) for u in cotangents]
        found = self._of_first_run(subject, given) or self._watched(subject, given)
        missing = not self._looked_for_more and any(g is None for g in found.values())
        return self._accumulated(subject, found, given) if missing and subject.requires_grad else found

    def _of_first_run(self, subject: TorchSubject, cotangents: Cotangents | None) -> Gradients | None:
        """Return gradients by way of the first run's graph, once; None where it is gone or spoilt."""
        run, self._first = self._first, None
        if run is None:
            return None
        runs = self.runs
        try:
            return self.gradients(subject, *run, cotangents)
        except BackwardError:
            self.runs = runs
            return None

    def _watched(self, subject: TorchSubject, cotangents: Cotangents | None) -> Gradients:
        """Run forward and back, and find out once about casts that only gradients feel.

        Sums of gradients in a wider format than theirs are common. In double precision such a cast narrows.
        """
        if self._looked_for_casts or not subject.double or subject.widened:
            return self._fresh(subject, cotangents)
        self._looked_for_casts = True
        casts = Widening()
        with casts:
            plain = self._fresh(subject, cotangents)
        if not casts.narrowing:
            return plain
        subject.widen(casts)
        wide = self._fresh(subject, cotangents)
        if felt(_given(plain), _given(wide)):
            return wide
        subject.let_casts_be()
        return plain

    def _fresh(self, subject: TorchSubject, cotangents: Cotangents | None) -> Gradients:
        """Run forward and back; where ``torch.autograd.grad`` is refused, by way of ``.grad`` from here on.

        Reentrant checkpoints refuse it in the middle of a backward pass, which has freed half the graph.
        """
        try:
            return self._forward_and_back(subject, cotangents)
        except BackwardError as error:
            if self.accumulates or _REFUSES_GRAD not in str(error):
                raise
        self._looked_for_more = self.accumulates = self._refuses_grad = True
        return self._forward_and_back(subject, cotangents)

    def _forward_and_back(self, subject: TorchSubject, cotangents: Cotangents | None) -> Gradients:
        with torch.enable_grad(), subject.running({}) as (leaves, outputs):
            return self.gradients(subject, leaves, outputs, cotangents)

    def _accumulated(
        self, subject: TorchSubject, found: Gradients, cotangents: Cotangents | None
    ) -> Gradients:
        """Look once whether missing gradients come by way of ``.grad``: a backward pass may call backward().

        So do reversible networks, which compute their inputs again. ``loss.backward()`` then gives what
        ``torch.autograd.grad`` does not know of.
        """
        self._looked_for_more = True
        if self.is_own:
            return found
        self.accumulates = True
        try:
            more = self._fresh(subject, cotangents)
        except BackwardError:  # it goes the other way only
            more = found
        if all(g is None for name, g in more.items() if found[name] is None):
            self.accumulates = False
            return found
        subject.notes.append("a backward pass calls backward() itself: gradients were read from .grad")
        return more

    def gradients(
        self,
        subject: TorchSubject,
        leaves: Mapping[str, torch.Tensor],
        outputs: Mapping[str, torch.Tensor],
        cotangents: Cotangents | None,
        **options: Any,
    ) -> Gradients:
        """Differentiate outputs of a run; outputs without a graph, and None cotangents, are left out."""
        names, paths = subject.names, subject.output_paths
        given = cotangents if cotangents is not None else [torch.ones_like(outputs[path]) for path in paths]
        roots, pulled = [], []
        for path, u in zip(paths, given, strict=True):
            if u is not None and outputs[path].requires_grad:
                roots.append(outputs[path])
                pulled.append(u)
        wanted = [name for name in names if leaves[name].requires_grad]
        if not roots or not wanted:
            return dict.fromkeys(names)
        self.runs += 1
        columns = roots, [leaves[name] for name in wanted], pulled
        try:
            # Checkpoints that only .grad passes cut the graph of the gradient itself, and by vjp they say so.
            by_grad = self.accumulates and not (self._refuses_grad and options.get("create_graph"))
            found = (accumulated if by_grad else vjp)(*columns, **options)
        except Exception as error:
            raise BackwardError(f"{type(error).__name__}: {first_line(error)}") from error
        return dict.fromkeys(names) | dict(zip(wanted, found, strict=True))


def _given(gradients: Gradients) -> dict[str, torch.Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
