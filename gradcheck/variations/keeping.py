"""A change of tensors that keeps what their values have in common by design. See ``domain``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations import domain

# Takes an input and its number among the inputs.
Change = Callable[[torch.Tensor, int], torch.Tensor]
INDICES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def kept(subject: TorchSubject, change: Change) -> Change:
    """Return the change, followed by what gives inputs of the subject back what they were by design.

    Raises ``ValueError`` where nothing does.
    """
    given = list(subject.inputs.items())
    differentiated = [name in subject.names for name, _ in given]

    def changed(t: torch.Tensor, number: int) -> torch.Tensor:
        new = change(t, number)
        if t.layout is not torch.strided or new is t:
            return new
        if t.dtype in INDICES:
            integers = domain.keep_integers(t.cpu().numpy(), new.cpu().numpy())
            return torch.from_numpy(integers).to(new)
        if not t.is_floating_point():
            return new
        name, bystander = given[number][0], any(differentiated) and not differentiated[number]
        epsilon = float(torch.finfo(given[number][1].dtype).eps)
        values = domain.keep(_numpy(t), _numpy(new), epsilon, bystander)
        if values is None:
            raise ValueError(f"{name} cannot be changed so and stay what it is.")
        return torch.from_numpy(values).to(new)

    return changed


def _numpy(t: torch.Tensor) -> domain.Array:
    return t.detach().to("cpu", torch.float64).numpy()
