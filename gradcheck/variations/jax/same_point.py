"""The same point: again, with other cotangents, for parts of the leaves, and transformed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradcheck.numerical import directions
from gradcheck.variations.jax.context import Array, Gradients, JaxContext, Skip

_SUBSETS = 6
_OUTPUTS = 6
_COPIES = 3  # the length of the axis that vmap maps over
_FACTORS, _NARROW_FACTORS, _NARROW = (1000.0, 0.001), (8.0, 0.125), 1e-4


def repeated_backward(context: JaxContext) -> str:
    """Pull back twice through one linearisation, and once through a fresh one."""
    with context.subject.precise():
        _, pull = context.subject.linearised()
        first, second = pull(context.cotangents), pull(context.cotangents)
    if context.differing(second, first):
        return "a second backward pass over the same residuals gives another gradient"
    if context.differing(first):
        return "the gradient differs from one run to the next, with nothing changed in between"
    return ""


def linearity(context: JaxContext) -> str:
    """Check backward(u + w) = backward(u) + backward(w), backward(c u) = c backward(u), backward(0) = 0."""
    us, pull = context.cotangents, context.subject.pull_back
    ws = [w * np.asarray(0.5, w.dtype) for w in context.exam.cotangents()]
    both, other = pull([u + w for u, w in zip(us, ws, strict=True)]), pull(ws)
    if context.differing(both, _sum(context.gradients, other)):
        return "backward is not linear: backward(u + w) differs from backward(u) + backward(w)"
    for factor in _FACTORS if context.subject.epsilon < _NARROW else _NARROW_FACTORS:
        scaled = pull([u * np.asarray(factor, u.dtype) for u in us])
        back = {name: None if g is None else directions.to_numpy(g) / factor for name, g in scaled.items()}
        if context.differing(back):
            return (
                f"backward is not linear: {factor:g} times the cotangent does not give {factor:g} times the "
                "gradient"
            )
    zero = pull([np.zeros_like(u) for u in us])
    nothing = {n: None if g is None else np.where(np.isfinite(g), 0, g) for n, g in context.gradients.items()}
    if context.differing(zero, nothing):
        return "backward is not linear: a cotangent of zeros gives a gradient that is not zero"
    return ""


def each_output_alone(context: JaxContext) -> str:
    """Differentiate each output alone, the others' cotangents zero; the gradients add up to that of all."""
    us = context.cotangents
    if not 2 <= len(us) <= _OUTPUTS:
        raise Skip("there is one output" if len(us) < 2 else f"there are {len(us)} outputs")
    total: Gradients | None = None
    for i in range(len(us)):
        found = context.subject.pull_back([u if i == j else None for j, u in enumerate(us)])
        total = found if total is None else _sum(total, found)
    if total is not None and context.differing(total):
        return "the gradients of the outputs used one by one do not add up to that of all"
    return ""


def subsets(context: JaxContext) -> str:
    """Differentiate with respect to each leaf alone: its gradient must not change."""
    names = context.subject.names
    if len(names) < 2:
        raise Skip("there is one leaf")
    for name in names[:_SUBSETS]:
        found = context.subject.pull_back(context.cotangents, names=[name])
        if context.differing(found):
            return f"when differentiated for {name} alone, its gradient is another one"
    return ""


def under_jit(context: JaxContext) -> str:
    """Compile forward and backward pass together."""
    found = context.transformed(jax.jit)
    return "under jax.jit the gradient is another one" if context.differing(found) else ""


def under_vmap(context: JaxContext) -> str:
    """Map over copies along a new axis: each must get the same gradient."""

    def copied(run: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(*arguments: Any) -> Any:
            copies = jax.tree_util.tree_map(lambda a: jax.numpy.stack([a] * _COPIES), arguments)
            return jax.tree_util.tree_map(lambda a: a[-1], jax.vmap(run)(*copies))

        return _compiled(mapped)

    found = context.transformed(copied)
    return "under jax.vmap the gradient is another one" if context.differing(found) else ""


def _compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as a whole where it can be, rather than each of its operations."""

    def call(*arguments: Any) -> Any:
        try:
            return jax.jit(run)(*arguments)
        except Exception:  # told by the plain call, if it raises, too
            return run(*arguments)

    return call


def _sum(a: Gradients, b: Gradients) -> dict[str, Array | None]:
    def both(g: Array | None, h: Array | None) -> Array | None:
        return h if g is None else g if h is None else directions.to_numpy(g) + directions.to_numpy(h)

    return {name: both(a[name], b[name]) for name in a}


# Other points
