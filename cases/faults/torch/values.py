"""The tensors that programs are called with: float64, requiring grad, each the same in every run."""

from __future__ import annotations

import torch


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return standard normal numbers, none nearer to zero than 0.05."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn = torch.where(drawn.abs() < 0.05, 0.3, drawn)
    return drawn.to(dtype).requires_grad_()


def positive(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return numbers from 1/2 to 2."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.5 + 1.5 * drawn).to(dtype).requires_grad_()


def complex_normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return complex standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex128).requires_grad_()


def integers(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """Return integers from 0 to ``high`` - 1, with repetitions."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))
