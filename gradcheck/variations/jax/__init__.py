"""The same JAX function in other circumstances: cotangents, parts of the leaves, transformations, points.

JAX's arrays have no strides and never change, so what PyTorch's need beside these does not arise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.jax import BackwardError
from gradcheck.variations.jax.context import JaxContext, Skip
from gradcheck.variations.jax.elsewhere import SPECIAL, other_sizes, special
from gradcheck.variations.jax.same_point import (
    each_output_alone,
    linearity,
    repeated_backward,
    subsets,
    under_jit,
    under_vmap,
)

__all__ = ["JaxContext", "run"]

_SECONDS = 10.0  # for all of them
_FOREIGN = {
    **dict.fromkeys(
        ("nothing changed in place", "cotangent layouts", "non-contiguous inputs", "same tensor twice"),
        "JAX's arrays never change and have no layout",
    ),
    "forward mode": "JAX makes a backward pass of the rule for it, or has none",
}


VARIATIONS: Mapping[str, Callable[[JaxContext], str]] = {
    "repeated backward": repeated_backward,
    "linearity": linearity,
    "each output alone": each_output_alone,
    "requires_grad subsets": subsets,
    "under jit": under_jit,
    "under vmap": under_vmap,
    **{label: special(label) for label in SPECIAL},
    "other sizes": other_sizes,
}


def run(context: JaxContext) -> tuple[VariationResult, ...]:
    """Run the variations asked for, within the time for them."""
    chosen = context.options.variations
    asked = isinstance(chosen, frozenset)
    names = [n for n in (*_FOREIGN, *VARIATIONS) if n in chosen] if asked else list(VARIATIONS)  # type: ignore[operator]  # a set where asked
    end = time.perf_counter() + (float("inf") if asked else _SECONDS)
    context = replace(context, deadline=end)
    return tuple(_one(name, context) for name in names)


def _one(name: str, context: JaxContext) -> VariationResult:
    if name in _FOREIGN:
        return VariationResult(name, None, f"skipped: {_FOREIGN[name]}")
    if time.perf_counter() > context.deadline:
        return VariationResult(name, None, f"skipped: over budget; ask for it with variations={{{name!r}}}")
    try:
        message = VARIATIONS[name](context)
    except Skip as reason:
        return VariationResult(name, None, f"skipped: {reason}")
    except BackwardError as error:
        message = f"the backward pass raises {str(error)[:200]}"
    except Exception as error:  # a circumstance may be refused, for any reason
        if name in ("under jit", "under vmap"):
            message = f"{name} the gradient raises {type(error).__name__}: {str(error)[:160]}"
        else:
            return VariationResult(name, None, f"skipped: {type(error).__name__}: {str(error)[:120]}")
    return VariationResult(name, Verdict.FAIL if message else Verdict.PASS, message)
