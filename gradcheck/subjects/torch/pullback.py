"""Vector-Jacobian products by autograd, without the import that ``grad_outputs`` costs.

``torch.autograd.grad`` with a tensor in ``grad_outputs`` imports sympy, which takes seconds. A scalar on top
of the outputs whose backward hands out the cotangents, as they are, needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class _Seed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cotangents: Sequence[torch.Tensor], *outputs: torch.Tensor) -> torch.Tensor:
        ctx.cotangents = cotangents
        return torch.zeros((), dtype=torch.float64, device=outputs[0].device)

    @staticmethod
    def backward(ctx: Any, _: torch.Tensor) -> Any:
        return (None, *ctx.cotangents)


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
    with torch.enable_grad():
        seed = _seed(outputs, cotangents)
        found = torch.autograd.grad(
            seed,
            inputs,
            create_graph=create_graph,
            retain_graph=create_graph or retain_graph,
            allow_unused=True,
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
    """As ``vjp``, but by ``backward()`` into the ``.grad`` of the inputs, leaves; it is put back.

    A leaf that holds numbers of another format for a while admits none of the gradients of its own.
    """
    if not outputs:
        return [None] * len(inputs)
    before = [leaf.grad for leaf in inputs]
    try:
        for leaf in inputs:
            leaf.grad = None
        with torch.enable_grad():
            _seed(outputs, cotangents).backward(  # type: ignore[no-untyped-call]  # untyped in torch
                create_graph=create_graph, retain_graph=create_graph or retain_graph
            )
        return [leaf.grad for leaf in inputs]
    finally:
        for leaf, gradient in zip(inputs, before, strict=True):
            leaf.grad = gradient if gradient is None or gradient.dtype == leaf.dtype else None


def _seed(outputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor]) -> torch.Tensor:
    seed: torch.Tensor = _Seed.apply(list(cotangents), *outputs)  # type: ignore[no-untyped-call]  # torch's own
    return seed
