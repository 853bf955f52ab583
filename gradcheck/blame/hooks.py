"""Hooks that put another gradient in the place of the one that arrives.

Every hook attached during the run is wrapped; one backward pass then tells which of them change anything.
A hook may answer with a new gradient or write into the one it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck.blame.location import Place, caller, definition


@dataclass
class WatchedHook:
    """A hook met on the way: where it is defined and attached, and whether it changed a gradient."""

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
        """Return the hook in a wrapper: ``kind`` is "tensor", "leaf", "module" or "module pre"."""
        name = getattr(hook, "__qualname__", type(hook).__name__)
        watched = WatchedHook(f"hook {len(self.hooks)}", kind, name, definition(hook), caller())
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
