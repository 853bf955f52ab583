"""One operation alone: a map from its differentiable arguments to its results.

Arguments are copies with the strides of the originals, so that nothing in the run is touched; the same
tensor passed twice stays one variable; what the operation writes into is a result too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck.blame.arrangement import copy
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.trace import Invocation, unique_tensors
from gradcheck.subjects.torch import tree
from gradcheck.subjects.torch.layout import is_number, wide
from gradcheck.subjects.torch.pullback import vjp
from gradcheck.subjects.torch.randomness import Randomness

Tensors = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """``function`` maps tensors like ``points`` to results. ``trusted``: PyTorch's own operation.

    ``every_result`` says that results without a graph count too: their claimed derivative is zero.
    """

    function: Callable[[Tensors], list[torch.Tensor]]
    points: tuple[torch.Tensor, ...]
    names: tuple[str, ...]
    trusted: bool = False
    every_result: bool = False


def of_call(invocation: Invocation, call: TracedCall, double: bool) -> Problem:
    """Return the call as a problem; ``double`` widens every floating-point argument."""
    arguments = unique_tensors((invocation.args, invocation.kwargs))
    variable = call.variables
    constants = {
        i: copy(t, wide(t.dtype) if double and is_number(t) else None)
        for i, t in enumerate(arguments)
        if i not in variable
    }
    position = {id(tensor): i for i, tensor in enumerate(arguments)}
    randomness = Randomness() if call.random else None

    def function(points: Tensors) -> list[torch.Tensor]:
        if randomness is not None:
            randomness.restore_all()
        values = {**constants, **dict(zip(variable, points, strict=True))}
        for i in call.written:  # neither a leaf nor a constant may be written into
            values[i] = values[i].clone()
        args, kwargs = tree.replace(
            (invocation.args, invocation.kwargs), lambda tensor: values[position[id(tensor)]]
        )
        result = invocation.function(*args, **kwargs)
        if randomness is not None:
            randomness.restore_all()
        return results_of(result, [values[i] for i in call.written])

    points = tuple(copy(arguments[i], wide(arguments[i].dtype) if double else None) for i in variable)
    return Problem(
        function, points, _names(invocation, call, [arguments[i] for i in variable]), not call.user_defined
    )


def results_of(result: Any, written: Tensors) -> list[torch.Tensor]:
    """Return the distinct tensors of a result, then those written into that it does not hold."""
    results = unique_tensors(result)
    return [*results, *(tensor for tensor in written if all(tensor is not out for out in results))]


def _names(invocation: Invocation, call: TracedCall, variables: Tensors) -> tuple[str, ...]:
    names = tensor_names(invocation, call.parameters)
    return tuple(names[id(tensor)] for tensor in variables)


def tensor_names(invocation: Invocation, parameters: Sequence[str]) -> dict[int, str]:
    """Return what the operation calls each of its tensors, by the tensor's id."""
    names: dict[int, str] = {}
    for path, tensor in [*tree.tensors(invocation.args), *tree.tensors(invocation.kwargs)]:
        first, _, rest = path[1:].partition("]")
        if first.isdigit():
            at = int(first)
            name = (parameters[at] if at < len(parameters) else f"argument {at}") + rest
        else:
            name = first.strip('"') + rest
        names.setdefault(id(tensor), name)
    return names


def second_order(problem: Problem, cotangents: Sequence[torch.Tensor | None]) -> Problem:
    """Return the map from (arguments, cotangents) to the vjp, whose own vjp is to be verified.

    ``cotangents`` are by result; None leaves a result out.
    """
    count = len(problem.points)
    used = [i for i, u in enumerate(cotangents) if u is not None]

    def function(points: Tensors) -> list[torch.Tensor]:
        with torch.enable_grad():
            tracked = [p if p.requires_grad else p.detach().requires_grad_() for p in points]
            inputs, given = tracked[:count], tracked[count:]
            results = problem.function(inputs)
            pairs = [(results[i], u) for i, u in zip(used, given, strict=True) if results[i].requires_grad]
            found = vjp([out for out, _ in pairs], inputs, [u for _, u in pairs], create_graph=True)
        return [_plain(g, x) for g, x in zip(found, inputs, strict=True)]

    points = (*problem.points, *(u for u in cotangents if u is not None))
    names = (*problem.names, *(f"cotangent {i}" for i in used))
    return Problem(function, points, names, problem.trusted, every_result=True)


def _plain(gradient: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """Return a gradient with memory; autograd has two ways of saying zero without any."""
    return like.new_zeros(like.shape) if gradient is None or gradient._is_zerotensor() else gradient
