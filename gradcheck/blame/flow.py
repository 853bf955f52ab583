"""Which call made which tensor, by identity, without keeping any tensor alive that the run lets go.

A value also flows through memory: writing into a view changes its base. So the last writer of a storage is
a source of every tensor that lies in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence

import torch


def storage(tensor: torch.Tensor) -> int | None:
    """Return what identifies the tensor's memory while it lives, None where it has no plain memory."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return None


class Flow:
    """The sources of the tensors seen so far.

    ``leaves`` collects tensors that require grad and that no call made, by a provisional name; ``aliases``
    says of those that lie in memory of the graph whose it was. ``untraced`` names results of operations
    that were not seen.
    """

    def __init__(self) -> None:
        self.leaves: dict[str, torch.Tensor] = {}
        self.aliases: dict[str, str] = {}
        self.untraced: dict[str, None] = {}
        self._makers: dict[int, tuple[weakref.ref[torch.Tensor], str]] = {}
        self._writers: dict[int | None, str] = {}
        self._tracked: dict[int | None, str] = {}

    def sources(self, tensors: Iterable[torch.Tensor]) -> tuple[str, ...]:
        """Return the calls and leaves that the tensors come from, each once."""
        found: dict[str, None] = {}
        for tensor in tensors:
            maker = self.maker(tensor)
            if maker is not None:
                found[maker] = None
            writer = self._writers.get(storage(tensor))
            if writer is not None:
                found[writer] = None
        return tuple(found)

    def maker(self, tensor: torch.Tensor) -> str | None:
        """Return the call or leaf that the tensor itself comes from."""
        reference, name = self._makers.get(id(tensor), (None, None))
        if reference is not None and reference() is tensor:
            return name
        if not tensor.requires_grad:
            return None
        if tensor.grad_fn is not None:
            self.untraced[type(tensor.grad_fn).__name__] = None
            return None
        name = f"leaf {len(self.leaves)}"
        if storage(tensor) in self._tracked:
            self.aliases[name] = self._tracked[storage(tensor)]
        self.leaves[name] = tensor
        self._makers[id(tensor)] = (weakref.ref(tensor), name)
        self._tracked.setdefault(storage(tensor), name)
        return name

    def made(self, outputs: Iterable[torch.Tensor], inputs: Sequence[torch.Tensor], call: str) -> None:
        """Note that a call returned ``outputs``. Memory that holds no input is new, whoever had it before."""
        known = {storage(tensor) for tensor in inputs}
        for output in outputs:
            memory = storage(output)
            if memory not in known:
                self._writers.pop(memory, None)
                self._tracked.pop(memory, None)
            self._makers[id(output)] = (weakref.ref(output), call)
            if output.requires_grad:
                self._tracked.setdefault(memory, call)

    def wrote(self, tensor: torch.Tensor, call: str) -> None:
        """Note that a call changed the tensor in place."""
        self._makers[id(tensor)] = (weakref.ref(tensor), call)
        self._writers[storage(tensor)] = call
        if tensor.requires_grad:
            self._tracked.setdefault(storage(tensor), call)

    def shares_memory_with_graph(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor that requires grad lies in the same memory."""
        return storage(tensor) in self._tracked
