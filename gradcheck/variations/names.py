"""What the variations are called, in the order in which they run.

Apart from what they do, so that a name is checked where it is typed without loading PyTorch.
"""

from __future__ import annotations

JAX_ONLY = ("under jit", "under vmap")
NAMES = (
    "nothing changed in place",
    "repeated backward",
    "linearity",
    "each output alone",
    "cotangent layouts",
    "requires_grad subsets",
    "non-contiguous inputs",
    "same tensor twice",
    "zeros",
    "some zeros",
    "ties",
    "signs flipped",
    "large magnitudes",
    "repeated indices",
    "zero indices",
    "whole and empty masks",
    "other settings",
    "other sizes",
    *JAX_ONLY,
)
