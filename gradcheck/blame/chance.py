"""Random directions and cotangents, drawn where the tensors live, from generators that nobody else uses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from gradcheck.blame.arrangement import all_finite, arrange

_ROOT3 = math.sqrt(3.0)
_SAMPLE = 4096
# Entries larger than this many times the typical one are moved by their own size: a score masked with -1e9
# must not set the scale of the others, nor drown its own movement in rounding.
_LARGE = 100.0


class Chance:
    """Random tensors. ``generator`` seeds one PyTorch generator per device."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._seed = int(generator.integers(2**62))
        self._generators: dict[torch.device, torch.Generator] = {}

    def _uniform(self, shape: Sequence[int], low: float, high: float, like: torch.Tensor) -> torch.Tensor:
        if like.device not in self._generators:
            self._generators[like.device] = torch.Generator(like.device).manual_seed(self._seed)
        real = like.real.dtype if like.is_complex() else like.dtype
        empty = torch.empty(tuple(shape), dtype=real, device=like.device)
        return empty.uniform_(low, high, generator=self._generators[like.device])

    def direction(self, point: torch.Tensor) -> torch.Tensor:
        """Return a direction of the point's scale; 0 where the point is not finite.

        Along expanded axes it is constant, as the point is. Entries are uniform: an error hides less
        often than under a normal distribution, whose density at 0 is higher.
        """
        noise = self._uniform(point.shape, -_ROOT3, _ROOT3, point)
        if point.is_complex():
            noise = torch.complex(noise, self._uniform(point.shape, -_ROOT3, _ROOT3, point))
        magnitude = point.abs()
        typical, largest = _typical(magnitude)
        if largest <= _LARGE * typical:
            return _constant_along_expanded(noise.mul_(typical), point)
        scale = torch.where(magnitude <= _LARGE * typical, typical, magnitude)
        scale = torch.where(torch.isfinite(point), scale, 0.0)
        return _constant_along_expanded(noise * scale, point)

    def cotangent(self, output: torch.Tensor, strides: Sequence[int] | None = None) -> torch.Tensor:
        """Return a cotangent of random signs and sizes from 1/2 to 3/2, with the given strides.

        It is 0 where the output is not finite. Outputs without strides (sparse ones) get ones.
        """
        if output.layout is not torch.strided:
            return torch.ones_like(output)
        value = self._signed(output)
        if output.is_complex():
            value = torch.complex(value, self._signed(output))
        if not all_finite(output):
            value = torch.where(torch.isfinite(output), value, 0)
        return value if strides is None else arrange(value, strides)

    def _signed(self, output: torch.Tensor) -> torch.Tensor:
        value = self._uniform(output.shape, -1.0, 1.0, output)
        return value + torch.where(value < 0, -0.5, 0.5).to(value.dtype)


def _constant_along_expanded(value: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    for axis, stride in enumerate(point.stride()):
        if stride == 0 and point.shape[axis] > 1:
            value = value.narrow(axis, 0, 1).expand_as(value)
    return value


def _typical(magnitude: torch.Tensor) -> tuple[float, float]:
    """Return a size that three quarters of the nonzero entries exceed, and the largest; from a sample."""
    if magnitude.numel() == 0:
        return 1.0, 1.0
    flat = magnitude.reshape(-1)
    sample = flat[:: max(1, flat.numel() // _SAMPLE)].double()
    sample = sample[torch.isfinite(sample) & (sample > 0)]
    largest = float(flat.max())
    if sample.numel() == 0:
        return 1.0, largest if largest > 0 else 1.0
    return float(sample.kthvalue(1 + sample.numel() // 4).values), largest
