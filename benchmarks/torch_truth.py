"""Whether a gradient of PyTorch's own that gradcheck calls wrong is wrong: by other means than gradcheck's.

In double precision, and whatever the sample's own format, torch's gradcheck is asked, entry by entry. What it
finds right there may still be wrong in the sample's format: that is shown by autograd itself, which gives
another gradient than in double precision, or raises.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.func import functional_call
from torch.utils._pytree import tree_map

from benchmarks.torch_samples import Sample

# A gradient that differs by this share of its norm from the one in double precision has lost its meaning.
_LOST = 0.1


def really_wrong(sample: Sample) -> str:
    """Return who else calls the sample's gradient wrong, "" where nobody does."""
    if _torch_disagrees(in_double(sample)):
        return "torch's gradcheck agrees, in double precision"
    try:
        own, exact = _gradients(sample), _gradients(in_double(sample))
    except NotImplementedError as error:
        return f"its backward pass raises in this format: {str(error)[:60]}"
    off = max((_apart(a, b) for a, b in zip(own, exact, strict=True)), default=0.0)
    return (
        f"autograd in this format is off by {off:.0%} of the same in double precision" if off > _LOST else ""
    )


def in_double(sample: Sample) -> Sample:
    """Return the sample with every number in double precision."""
    function = sample.function
    if isinstance(function, torch.nn.Module):
        function = copy.deepcopy(function).double()
    return Sample(sample.name, function, tree_map(_wide, sample.args), tree_map(_wide, sample.kwargs))


def _wide(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
        return value
    wide = value.detach().to(torch.complex128 if value.is_complex() else torch.float64)
    return wide.requires_grad_(value.requires_grad)


def _parameters(sample: Sample) -> dict[str, torch.Tensor]:
    return dict(sample.function.named_parameters()) if isinstance(sample.function, torch.nn.Module) else {}


def _torch_disagrees(sample: Sample) -> bool:
    parameters = _parameters(sample)

    def function(*given: Any) -> Any:
        torch.manual_seed(0)
        args, values = given[: len(sample.args)], given[len(sample.args) :]
        if not parameters:
            return sample.function(*args, **sample.kwargs)
        named = dict(zip(parameters, values, strict=True))
        return functional_call(sample.function, named, args, sample.kwargs)

    try:
        return not torch.autograd.gradcheck(function, (*sample.args, *parameters.values()))
    except Exception:  # it says what is wrong by raising
        return True


def _gradients(sample: Sample) -> list[torch.Tensor]:
    """Return the gradients under one cotangent, the same in every format."""
    leaves = [a for a in sample.args if isinstance(a, torch.Tensor) and a.requires_grad]
    leaves += _parameters(sample).values()
    torch.manual_seed(0)
    made = sample.function(*sample.args, **sample.kwargs)
    outputs = [
        out
        for out in (made if isinstance(made, tuple | list) else [made])
        if getattr(out, "requires_grad", 0)
    ]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.rand(out.shape, generator=generator).to(out.dtype) for out in outputs]
    found = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


def _apart(own: torch.Tensor, exact: torch.Tensor) -> float:
    a, b = own.to_dense().to(exact.dtype), exact.to_dense()
    return float((a - b).norm() / b.norm()) if float(b.norm()) > 0 else 0.0
