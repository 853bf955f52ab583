"""A change of tensors that keeps what their values have in common by design. See ``domain``."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch

from gradcheck.subjects.torch import TorchSubject, layout
from gradcheck.variations import domain

# Takes an input and its number among the inputs.
Change = Callable[[torch.Tensor, int], torch.Tensor]
INDICES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


# What was seen in the inputs of a subject, by their number: every variation asks again.
_SEEN: WeakKeyDictionary[TorchSubject, dict[int, list[domain.Property]]] = WeakKeyDictionary()


def kept(subject: TorchSubject, change: Change) -> Change:
    """Return the change, followed by what gives inputs of the subject back what they were by design.

    Raises ``ValueError`` where nothing does.
    """
    given = list(subject.inputs.items())
    seen = _SEEN.setdefault(subject, {})

    def changed(t: torch.Tensor, number: int) -> torch.Tensor:
        new = change(t, number)
        if t.layout is not torch.strided or new is t:
            return new
        if t.dtype in INDICES:
            return torch.from_numpy(domain.keep_integers(t.cpu().numpy(), new.cpu().numpy())).to(new)
        if not t.is_floating_point():
            return new
        name, tensor = given[number]
        epsilon = layout.spacing(tensor.dtype)
        if number not in seen:
            bystander, singled_out = _is_bystander(subject, name), _is_singled_out(subject, name)
            seen[number] = domain.held(_numpy(t), epsilon, bystander, singled_out)
        if not seen[number]:
            return new
        values = domain.keep(_numpy(t), _numpy(new), seen[number], epsilon)
        if values is None:
            raise ValueError(f"{name} cannot be changed so and stay what it is.")
        return torch.from_numpy(values).to(new)

    return changed


def _is_bystander(subject: TorchSubject, name: str) -> bool:
    """Whether others among the inputs are differentiated for, and this one is not."""
    return name not in subject.names and any(other in subject.names for other in subject.inputs)


def _is_singled_out(subject: TorchSubject, name: str) -> bool:
    """Whether another input that is differentiated for, and no smaller, has numbers of both signs."""
    size = subject.inputs[name].numel()
    others = [subject.inputs[other] for other in subject.names if other in subject.inputs and other != name]
    return any(
        t.is_floating_point() and t.numel() >= size and bool((t > 0).any()) and bool((t < 0).any())
        for t in others
    )


def _numpy(t: torch.Tensor) -> domain.Array:
    return t.detach().to("cpu", torch.float64).numpy()
