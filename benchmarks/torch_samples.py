"""PyTorch's own functionals and modules, as its test suite calls them, in any dtype: right code to verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Sample:
    """One call: ``function(*args, **kwargs)``."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def functionals(dtype: torch.dtype, every: int = 1) -> Iterator[Sample]:
    """Yield one sample of each operator that PyTorch's test suite differentiates in the dtype."""
    from torch.testing._internal.common_methods_invocations import op_db

    usable = [op for op in op_db if op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")]
    for op in usable[::every]:
        torch.manual_seed(0)
        try:
            sample = next(iter(op.sample_inputs("cpu", dtype, requires_grad=True)))
        except Exception:  # some samples need optional libraries
            continue
        args = (sample.input, *sample.args)
        if any(isinstance(a, torch.Tensor) and a.requires_grad for a in args):
            yield Sample(
                f"{op.name} {op.variant_test_name}".strip(), _called(op, sample), args, sample.kwargs
            )


def _called(op: Any, sample: Any) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        out = op.gradcheck_wrapper(op.op, *args, **kwargs)
        return out if sample.output_process_fn_grad is None else sample.output_process_fn_grad(out)

    return function


def modules(dtype: torch.dtype, every: int = 1) -> Iterator[Sample]:
    """Yield one sample of each module that PyTorch's test suite has in the dtype, in training mode."""
    from torch.testing._internal.common_modules import module_db

    for info in module_db[::every]:
        torch.manual_seed(0)
        if dtype not in info.dtypes and dtype is not torch.bfloat16:
            continue
        try:
            chosen = info.module_inputs_func(info, "cpu", dtype, requires_grad=True, training=True)[0]
            made = chosen.constructor_input
            module = info.module_cls(*made.args, **made.kwargs).to(dtype)
            call = chosen.forward_input
            with torch.no_grad():
                module(*call.args, **call.kwargs)
        except Exception:  # not every module has the dtype
            continue
        yield Sample(info.name, module, tuple(call.args), dict(call.kwargs))
