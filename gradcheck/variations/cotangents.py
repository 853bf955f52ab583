"""Other cotangents: undefined, of other layouts, sums of two."""

from __future__ import annotations

import torch

from gradcheck import tolerances
from gradcheck.report.records import VariationResult
from gradcheck.variations.base import Context, Gradients, Skip, apart, differing, failed, passed

_OUTPUTS = 6
# What an expanded cotangent is full of; not 1, which a backward pass may take an expanded one for.
_EXPANDED = 0.37
# Backward passes that clip, or that flush small numbers to zero, do so far from 1; half precision does not
# reach that far.
_FACTORS, _NARROW_FACTORS, _NARROW = (1000.0, 0.001), (8.0, 0.125), 1e-4


def each_output_alone(context: Context) -> VariationResult:
    """Differentiate each output alone, the others' cotangents undefined, then zero.

    The gradients of single outputs add up to the gradient of all; an undefined cotangent means zero.
    """
    name = "each output alone"
    subject, us = context.subject, context.cotangents
    if not 2 <= len(us) <= _OUTPUTS:
        raise Skip("there is one output" if len(us) < 2 else f"there are {len(us)} outputs")
    total: dict[str, torch.Tensor | None] = {}
    for i, u in enumerate(us):
        undefined = subject.pull_back([u if j == i else None for j in range(len(us))])
        zero = subject.pull_back([u if j == i else torch.zeros_like(v) for j, v in enumerate(us)])
        wrong = differing(context, undefined, zero, subject.names)
        if wrong:
            path = subject.output_paths[i] or "output"
            return failed(
                name,
                f"with {path} used alone, undefined cotangents of the others are not taken as zeros",
                wrong,
            )
        total = _add(total, undefined)
    wrong = _nonlinear(context, total, context.gradients)
    if wrong:
        return failed(
            name, "the gradients of the outputs used one by one do not add up to that of all", wrong
        )
    return passed(name)


def _add(total: dict[str, torch.Tensor | None], more: Gradients) -> dict[str, torch.Tensor | None]:
    result = dict(total)
    for name, gradient in more.items():
        known = result.get(name)
        result[name] = gradient if known is None else known if gradient is None else known + gradient
    return result


def cotangent_layouts(context: Context) -> VariationResult:
    """Give the same cotangents non-contiguous, and cotangents expanded from a single number."""
    name = "cotangent layouts"
    subject, us = context.subject, context.cotangents
    strided = [_strided(u) for u in us]
    if any(s is not u for s, u in zip(strided, us, strict=True)):
        wrong = differing(context, subject.pull_back(strided), context.gradients, subject.names)
        if wrong:
            return failed(
                name,
                "a non-contiguous cotangent gives another gradient than the same numbers contiguous",
                wrong,
            )
    if all(u.ndim == 0 for u in us):
        raise Skip("the outputs are scalars")
    full = [torch.full_like(u, _EXPANDED) for u in us]
    expanded = [torch.full((), _EXPANDED, dtype=u.dtype, device=u.device).expand(u.shape) for u in us]
    wrong = differing(context, subject.pull_back(expanded), subject.pull_back(full), subject.names)
    if wrong:
        return failed(
            name,
            "an expanded cotangent, as sum() and mean() send, gives another gradient than a contiguous one",
            wrong,
        )
    return passed(name)


def _strided(u: torch.Tensor) -> torch.Tensor:
    if u.ndim == 0 or u.numel() < 2:
        return u
    if u.ndim == 1:
        return torch.stack([u, torch.full_like(u, 7.0)], dim=-1)[..., 0]
    return u.transpose(0, -1).contiguous().transpose(0, -1)


def linearity(context: Context) -> VariationResult:
    """Check backward(u + w) = backward(u) + backward(w), backward(c u) = c backward(u), backward(0) = 0."""
    name = "linearity"
    for differs in (_sum_differs, _multiple_differs, _zero_differs):  # each lets its gradients go
        wrong, how = differs(context)
        if wrong:
            return failed(name, f"backward is not linear: {how}", wrong)
    return passed(name)


def _nonlinear(context: Context, found: Gradients, expected: Gradients) -> list[str]:
    """Return the leaves whose gradients differ by more than what an iteration leaves out where it stops.

    That is as much for a thousandth of the cotangent, and so a larger share of the gradient.
    """
    wrong = differing(context, found, expected, context.subject.names)
    shares = [apart(found.get(name), expected.get(name)) for name in wrong]
    return [] if tolerances.explain_shares(context.subject, shares) else wrong


def _sum_differs(context: Context) -> tuple[list[str], str]:
    subject, us = context.subject, context.cotangents
    ws = [w * 0.5 for w in context.exam.cotangents()]
    both = subject.pull_back([u + w for u, w in zip(us, ws, strict=True)])
    added = _add(dict(context.gradients), subject.pull_back(ws))
    wrong = _nonlinear(context, both, added)
    return wrong, "backward(u + w) differs from backward(u) + backward(w)"


def _multiple_differs(context: Context) -> tuple[list[str], str]:
    subject, wrong, factor = context.subject, [], 1.0
    for factor in _FACTORS if subject.epsilon < _NARROW else _NARROW_FACTORS:
        scaled = subject.pull_back([u * factor for u in context.cotangents])
        back = {key: None if g is None else g / factor for key, g in scaled.items()}
        wrong = _nonlinear(context, back, context.gradients)
        if wrong:
            break
    return wrong, f"{factor:g} times the cotangent does not give {factor:g} times the gradient"


def _zero_differs(context: Context) -> tuple[list[str], str]:
    subject = context.subject
    zero = subject.pull_back([torch.zeros_like(u) for u in context.cotangents])
    nothing = {
        key: None if g is None else torch.where(torch.isfinite(g), torch.zeros_like(g), g)
        for key, g in context.gradients.items()
    }
    wrong = _nonlinear(context, zero, nothing)
    return wrong, "a cotangent of zeros gives a gradient that is not zero"
