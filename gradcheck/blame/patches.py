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

# Where ``vmap`` makes Functions of those that ask for it (``generate_vmap_rule``).
_VMAPPED = "torch._functorch.autograd_function"

# (the Function's class, its real apply, positional and keyword arguments) -> result
Applied = Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
# (kind, hook) -> the hook to attach
HookWrapper = Callable[[str, Callable[..., Any]], Callable[..., Any]]
# (kind, pack, unpack) -> those to use
SavedWrapper = Callable[
    [str, Callable[..., Any], Callable[..., Any]], tuple[Callable[..., Any], Callable[..., Any]]
]


@contextlib.contextmanager
def function_apply(visit: Applied) -> Iterator[None]:
    """Send every ``Function.apply`` of this thread through ``visit``."""
    base: Any = torch.autograd.function._SingleLevelFunction
    thread, previous = threading.get_ident(), base.__dict__.get("apply")

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        real = super(base, cls).apply
        if threading.get_ident() != thread:
            return real(*args, **kwargs)
        return visit(_written(cls), real, args, kwargs)

    base.apply = classmethod(apply)
    try:
        yield
    finally:
        if previous is None:
            del base.apply
        else:
            base.apply = previous


def _written(cls: Any) -> Any:
    """Return the Function that somebody wrote, of which ``vmap`` makes one of its own for every call."""
    while cls.__module__ == _VMAPPED and "autograd_function" in cls.forward.__code__.co_freevars:
        place = cls.forward.__code__.co_freevars.index("autograd_function")
        cls = cls.forward.__closure__[place].cell_contents
    return cls


@contextlib.contextmanager
def module_hooks(wrap: HookWrapper) -> Iterator[None]:
    """Wrap the backward hooks of modules as they are attached to a forward pass."""
    full: Any = torch.utils.hooks.BackwardHook
    partial: Any = torch.nn.modules.module._WrappedHook  # those of register_backward_hook, long deprecated
    originals = full.__init__, partial.__init__

    def init(self: Any, module: Any, user_hooks: Any, user_pre_hooks: Any) -> None:
        hooks = [wrap("module", hook) for hook in user_hooks]
        originals[0](self, module, hooks, [wrap("module pre", hook) for hook in user_pre_hooks])

    def partial_init(self: Any, hook: Any, module: Any = None) -> None:
        originals[1](self, wrap("module", hook), module)

    full.__init__, partial.__init__ = init, partial_init
    try:
        yield
    finally:
        full.__init__, partial.__init__ = originals


class HookableNode:
    """A ``grad_fn`` in the user's hands, whose hooks are wrapped as they are attached."""

    def __init__(self, node: Any, wrap: HookWrapper) -> None:
        self._node, self._wrap = node, wrap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """See ``torch.autograd.graph.Node``."""
        return self._node.register_hook(self._wrap("node", hook))

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """See ``torch.autograd.graph.Node``."""
        return self._node.register_prehook(self._wrap("node pre", hook))


@contextlib.contextmanager
def saved_tensors(wrap: SavedWrapper) -> Iterator[None]:
    """Wrap the hooks that decide what becomes of tensors saved for the backward pass."""
    holder: Any = torch.autograd.graph.saved_tensors_hooks
    original = holder.__enter__

    def enter(self: Any) -> None:
        if self.pack_hook is _same:
            original(self)
            return
        kind = "checkpoint" if type(self).__name__ == "_checkpoint_hook" else "saved tensors"
        hooks = wrap(kind, self.pack_hook, self.unpack_hook)
        torch._C._autograd._push_saved_tensors_default_hooks(*hooks)

    holder.__enter__ = enter
    try:
        yield
    finally:
        holder.__enter__ = original


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
