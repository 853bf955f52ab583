"""What the variations are called, in the order in which they run.

Apart from what they do, so that a name is checked where it is typed without loading PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

JAX_ONLY = ("under jit",)
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
    "forward mode",
    "under vmap",
    *JAX_ONLY,
)
# Rules besides the backward pass.
RULES = frozenset({"forward mode", "under vmap"})
# Those that give other numbers, or sizes, than the given ones: they may lie outside of a function's domain.
ELSEWHERE = frozenset(NAMES[NAMES.index("zeros") : NAMES.index("other sizes") + 1])


def advice(failed: Sequence[str]) -> str:
    """Return what to do where a function is not meant for the inputs of failed variations; "" for others."""
    elsewhere = [name for name in failed if name in ELSEWHERE]
    if not elsewhere:
        return ""
    those = "those" if len(elsewhere) > 1 else "that"
    return (
        f"is the function not meant for inputs such as those under {', '.join(elsewhere)}? "
        f"variations={{...}} tries what it names alone: leave {those} out"
    )
