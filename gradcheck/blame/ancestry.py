"""Which leaves a call depends on, and which calls the outputs depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from gradcheck.blame.calls import TracedCall
from gradcheck.blame.flow import Flow, storage


@dataclass(frozen=True)
class Ancestry:
    """``leaves_of``: by call, the leaves behind its inputs. ``reaching``: the calls behind the outputs."""

    names: frozenset[str]
    leaves_of: Mapping[str, frozenset[str]]
    reaching: frozenset[str]

    def cut_by(self, call: TracedCall) -> frozenset[str]:
        """Return the leaves to which the call may cut the path."""
        unseen = [*call.rewrapped.values(), *(source for read in call.hidden for source in read.sources)]
        return _behind(unseen, self.leaves_of, self.names) if unseen else self.leaves_of[call.id]


def trace_back(
    flow: Flow,
    calls: Sequence[TracedCall],
    leaves: Mapping[str, torch.Tensor],
    outputs: Sequence[torch.Tensor],
) -> Ancestry:
    """Give the provisional leaves their names, throughout the calls, and follow the flow."""
    last = flow.sources(outputs)
    by_id = {id(leaf): name for name, leaf in leaves.items()}
    known = {name: by_id[id(tensor)] for name, tensor in flow.leaves.items() if id(tensor) in by_id}
    owners = _owners(flow, leaves, known)
    for call in calls:
        call.rewrapped = {i: owners[name] for i, name in call.rewrapped.items() if name in owners}
        call.hidden = tuple(
            replace(read, sources=tuple(known.get(source, source) for source in read.sources))
            for read in call.hidden
        )
        unseen = [*call.rewrapped.values(), *(source for read in call.hidden for source in read.sources)]
        call.inputs = tuple(dict.fromkeys([*(known.get(s, s) for s in call.inputs), *unseen]))
    names = frozenset(leaves)
    return Ancestry(names, _leaves_of(calls, names), _reaching(calls, last))


def _owners(flow: Flow, leaves: Mapping[str, torch.Tensor], known: Mapping[str, str]) -> dict[str, str]:
    """Return, for each leaf that the run made in memory of the graph, whose memory it is."""
    memory = {storage(leaf): name for name, leaf in leaves.items()}
    found = {}
    for name, tensor in flow.leaves.items():
        owner = memory.get(storage(tensor), flow.aliases.get(name))
        if name not in known and owner is not None:
            found[name] = known.get(owner, owner)
    return found


def _leaves_of(calls: Sequence[TracedCall], names: frozenset[str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for call in calls:
        found[call.id] = _behind(call.inputs, found, names)
    return found


def _behind(
    sources: Iterable[str], leaves_of: Mapping[str, frozenset[str]], names: frozenset[str]
) -> frozenset[str]:
    found: set[str] = set()
    for source in sources:
        found.update({source} if source in names else leaves_of.get(source, ()))
    return frozenset(found)


def _reaching(calls: Sequence[TracedCall], last: Sequence[str]) -> frozenset[str]:
    reached = set(last)
    for call in reversed(calls):
        if call.id in reached:
            reached.update(call.inputs)
    return frozenset(reached)
