"""Hooks that put another gradient in the place of the one that arrives.

Every hook attached during the run is wrapped; one backward pass then tells which of them change anything.
A hook may answer with a new gradient or write into the one it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck.blame.location import Place, caller, definition
from gradcheck.subjects.torch.layout import spacing


@dataclass
class WatchedHook:
    """A hook met on the way: where it is defined and, in this run, attached; whether it altered any."""

    id: str
    kind: str
    name: str
    place: Place | None
    attached: Place | None
    alters: bool = False


class HookWatch:
    """The hooks of one run, in the order in which they were attached. ``disabled`` ones do nothing."""

    def __init__(self, disabled: Collection[str] = ()) -> None:
        self.hooks: list[WatchedHook] = []
        self._disabled = disabled

    def watch(self, kind: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return the hook in a wrapper.

        ``kind`` is "tensor", "leaf", "node" or "module", or one of the last two with " pre".
        """
        name = getattr(hook, "__qualname__", type(hook).__name__)
        # leaves and modules carry theirs from before the run
        attached = caller() if kind.startswith(("tensor", "node")) else None
        watched = WatchedHook(f"hook {len(self.hooks)}", kind, name, definition(hook), attached)
        self.hooks.append(watched)
        # a module's hook is given (module, grad_input, grad_output) or, before, (module, grad_output)
        position = 1 if kind.startswith("module") else 0

        def wrapped(*args: Any) -> Any:
            if watched.id in self._disabled:
                return None
            given = _tensors(args[position])
            versions = [tensor._version for tensor in given]
            answer = hook(*args)
            if [tensor._version for tensor in given] != versions or _differs(answer, given):
                watched.alters = True
            return answer

        return wrapped

    def watch_saved(
        self, kind: str, pack: Callable[..., Any], unpack: Callable[..., Any]
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return a pair of hooks on saved tensors that note whether what comes back is what went in."""
        name = getattr(pack, "__qualname__", type(pack).__name__)
        watched = WatchedHook(f"hook {len(self.hooks)}", kind, name, definition(unpack), caller())
        self.hooks.append(watched)
        if watched.id in self._disabled:
            return _same, _same

        def packed(tensor: torch.Tensor) -> Any:
            return pack(tensor), _fingerprint(tensor)

        def unpacked(saved: Any) -> torch.Tensor:
            content, (shape, total, size, epsilon) = saved
            tensor: torch.Tensor = unpack(content)
            found = _fingerprint(tensor)
            if found[0] != shape or not abs(found[1] - total) <= epsilon**0.5 * size:
                watched.alters = math.isfinite(size) or found[0] != shape
            return tensor

        return packed, unpacked

    @property
    def altering(self) -> list[WatchedHook]:
        """The hooks that changed a gradient."""
        return [hook for hook in self.hooks if hook.alters]


def _tensors(value: Any) -> list[torch.Tensor]:
    values: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,)
    return [child for child in values if isinstance(child, torch.Tensor)]


def _differs(answer: Any, given: list[torch.Tensor]) -> bool:
    if answer is None:
        return False
    answers = _tensors(answer)
    return len(answers) != len(given) or any(
        a is not b and (a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))
        for a, b in zip(answers, given, strict=True)
    )


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _fingerprint(tensor: torch.Tensor) -> tuple[torch.Size, float, float, float]:
    """Return shape, sum and absolute sum of the entries, and the spacing of their format."""
    values = tensor.detach()
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    epsilon = spacing(values.dtype) if values.is_floating_point() else 0.0
    wide = values.double()
    # weights that no permutation leaves the sum of
    weighted = wide.flatten() * torch.linspace(1.0, 2.0, wide.numel(), dtype=wide.dtype, device=wide.device)
    return tensor.shape, float(weighted.sum()), float(weighted.abs().sum()), epsilon
