"""What a ``TorchFunctionMode`` does not see, made visible for the time of a run.

``Function.apply`` calls ``super().apply``, which is looked up anew at every call: an ``apply`` put into the
class between catches also ``f = Fn.apply`` bound long before. Only the thread that traces is affected.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.utils.hooks

# (the Function's class, its real apply, positional and keyword arguments) -> result
Applied = Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
HookWrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextlib.contextmanager
def function_apply(visit: Applied) -> Iterator[None]:
    """Send every ``Function.apply`` of this thread through ``visit``."""
    base: Any = torch.autograd.function._SingleLevelFunction
    thread, previous = threading.get_ident(), base.__dict__.get("apply")

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        real = super(base, cls).apply
        if threading.get_ident() != thread:
            return real(*args, **kwargs)
        return visit(cls, real, args, kwargs)

    base.apply = classmethod(apply)
    try:
        yield
    finally:
        if previous is None:
            del base.apply
        else:
            base.apply = previous


@contextlib.contextmanager
def module_hooks(wrap_hook: HookWrapper, wrap_pre_hook: HookWrapper) -> Iterator[None]:
    """Wrap the full backward hooks of modules as they are attached to a forward pass."""
    holder: Any = torch.utils.hooks.BackwardHook
    original = holder.__init__

    def init(self: Any, module: Any, user_hooks: Any, user_pre_hooks: Any) -> None:
        hooks, pre_hooks = map(wrap_hook, user_hooks), map(wrap_pre_hook, user_pre_hooks)
        original(self, module, list(hooks), list(pre_hooks))

    holder.__init__ = init
    try:
        yield
    finally:
        holder.__init__ = original


@contextlib.contextmanager
def checkpoints(met: Callable[[], None], bypass: bool) -> Iterator[None]:
    """Call ``met`` at each activation checkpoint (``use_reentrant=False``); ``bypass`` runs them plainly."""
    module: Any = sys.modules.get("torch.utils.checkpoint")
    if module is None:
        yield
        return
    original = module._checkpoint_without_reentrant_generator

    def generator(*args: Any, **kwargs: Any) -> Iterator[None]:
        met()
        return _plainly() if bypass else original(*args, **kwargs)

    module._checkpoint_without_reentrant_generator = generator
    try:
        yield
    finally:
        module._checkpoint_without_reentrant_generator = original


def _plainly() -> Iterator[None]:
    yield


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Run compiled functions as the Python that they were compiled from."""
    if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep what the run has set up for its own calls (checkpoints count saved tensors) away from ours."""
    with contextlib.ExitStack() as stack:
        if torch._C._autograd._saved_tensors_hooks_is_enabled():  # type: ignore[attr-defined]  # missing in its stub
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(_same, _same))
        if torch._C._len_torch_dispatch_stack() > 0:
            from torch.utils._python_dispatch import _disable_current_modes

            stack.enter_context(_disable_current_modes())
        yield


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def transforms_active() -> bool:
    """Whether a ``torch.func`` transform is running: its tensors are wrappers that cannot be looked into."""
    return bool(torch._C._are_functorch_transforms_active())
