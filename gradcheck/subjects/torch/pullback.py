"""Vector-Jacobian products by the autograd engine itself.

``torch.autograd.grad`` with a tensor in ``grad_outputs`` imports sympy, which takes seconds, and what it
checks, which is known here, takes as long as the backward pass of a small function.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.autograd import graph


def vjp(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[torch.Tensor | None]:
    """Return the gradient of <cotangents, outputs> for each input, None where autograd knows no path.

    Every output requires grad; cotangents have the outputs' shapes, and arrive with their own strides.
    """
    if not outputs:
        return [None] * len(inputs)
    found = graph._engine_run_backward(
        tuple(outputs),
        tuple(cotangents),
        create_graph or retain_graph,
        create_graph,
        tuple(inputs),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return list(found)


def accumulated(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[torch.Tensor | None]:
    """As ``vjp``, but by way of the ``.grad`` of the inputs, leaves, as ``backward()`` does; it is put back.

    A leaf that holds numbers of another format for a while admits none of the gradients of its own.
    """
    if not outputs:
        return [None] * len(inputs)
    before = [leaf.grad for leaf in inputs]
    try:
        for leaf in inputs:
            leaf.grad = None
        graph._engine_run_backward(
            tuple(outputs),
            tuple(cotangents),
            create_graph or retain_graph,
            create_graph,
            (),
            allow_unreachable=True,
            accumulate_grad=True,
        )
        return [leaf.grad for leaf in inputs]
    finally:
        for leaf, gradient in zip(inputs, before, strict=True):
            leaf.grad = gradient if gradient is None or gradient.dtype == leaf.dtype else None
