"""Casts to narrower formats inside a forward pass, made wide.

Kernels sum in float32 whatever they are given (``x.float()``, ``softmax(..., dtype=torch.float32)``). In
double precision such a cast rounds more than everything else together, and finite differences see a rough
function. Under this mode it widens instead, so that the mathematics can be verified to full precision; what
the casts do to the gradient is compared afterwards, in the user's own formats.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck.subjects.torch import layout
from gradcheck.subjects.torch.layout import wide

_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex32})
_NAMED: Mapping[Any, torch.dtype] = {
    torch.Tensor.float: torch.float32,
    torch.Tensor.half: torch.float16,
    torch.Tensor.bfloat16: torch.bfloat16,
    torch.Tensor.cfloat: torch.complex64,  # type: ignore[attr-defined]  # its stubs lack it
    torch.Tensor.chalf: torch.complex32,
}
_LEGACY = {
    "torch.FloatTensor": torch.float32,
    "torch.HalfTensor": torch.float16,
    "torch.BFloat16Tensor": torch.bfloat16,
}
# These take a tensor for its dtype.
_LIKE = frozenset({torch.Tensor.to, torch.Tensor.type_as})
# A dtype given to these reads bits anew: no cast.
_BITS = frozenset({torch.Tensor.view})
_NODE: Any = vars(torch._C.TensorBase)["grad_fn"]
_HOOKS = frozenset({torch.Tensor.register_hook, _NODE.__get__})
_BACKWARD = frozenset({torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward})
# Casts to narrower formats that change the outputs by fewer roundings than this change nothing.
_ROUNDINGS = 1e4
_FORMAT = torch.dtype
# What is looked at whatever its arguments are.
_UNUSUAL = frozenset({*_NAMED, *_LIKE, *_BITS, *_HOOKS, *_BACKWARD})


class Widening(TorchFunctionMode):
    """Watches for narrowing casts, and widens them while ``active``.

    ``narrowing`` collects the formats into which numbers in double precision were cast, ``narrow`` all
    narrow formats that were asked for. ``hooks``: whether any were put on tensors, or could be on nodes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = self.hooks = False
        self.narrow: set[torch.dtype] = set()
        self.narrowing: set[torch.dtype] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call, with narrow formats made wide."""
        del types
        given = kwargs or {}
        if func not in _UNUSUAL and not _mention(args) and not (kwargs and _mention(kwargs.values())):
            return func(*args, **given)
        if func in _BACKWARD:
            with _in_backward(self):
                return func(*args, **given)
        self.hooks = self.hooks or func in _HOOKS
        asked = _asked(func, args, given)
        if not asked:
            return func(*args, **given)
        self.narrow |= asked
        if any(_is_wide(a) for a in args):
            self.narrowing |= asked
        return _widely(func, args, given) if self.active else func(*args, **given)


def _asked(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> set[torch.dtype]:
    """Return the narrow formats that a call asks for."""
    if func in _NAMED:
        return {_NAMED[func]}
    if func in _BITS:
        return set()
    asked = _formats(args, kwargs)
    if func in _LIKE:
        asked |= {a.dtype for a in (*args[1:], *kwargs.values()) if isinstance(a, torch.Tensor)}
    return asked & _NARROW


def _mention(values: Iterable[Any]) -> bool:
    """Whether a format may be among the arguments."""
    for value in values:
        kind = type(value)
        if kind is _FORMAT or kind is str:
            return True
    return False


def _formats(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> set[torch.dtype]:
    """Return the formats among the arguments."""
    found = set()
    for given in (*args, *kwargs.values()) if kwargs else args:
        if type(given) is torch.dtype:
            found.add(given)
        elif type(given) is str and given in _LEGACY:
            found.add(_LEGACY[given])
    return found


def felt(plain: Mapping[str, torch.Tensor], widened: Mapping[str, torch.Tensor]) -> bool:
    """Whether casts change numbers, by name, by more than roundings of double precision."""
    if {path: out.shape for path, out in plain.items()} != {path: out.shape for path, out in widened.items()}:
        return True
    for one, other in zip(plain.values(), widened.values(), strict=True):
        if not layout.is_number(one) or not one.numel():
            continue
        a, b = (t.detach().to_dense().to(wide(t.dtype)) for t in (one, other))
        apart = torch.nan_to_num((a - b).abs())
        largest = torch.nan_to_num(b.abs()).max()
        if bool((apart > _ROUNDINGS * torch.finfo(torch.float64).eps * largest).any()):
            return True
    return False


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout is torch.strided and torch.equal(a, b):  # allclose takes as long as many a forward pass
        return True
    return torch.allclose(a, b, rtol=1e-10, atol=0, equal_nan=True)


def _widely(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if func in _NAMED:
        return args[0].to(wide(_NAMED[func]), **kwargs)
    like = func in _LIKE
    widened = [a if like and i == 0 else _widened(a, like) for i, a in enumerate(args)]
    return func(*widened, **{key: _widened(a, like) for key, a in kwargs.items()})


def _widened(value: Any, like: bool) -> Any:
    if isinstance(value, torch.dtype):
        return wide(value) if value in _NARROW else value
    if isinstance(value, str) and value in _LEGACY:
        return wide(_LEGACY[value])
    if like and isinstance(value, torch.Tensor) and value.dtype in _NARROW:
        return value.to(wide(value.dtype))
    return value


def _is_wide(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128)


@contextlib.contextmanager
def _in_backward(mode: TorchFunctionMode) -> Iterator[None]:
    """Let the mode see what hand-written backward passes call: it is off while it handles a call itself."""
    module: Any = torch.autograd
    run = module._engine_run_backward

    def under(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return run(*args, **kwargs)

    module._engine_run_backward = under
    try:
        yield
    finally:
        module._engine_run_backward = run
