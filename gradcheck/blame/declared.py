"""Deviations that the user asked PyTorch for: arguments that take something out of a gradient by design."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from gradcheck.blame.trace import Invocation
from gradcheck.report.records import Diagnosis

_EMBEDDINGS = ("torch.nn.functional.embedding", "torch.nn.functional.embedding_bag")


def deviation(invocation: Invocation) -> tuple[Diagnosis, ...]:
    """Return what the arguments of a call make of its gradient, by what PyTorch documents of them."""
    if invocation.operation not in _EMBEDDINGS:
        return ()
    given = _arguments(invocation)
    padding = given.get("padding_idx")
    if padding is not None:
        what = (
            f"Row {int(padding)} of the table gets no gradient, because padding_idx={int(padding)} was passed"
        )
        return (_declared("padding_idx", what),)
    if given.get("scale_grad_by_freq"):
        what = (
            "Rows' gradients are divided by how often they occur, because scale_grad_by_freq=True was passed"
        )
        return (_declared("scale_grad_by_freq", what),)
    return ()


def _declared(argument: str, what: str) -> Diagnosis:
    return Diagnosis("masked", f"{what}: PyTorch means it so.", 1.0, {"declared": argument})


def _arguments(invocation: Invocation) -> Mapping[str, Any]:
    function = getattr(torch.nn.functional, invocation.operation.rpartition(".")[2])
    try:
        return inspect.signature(function).bind(*invocation.args, **invocation.kwargs).arguments
    except (TypeError, ValueError):  # another signature than that of today
        return invocation.kwargs
