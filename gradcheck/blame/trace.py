"""Every operation of a run, in the order of the calls, before it is executed.

A visitor gets each call as an ``Invocation`` and decides what becomes of it: the recorder executes it and
notes what flows where, the verifier first examines it alone, the replay may put another result in its place.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode

from gradcheck.blame import location, naming, patches
from gradcheck.blame.location import Place
from gradcheck.subjects.torch import tree

# operation, file, line, how many calls of the same operation on the same line came before
Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Invocation:
    """One call about to be made. ``custom`` is the autograd.Function class, None for other operations."""

    key: Key
    place: Place | None
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    custom: Any = None

    @property
    def operation(self) -> str:
        """The operation's name as users write it."""
        return self.key[0]

    def run(self) -> Any:
        """Execute the call as it was made."""
        return self.function(*self.args, **self.kwargs)


class Visitor(Protocol):
    """What a tracer reports to."""

    def visit(self, invocation: Invocation) -> Any:
        """Return the result of the call."""
        ...

    def inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with which a call inside a custom Function's forward is to be made."""
        ...

    def hook(self, kind: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return the hook to attach instead: ``kind`` says to what, and "pre" where it comes before."""
        ...

    def saved(
        self, kind: str, pack: Callable[..., Any], unpack: Callable[..., Any]
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return the hooks on saved tensors to use instead."""
        ...


class Passive:
    """A visitor that leaves everything as it is, to be refined."""

    def visit(self, invocation: Invocation) -> Any:
        """Make the call."""
        return invocation.run()

    def inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Leave the insides of custom Functions alone."""
        return args, kwargs

    def hook(self, kind: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Leave hooks alone."""
        return hook

    def saved(
        self, kind: str, pack: Callable[..., Any], unpack: Callable[..., Any]
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Leave saved tensors alone."""
        return pack, unpack


class Tracer(TorchFunctionMode):
    """A context in which every operation goes to the visitor. Calls within calls are part of these.

    Functions under an activation checkpoint with ``use_reentrant=True`` are run plainly, so that what is in
    them is seen with grad mode on; ``checkpoints`` says where.
    """

    def __init__(self, visitor: Visitor) -> None:
        super().__init__()
        self.transformed: dict[str, None] = {}
        self.checkpoints: dict[Place, None] = {}
        self._visitor = visitor
        self._occurrences: Counter[tuple[str, str, int]] = Counter()
        self._in_call = self._in_forward = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Tracer:
        visitor = self._visitor
        self._stack.enter_context(patches.eager())
        self._stack.enter_context(patches.function_apply(self._apply))
        self._stack.enter_context(patches.module_hooks(visitor.hook))
        self._stack.enter_context(patches.saved_tensors(visitor.saved))
        super().__enter__()  # type: ignore[no-untyped-call]  # untyped in torch
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # untyped in torch
        self._stack.close()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Report the call where it is one of the user's; see ``torch.overrides``."""
        kwargs = kwargs or {}
        if location.copies_arguments(sys._getframe(1).f_code):
            return func(*args, **kwargs)
        if self._in_call:
            if self._in_forward:
                args, kwargs = self._visitor.inside(args, kwargs)
            return func(*args, **kwargs)
        operation = naming.operation(func)
        if operation is None:
            result = func(*args, **kwargs)
            if naming.is_grad_fn(func) and result is not None and location.is_users(sys._getframe(1).f_code):
                return patches.HookableNode(result, self._visitor.hook)
            return result
        if operation == "Tensor.register_hook":
            tensor, hook = args
            return func(tensor, self._visitor.hook("tensor", hook), **kwargs)
        return self._report(operation, func, args, kwargs)

    def _apply(
        self, cls: Any, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._in_call:
            return real(*args, **kwargs)
        if cls.__name__ == "CheckpointFunction" and cls.__module__ == "torch.utils.checkpoint":
            run_function, _preserve_rng_state, *inputs = args
            place = location.caller()
            if place is not None:
                self.checkpoints[place] = None
            return run_function(*inputs)
        self._in_forward = True
        try:
            return self._report(f"{cls.__name__}.apply", real, args, kwargs, custom=cls)
        finally:
            self._in_forward = False

    def _report(
        self,
        operation: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        custom: Any = None,
    ) -> Any:
        place = location.caller()
        if patches.transforms_active():
            self.transformed[f"{operation} at {place}"] = None
            return func(*args, **kwargs)
        spot = (operation, place.file, place.line) if place else (operation, "", 0)
        key = (*spot, self._occurrences[spot])
        self._occurrences[spot] += 1
        self._in_call = True
        try:
            return self._visitor.visit(Invocation(key, place, func, args, kwargs, custom))
        finally:
            self._in_call = False


def run_traced(run: Callable[[], Any], visitor: Visitor) -> tuple[Any, Tracer]:
    """Run under a tracer that reports to the visitor."""
    with Tracer(visitor) as tracer:
        return run(), tracer


def unique_tensors(structure: Any) -> list[torch.Tensor]:
    """Return the tensors in nested arguments or results, each once, in order."""
    return list({id(tensor): tensor for _, tensor in tree.tensors(structure)}.values())
