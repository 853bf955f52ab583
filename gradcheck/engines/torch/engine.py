"""PyTorch as an engine: any graph becomes a plain function of tensors, and autograd differentiates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradcheck.engines.torch.table import OPERATIONS, Function, bind

if TYPE_CHECKING:
    from reference_impl import Graph

Array = npt.NDArray[Any]

_MEMO = "PyTorch"


def twin(graph: Graph) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return the graph as a function in PyTorch: from its leaves, inputs before parameters, to its output."""
    known = graph.memo.get(_MEMO)
    if known is None:
        known = graph.memo[_MEMO] = _compiled(graph)
    return cast(Function, known)


def _compiled(graph: Graph) -> Callable[[Sequence[Tensor]], Tensor]:
    places = {name: i for i, name in enumerate(graph.leaves)}
    steps: list[tuple[Function, tuple[int, ...]]] = []
    for node in graph.nodes:
        steps.append((bind(node.operation, node.attributes), tuple(places[name] for name in node.inputs)))
        places[node.name] = len(places)
    output = places[graph.output]

    def run(leaves: Sequence[Tensor]) -> Tensor:
        known = list(leaves)
        for function, inputs in steps:
            known.append(function(*[known[i] for i in inputs]))
        return known[output]

    return run


def to_tensor(array: Array) -> Tensor:
    """Copy an array, read-only or strided backwards as it may be, into a tensor of the same dtype."""
    return torch.from_numpy(np.array(array, order="C"))


def _pull_back(output: Tensor, leaves: Sequence[Tensor], cotangent: Array | None) -> Sequence[Tensor | None]:
    """Return the gradients of <cotangent, output>, of the sum where none is given.

    A real cotangent is multiplied in rather than handed over: given ``grad_outputs``, ``torch.autograd``
    imports sympy, which takes as long as importing torch.
    """
    if output.is_complex():
        given = torch.ones_like(output) if cotangent is None else to_tensor(cotangent)
        return torch.autograd.grad(output, leaves, given, allow_unused=True)
    weighted = output if cotangent is None else output * to_tensor(cotangent)
    return torch.autograd.grad(weighted.sum(), leaves, allow_unused=True)


class TorchEngine:
    """PyTorch's operations and its autograd, on the CPU."""

    name = "PyTorch"

    def supports(self, operation: str) -> bool:
        """Whether the table has a row for the operation."""
        return operation in OPERATIONS

    def value_and_gradients(
        self, graph: Graph, values: Mapping[str, Array], cotangent: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Return the output's value and each leaf's gradient; ``cotangent`` is ones where none is given.

        Raises:
            TypeError: where PyTorch lacks the dtype (``longdouble``).
        """
        leaves = {name: to_tensor(values[name]).requires_grad_() for name in graph.leaves}
        output = twin(graph)(list(leaves.values()))
        gradients: Sequence[Tensor | None] = [None] * len(leaves)
        if output.requires_grad:
            gradients = _pull_back(output, list(leaves.values()), cotangent)
        return output.detach().numpy(), {
            name: np.zeros(leaf.shape, leaf.detach().numpy().dtype) if found is None else found.numpy()
            for (name, leaf), found in zip(leaves.items(), gradients, strict=True)
        }
