"""The arguments of a subject's calls: the user's own, with other tensors in the places of theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from gradcheck.subjects.torch import layout, tree

Change = Callable[[str, torch.Tensor], torch.Tensor]
NO_ALIASES: Mapping[str, str] = MappingProxyType({})


class _Place(NamedTuple):
    """An argument: the input that it is, or its value. ``nested``: a value that may hold inputs."""

    name: str | None
    value: Any
    nested: bool


class Arguments:
    """What a function is called with; every tensor in it is one of ``inputs``, by name.

    Most arguments are tensors or plain values, and are told apart once: a call then takes hardly any time.
    """

    def __init__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]
    ) -> None:
        self._names = {id(tensor): name for name, tensor in inputs.items()}
        self._args = [self._place(arg) for arg in args]
        self._kwargs = {key: self._place(arg) for key, arg in kwargs.items()}
        self._is_flat = not any(place.nested for place in [*self._args, *self._kwargs.values()])

    def _place(self, arg: Any) -> _Place:
        is_input = isinstance(arg, torch.Tensor)
        return _Place(self._names[id(arg)] if is_input else None, arg, not (is_input or tree.is_plain(arg)))

    def fresh(
        self,
        held: Mapping[str, torch.Tensor],
        values: Mapping[str, torch.Tensor],
        tracked: Collection[str] = (),
        change: Change | None = None,
        aliases: Mapping[str, str] = NO_ALIASES,
    ) -> dict[str, torch.Tensor]:
        """Return a leaf for each input: of ``values``, or a copy of what is ``held`` for it.

        ``tracked`` ones require grad. ``change`` alters the layout of one before it is used. ``aliases``:
        inputs for which the leaf of another input is taken.
        """
        leaves: dict[str, torch.Tensor] = {}
        for name, own in held.items():
            if name not in aliases:
                data = values[name] if name in values else layout.copy(own)
                leaf = (data if change is None else change(name, data)).detach()
                leaves[name] = leaf.requires_grad_(True) if name in tracked else leaf
        for alias, name in aliases.items():
            leaves[alias] = leaves[name]
        return leaves

    def filled(
        self, leaves: Mapping[str, torch.Tensor], on_copies: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return (args, kwargs) with a leaf for each input; containers are new, what else there is is shared.

        ``on_copies``: with a copy of each leaf in its place, for a function that changes it.
        """
        if on_copies:
            copies = {id(leaf): leaf.clone() for leaf in leaves.values()}
            leaves = {name: copies[id(leaf)] for name, leaf in leaves.items()}
        if self._is_flat:
            args = [value if name is None else leaves[name] for name, value, _ in self._args]
            return tuple(args), {
                key: value if name is None else leaves[name] for key, (name, value, _) in self._kwargs.items()
            }

        def passed(tensor: torch.Tensor) -> torch.Tensor:
            return leaves[self._names[id(tensor)]]

        args = [tree.replace(place.value, passed) for place in self._args]
        return tuple(args), {key: tree.replace(place.value, passed) for key, place in self._kwargs.items()}
