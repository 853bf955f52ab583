"""The run again at other values of the leaves, with the results of some calls kept as they were.

What autograd takes for a constant is made one: then the numerical derivative loses exactly the paths that
the claimed gradient does not know of.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from gradcheck.blame.calls import TracedCall
from gradcheck.blame.problem import results_of
from gradcheck.blame.trace import Invocation, Key, Passive, unique_tensors
from gradcheck.subjects.torch import tree


@dataclass
class Constant:
    """What a call contributed at the base point, by the ways in which values pass unseen."""

    results: dict[int, torch.Tensor] = field(default_factory=dict)
    value: Any = None
    changes: dict[int, torch.Tensor] = field(default_factory=dict)
    reads: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    rewrapped: dict[int, torch.Tensor] = field(default_factory=dict)


class Freezer(Passive):
    """Runs with the given calls frozen to their constants; without ``constants`` it collects them."""

    def __init__(
        self, calls: Mapping[Key, TracedCall], constants: Mapping[Key, Constant] | None = None
    ) -> None:
        self.constants: dict[Key, Constant] = dict(constants or {})
        self._calls, self._collecting = calls, constants is None
        self._current: TracedCall | None = None
        self._inner_calls = 0

    def visit(self, invocation: Invocation) -> Any:
        """Execute the call, and put what it was in the place of what it is where it is frozen."""
        call = self._calls.get(invocation.key)
        self._current, self._inner_calls = call, 0
        if call is None:
            return invocation.run()
        if self._collecting:
            self.constants[call.key] = Constant()
        arguments = unique_tensors((invocation.args, invocation.kwargs))
        before = {i: arguments[i].detach().clone() for i in call.unrecorded}
        if not self._collecting:
            invocation = _exchanged(invocation, arguments, self.constants[call.key].rewrapped)
        result = invocation.run()
        results = results_of(result, [arguments[i] for i in call.written])
        if self._collecting:
            self._collect(call, result, results, arguments, before)
            return result
        return self._freeze(call, result, results, arguments, before)

    def _collect(
        self,
        call: TracedCall,
        result: Any,
        results: list[torch.Tensor],
        arguments: list[torch.Tensor],
        before: dict[int, torch.Tensor],
    ) -> None:
        constant = self.constants[call.key]
        constant.results = {i: results[i].detach().clone() for i in call.severed}
        constant.value = copy.deepcopy(result) if call.severed_value else None
        constant.rewrapped = {i: arguments[i].detach().clone() for i in call.rewrapped}
        constant.changes = {i: arguments[i].detach() - value for i, value in before.items()}

    def _freeze(
        self,
        call: TracedCall,
        result: Any,
        results: list[torch.Tensor],
        arguments: list[torch.Tensor],
        before: dict[int, torch.Tensor],
    ) -> Any:
        constant = self.constants[call.key]
        if call.severed_value:
            return copy.deepcopy(constant.value)
        for i, change in constant.changes.items():
            arguments[i].data.copy_(before[i] + change)
        exchanged: dict[int, torch.Tensor] = {}
        for i, value in constant.results.items():
            if any(results[i] is argument for argument in arguments):
                results[i].data.copy_(value)
            else:
                exchanged[id(results[i])] = value.clone()
        return tree.replace(result, lambda tensor: exchanged.get(id(tensor), tensor)) if exchanged else result

    def inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Exchange, inside a frozen forward, what it reads without having received it."""
        self._inner_calls += 1
        if self._current is None:
            return args, kwargs
        positions = [read.position for read in self._current.hidden if read.call == self._inner_calls]
        if not positions:
            return args, kwargs
        tensors = unique_tensors((args, kwargs))
        reads = self.constants[self._current.key].reads
        met = [p for p in positions if p < len(tensors)]  # without grad a forward pass may make other calls
        if self._collecting:
            for position in met:
                reads[self._inner_calls, position] = tensors[position].detach().clone()
            return args, kwargs
        known = [p for p in met if (self._inner_calls, p) in reads]
        exchanged = {id(tensors[p]): reads[self._inner_calls, p] for p in known}
        args, kwargs = tree.replace((args, kwargs), lambda tensor: exchanged.get(id(tensor), tensor))
        return args, kwargs


def _exchanged(
    invocation: Invocation, arguments: list[torch.Tensor], constants: Mapping[int, torch.Tensor]
) -> Invocation:
    """Return the call with some of its arguments replaced."""
    if not constants:
        return invocation
    by_id = {id(arguments[i]): value for i, value in constants.items()}
    args, kwargs = tree.replace(
        (invocation.args, invocation.kwargs), lambda tensor: by_id.get(id(tensor), tensor)
    )
    return replace(invocation, args=args, kwargs=kwargs)
