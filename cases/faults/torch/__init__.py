"""Planted faults in PyTorch code, by class; importing this loads torch."""

from __future__ import annotations

from cases.faults.torch import (
    accumulation,
    algebra,
    attention,
    classical,
    corners,
    cotangents,
    division,
    exact_values,
    losses,
    masks,
    missing,
    mutation,
    norms,
    options,
    precision,
    reductions,
    repeats,
    sampling,
    scans,
    second_order,
    settings,
    strides,
    subsets,
    tails,
)
from cases.faults.torch.fault import NEEDS, Program, TorchFault

TORCH_FAULTS: tuple[TorchFault, ...] = (
    *exact_values.FAULTS,
    *division.FAULTS,
    *repeats.FAULTS,
    *strides.FAULTS,
    *cotangents.FAULTS,
    *options.FAULTS,
    *tails.FAULTS,
    *missing.FAULTS,
    *reductions.FAULTS,
    *masks.FAULTS,
    *mutation.FAULTS,
    *second_order.FAULTS,
    *precision.FAULTS,
    *subsets.FAULTS,
    *accumulation.FAULTS,
    *classical.FAULTS,
    *attention.FAULTS,
    *losses.FAULTS,
    *norms.FAULTS,
    *sampling.FAULTS,
    *scans.FAULTS,
    *algebra.FAULTS,
    *corners.FAULTS,
    *settings.FAULTS,
)

__all__ = ["NEEDS", "TORCH_FAULTS", "Program", "TorchFault"]
