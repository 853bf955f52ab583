"""The backward pass as a forward pass: its outputs are gradients, and it is differentiated again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from gradcheck.subjects.torch.pullback import vjp
from gradcheck.subjects.torch.subject import TorchSubject

_PREFIX = "cotangents"


class SecondOrderSubject:
    """The map (leaves, cotangents u) -> gradients of <u, outputs>, and the gradients of that.

    A backward pass that is right but cannot be differentiated, or is differentiated wrongly, is wrong here.
    The wrapped subject must be open.
    """

    fixed_cotangent = is_linear = False

    def __init__(self, first: TorchSubject, cotangents: Sequence[torch.Tensor]) -> None:
        self.first = first
        self.name = f"{first.name}, second order"
        self.cotangents = {f"{_PREFIX}[{i}]": u for i, u in enumerate(cotangents)}
        self.variables = {**first.variables, **self.cotangents}
        with torch.enable_grad():
            found = self._backward({}, create_graph=True)[2]
        _refuse_delayed_errors(found.values())
        self.outputs_of = [name for name, g in found.items() if g is not None and g.requires_grad]
        self.constant = [name for name, g in found.items() if g is not None and not g.requires_grad]
        if not self.outputs_of:
            self.outputs_of = [name for name, g in found.items() if g is not None]

    @property
    def epsilon(self) -> float:
        """The spacing of the first-order subject's numbers."""
        return self.first.epsilon

    @property
    def precision(self) -> float:
        """The spacing of the first-order subject's numbers."""
        return self.first.epsilon

    def evaluate(self, values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return the first-order gradients with the named leaves and cotangents replaced."""
        with torch.enable_grad():
            found = self._backward(values, create_graph=False)[2]
        return [_dense(found[name], self.first.variables[name]) for name in self.outputs_of]

    def pull_back(self, cotangents: Sequence[torch.Tensor | None] | None) -> dict[str, torch.Tensor | None]:
        """Return the claimed gradient of <cotangents, first-order gradients> for leaves and cotangents."""
        with torch.enable_grad():
            leaves, us, found = self._backward({}, create_graph=True)
        wanted = {**{name: leaves[name] for name in self.first.names}, **us}
        ordered = [found[name] for name in self.outputs_of]
        given = (
            cotangents if cotangents is not None else [torch.ones_like(g) for g in ordered if g is not None]
        )
        pairs = [
            (g, v)
            for g, v in zip(ordered, given, strict=True)
            if g is not None and g.requires_grad and v is not None
        ]
        if not pairs:
            return dict.fromkeys(wanted)
        result = vjp([g for g, _ in pairs], list(wanted.values()), [v for _, v in pairs])
        return dict(zip(wanted, result, strict=True))

    def _backward(
        self, values: Mapping[str, torch.Tensor], create_graph: bool
    ) -> tuple[Mapping[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor | None]]:
        us = {
            name: values.get(name, u).detach().requires_grad_(create_graph)
            for name, u in self.cotangents.items()
        }
        own = {name: value for name, value in values.items() if name not in us}
        with self.first.running(own) as (leaves, outputs):
            found = self.first.gradients(leaves, outputs, list(us.values()), create_graph=create_graph)
            return (
                leaves,
                us,
                {name: g if create_graph or g is None else g.detach() for name, g in found.items()},
            )


def _dense(gradient: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if gradient is None else gradient.detach().clone()


def _refuse_delayed_errors(gradients: Iterable[torch.Tensor | None]) -> None:
    """Raise what ``backward()`` would raise further on.

    ``torch.autograd.grad`` visits only nodes on the way to its inputs, and the node that
    ``once_differentiable`` leaves behind leads nowhere: its error would turn into a missing gradient.
    """
    nodes = [g.grad_fn for g in gradients if g is not None and g.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if type(node).__name__ == "Error":
            raise RuntimeError("a Function on the way is marked with @once_differentiable")
        more = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= more
        nodes += more
