"""The run as it is: which calls, on what, with what coming back in the backward pass.

Nothing is examined here, and no activation is kept that the run itself does not keep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from gradcheck.blame import declared, functions, location
from gradcheck.blame.arrangement import copy
from gradcheck.blame.calls import Arrangement, HiddenRead, TracedCall
from gradcheck.blame.flow import Flow
from gradcheck.blame.hooks import HookWatch
from gradcheck.blame.trace import Invocation, Key, unique_tensors
from gradcheck.subjects.torch.layout import is_number

# Results that depend on no value of the input, only on its shape, type and device.
_VALUE_FREE = (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "randint_like",
)

# Operations that differentiate inside: their results depend on a graph, not on their arguments alone.
_DIFFERENTIATING = ("torch.autograd.grad", "torch.autograd.backward", "Tensor.backward")


class Recorder:
    """See the module. ``keep`` names calls whose arriving cotangents are kept whole."""

    def __init__(self, keep: Collection[Key] = (), disabled_hooks: Collection[str] = ()) -> None:
        self.calls: list[TracedCall] = []
        self.flow = Flow()
        self.hooks = HookWatch(disabled_hooks)
        self._keep = keep
        self._arguments: list[torch.Tensor] = []
        self._hidden: list[HiddenRead] = []
        self._inner_calls = 0
        self._executing = False

    def hook(self, kind: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Attach the hook in a wrapper that notes whether it changes the gradient."""
        return self.hooks.watch(kind, hook)

    def saved(
        self, kind: str, pack: Callable[..., Any], unpack: Callable[..., Any]
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Note whether saved tensors come back as they went in."""
        return self.hooks.watch_saved(kind, pack, unpack)

    def visit(self, invocation: Invocation) -> Any:
        """Execute the call and note what it did."""
        arguments = unique_tensors((invocation.args, invocation.kwargs))
        self._arguments, self._hidden, self._inner_calls = arguments, [], 0
        inputs = self.flow.sources(arguments)
        before = [_state(tensor) for tensor in arguments]
        variables = tuple(i for i, t in enumerate(arguments) if t.requires_grad and is_number(t))
        tracked = bool(variables)
        random = _generator_state(arguments) if tracked else None
        self._executing = True
        try:
            result = invocation.run()
        finally:
            self._executing = False
        call = TracedCall(
            f"#{len(self.calls)}",
            invocation.key,
            invocation.place,
            inputs,
            torch.is_grad_enabled(),
            hidden=tuple(self._hidden),
        )
        call.random = random is not None and not all(map(torch.equal, random, _generator_state(arguments)))
        call.variables = variables
        makers = {i: self.flow.maker(arguments[i]) for i in variables}
        call.rewrapped = {i: maker for i, maker in makers.items() if maker in self.flow.leaves}
        call.differentiates = call.operation in _DIFFERENTIATING
        call.keeps_graph = call.differentiates and bool(invocation.kwargs.get("create_graph"))
        call.written = tuple(i for i, tensor in enumerate(arguments) if _state(tensor)[0] != before[i][0])
        call.unrecorded = tuple(i for i in call.written if self._is_unrecorded(arguments[i], before[i][1]))
        results = unique_tensors(result)
        self._note(call, invocation, arguments, results, tracked)
        call.severed_value = tracked and not results and not call.written and _holds_float(result)
        if results or call.written or call.suspicious:
            self.calls.append(call)
        return result

    def _is_given(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor is an argument, or a view taken inside of one (which still requires grad)."""
        roots = [given if given._base is None else given._base for given in self._arguments]
        return any(tensor is given for given in self._arguments) or any(
            tensor._base is root for root in roots
        )

    def _is_unrecorded(self, tensor: torch.Tensor, grad_fn: Any) -> bool:
        known = tensor.requires_grad or self.flow.shares_memory_with_graph(tensor)
        return known and is_number(tensor) and tensor.grad_fn is grad_fn

    def _note(
        self,
        call: TracedCall,
        invocation: Invocation,
        arguments: list[torch.Tensor],
        results: list[torch.Tensor],
        tracked: bool,
    ) -> None:
        written = [arguments[i] for i in call.written]
        self.flow.made([out for out in results if all(out is not t for t in arguments)], arguments, call.id)
        for tensor in written:
            self.flow.wrote(tensor, call.id)
        if not tracked:
            return
        outputs = [*results, *(tensor for tensor in written if all(tensor is not out for out in results))]
        numbers = [out for out in outputs if is_number(out)]
        call.differentiable = call.grad_mode and any(out.requires_grad for out in numbers)
        if not invocation.operation.endswith(_VALUE_FREE):
            call.severed = tuple(
                i for i, out in enumerate(outputs) if is_number(out) and not out.requires_grad and out.numel()
            )
        cls = functions.custom_class(invocation, outputs)
        call.user_defined = functions.is_user_defined(invocation, cls)
        if call.user_defined:
            call.random = True  # it may draw from NumPy's generator or Python's, which nothing else here does
            call.backward = functions.backward_place(cls)
        if call.user_defined or call.key in self._keep:
            self._listen(call, outputs)
        call.parameters = functions.parameter_names(invocation)
        call.diagnoses = declared.deviation(invocation)

    def _listen(self, call: TracedCall, outputs: list[torch.Tensor]) -> None:
        for i, output in enumerate(outputs):
            if output.requires_grad and output.grad_fn is not None:
                listener = _listener(call, i, keep=call.key in self._keep)
                output.register_hook(listener)  # type: ignore[no-untyped-call]  # untyped in torch

    def inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Note what a forward reads that was not given to it."""
        if not self._executing:
            return args, kwargs
        self._inner_calls += 1
        for position, tensor in enumerate(unique_tensors((args, kwargs))):
            if tensor.requires_grad and is_number(tensor) and not self._is_given(tensor):
                read = HiddenRead(self._inner_calls, position, self.flow.sources([tensor]), location.caller())
                self._hidden.append(read)
        return args, kwargs


def _listener(call: TracedCall, output: int, keep: bool) -> Callable[[torch.Tensor], None]:
    def listen(cotangent: torch.Tensor) -> None:
        strided = cotangent.layout is torch.strided
        arrangement = (
            Arrangement(tuple(cotangent.shape), cotangent.stride()) if strided else Arrangement((), ())
        )
        call.cotangents[output] = arrangement
        if keep:
            call.kept[output] = copy(cotangent)

    return listen


def _state(tensor: torch.Tensor) -> tuple[int | None, Any]:
    return (None if tensor.is_inference() else tensor._version), tensor.grad_fn


def _generator_state(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    states = [torch.random.get_rng_state()]
    if any(tensor.is_cuda for tensor in tensors):
        states += torch.cuda.get_rng_state_all()
    return states


def _holds_float(result: Any) -> bool:
    if isinstance(result, (list, tuple)):
        return any(_holds_float(child) for child in result)
    return isinstance(result, (float, complex)) or getattr(getattr(result, "dtype", None), "kind", "") in (
        "f",
        "c",
    )
