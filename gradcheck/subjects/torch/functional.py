"""A torch subject as a function of all its tensors, for transforms that no exchange of ``.data`` serves.

Parameters and buffers go in through ``torch.func.functional_call``: the user's modules are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call

from gradcheck.subjects.torch import tree

if TYPE_CHECKING:
    from gradcheck.subjects.torch.subject import TorchSubject


class Caller(torch.nn.Module):
    """The user's function as a module that holds those which it uses: ``functional_call`` asks for one."""

    def __init__(self, subject: TorchSubject) -> None:
        super().__init__()
        self.subject = subject
        for i, (_, module) in enumerate(subject.modules):
            self.add_module(f"m{i}", module)
        self._paths = {id(p): path for path, p in self.named_parameters()}

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Call the user's function with the given inputs, and copies of the others."""
        args, kwargs = self.subject.arguments(inputs)
        return self.subject.function(*args, **kwargs)

    def keys(self) -> dict[str, str]:
        """Return the path in here of each parameter, by the name that the subject gives it."""
        return {name: self._paths[id(p)] for name, p in self.subject.parameters.items()}

    def others(self, name: str) -> dict[str, torch.Tensor]:
        """Return everything that a forward pass might write into but the named leaf: buffers and inputs."""
        args, kwargs = self.subject.arguments({})
        paths = [*tree.tensors(args, "inputs"), *tree.tensors(kwargs, "kwargs")]
        inputs = {path: tensor for path, tensor in paths if path in self.subject.inputs and path != name}
        return inputs | dict(self.named_buffers())

    def outputs(self, values: Mapping[str, torch.Tensor], keys: Mapping[str, str]) -> Sequence[torch.Tensor]:
        """Return the differentiable outputs with the given parameters, buffers and inputs."""
        inputs = {name: value for name, value in values.items() if name in self.subject.inputs}
        inner = {keys.get(name, name): value for name, value in values.items() if name not in inputs}
        return self.subject.chosen(functional_call(self, inner, (inputs,)))
