"""One forward and backward pass of the whole, watched: calls, gradients, hooks, and what depends on what."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from gradcheck.blame.ancestry import Ancestry, trace_back
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.chance import Chance
from gradcheck.blame.computation import Computation
from gradcheck.blame.hooks import HookWatch
from gradcheck.blame.location import Place, raised_at
from gradcheck.blame.recorder import Recorder
from gradcheck.blame.trace import Key, Tracer, run_traced
from gradcheck.subjects.torch.pullback import accumulated, vjp

Gradients = Mapping[str, torch.Tensor | None]


@dataclass(frozen=True)
class Recording:
    """What a watched run showed.

    ``unseen`` names what the trace could not look into. ``error`` and ``raised`` are set where the backward
    pass raised.
    """

    calls: tuple[TracedCall, ...]
    outputs: tuple[torch.Tensor, ...]
    cotangents: tuple[torch.Tensor, ...]
    gradients: Gradients
    hooks: HookWatch
    ancestry: Ancestry
    unseen: tuple[str, ...]
    checkpoints: tuple[Place, ...]
    error: Exception | None = None
    raised: Place | None = None


def record(
    computation: Computation,
    chance: Chance,
    cotangents: Sequence[torch.Tensor | None] | None = None,
    *,
    keep: Collection[Key] = (),
    disabled_hooks: Collection[str] = (),
) -> Recording:
    """Run forward and backward under a recorder. Cotangents are drawn where none are given."""
    recorder = Recorder(keep, disabled_hooks)
    with contextlib.ExitStack() as stack:

        def run() -> tuple[Mapping[str, torch.Tensor], Sequence[torch.Tensor]]:
            return stack.enter_context(computation.running({}, track=True))

        (leaves, outputs), tracer = run_traced(run, recorder)
        drawn = _cotangents(outputs, cotangents, chance)
        error, gradients = None, dict[str, torch.Tensor | None]()
        try:
            with watched_leaves(leaves, recorder.hooks):
                gradients = pull_back(leaves, outputs, drawn, accumulate=computation.accumulates)
        except Exception as raised:
            error = raised
        return _recording(recorder, tracer, leaves, outputs, drawn, gradients, error)


def _cotangents(
    outputs: Sequence[torch.Tensor], given: Sequence[torch.Tensor | None] | None, chance: Chance
) -> list[torch.Tensor]:
    if given is None:
        # with some outputs differentiable, the others are results of another kind: indices, statistics
        differentiable = any(output.requires_grad for output in outputs)
        return [
            chance.cotangent(output.detach())
            if output.requires_grad or not differentiable
            else torch.zeros_like(output)
            for output in outputs
        ]
    return [
        torch.zeros_like(output, requires_grad=False) if u is None else u
        for output, u in zip(outputs, given, strict=True)
    ]


def pull_back(
    leaves: Mapping[str, torch.Tensor],
    outputs: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    *,
    accumulate: bool = False,
) -> dict[str, torch.Tensor | None]:
    """Return the gradient that autograd gives each leaf; None where there is none.

    ``accumulate`` goes by way of ``.grad``, which is put back: checkpoints with ``use_reentrant=True`` refuse
    the other way.
    """
    pairs = [(out, u) for out, u in zip(outputs, cotangents, strict=True) if out.requires_grad]
    names = [name for name, leaf in leaves.items() if leaf.requires_grad]
    method = accumulated if accumulate else vjp
    found = method([out for out, _ in pairs], [leaves[name] for name in names], [u for _, u in pairs])
    return {**dict.fromkeys(leaves), **dict(zip(names, found, strict=True))}


@contextlib.contextmanager
def watched_leaves(leaves: Mapping[str, torch.Tensor], hooks: HookWatch) -> Iterator[None]:
    """Watch the hooks that leaves carry from before the run."""
    attached = [
        (leaf._backward_hooks, dict(leaf._backward_hooks))
        for leaf in leaves.values()
        if leaf.requires_grad and leaf.is_leaf and leaf._backward_hooks
    ]
    try:
        for holder, originals in attached:
            holder.update({key: hooks.watch("leaf", hook) for key, hook in originals.items()})
        yield
    finally:
        for holder, originals in attached:
            holder.update(originals)


def _recording(
    recorder: Recorder,
    tracer: Tracer,
    leaves: Mapping[str, torch.Tensor],
    outputs: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    gradients: Gradients,
    error: Exception | None,
) -> Recording:
    return Recording(
        tuple(recorder.calls),
        tuple(output.detach() for output in outputs),
        tuple(cotangents),
        gradients,
        recorder.hooks,
        trace_back(recorder.flow, recorder.calls, leaves, outputs),
        (*recorder.flow.untraced, *tracer.transformed),
        tuple(tracer.checkpoints),
        error,
        raised_at(error.__traceback__) if error is not None else None,
    )
