"""Forward mode and vmap, where a hand-written Function has rules of its own for them.

``jvp`` gives the derivative along a direction by another road than ``backward``, and ``vmap`` (or
``generate_vmap_rule``) maps over many points at once. Both must agree with the gradient that was verified.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch.autograd import forward_ad

from gradcheck import judge
from gradcheck.blame.location import definition
from gradcheck.errors import first_line
from gradcheck.numerical import directions
from gradcheck.report.records import VariationResult
from gradcheck.subjects.torch import graph
from gradcheck.subjects.torch.functional import Caller
from gradcheck.subjects.torch.pullback import vjp
from gradcheck.variations.base import Context, Gradients, Skip, apart, differing, failed, passed

FORWARD, MAPPED = "forward mode", "under vmap"
# Points along the mapped axis, each this much further from the base point, in units of a leaf's scale.
_POINTS, _AWAY = 3, 2.0**-6
# What rounding may make of outputs that are computed in another order, in units of epsilon.
_ROUNDED = 1e4

Functions = Sequence[Any]


def forward_mode(context: Context) -> VariationResult:
    """Push a random direction forward: <u, jvp> must be what the gradient says of that direction."""
    functions = _with("jvp", context)
    caller = _caller(context)
    direction = context.exam.direction(context.pulled, list(context.exam.values))
    try:
        wrong = _against_gradient(context, caller, direction)
    except Exception as error:
        return _raised(FORWARD, "jvp", functions, error)
    if not wrong or context.exam.along(context.pulled, direction, blind=True).estimate.kink:
        return passed(FORWARD)
    alone = [name for name, v in direction.items() if _against_gradient(context, caller, {name: v})]
    return failed(FORWARD, f"{wrong}; {_places(functions, 'jvp')}", alone or list(direction))


def _against_gradient(context: Context, caller: Caller, direction: Mapping[str, torch.Tensor]) -> str:
    """Return how forward mode contradicts the verified gradient along a direction, "" where it does not."""
    exam, gradients = context.exam, context.pulled.gradients
    parts = [directions.inner(gradients[name], directions.to_numpy(v)) for name, v in direction.items()]
    claimed, size = sum(part for part, _ in parts), math.hypot(*(size for _, size in parts))
    epsilon = max(context.subject.epsilon, judge.SINGLE if context.imprecise else 0.0)
    pushed = _pushed(context, caller, direction)
    allowed = judge.rounded_again(epsilon) * size + 1e3 * epsilon * exam.magnitude
    if abs(pushed - claimed) <= allowed:
        return ""
    return f"along a random direction the jvp gives {pushed:.6g}, the verified gradient {claimed:.6g}"


def _pushed(context: Context, caller: Caller, direction: Mapping[str, torch.Tensor]) -> float:
    """Return <u, tangent of the outputs> by forward-mode differentiation."""
    subject = context.subject
    subject.renew()
    try:
        with torch.enable_grad(), forward_ad.dual_level():
            values = {name: _dual(subject.variables[name], v) for name, v in direction.items()}
            outputs = caller.outputs(values, caller.keys())
            tangents = [forward_ad.unpack_dual(out).tangent for out in outputs]  # type: ignore[no-untyped-call]  # untyped in torch
    finally:
        subject.renew()
    pairs = [(u, t) for u, t in zip(context.cotangents, tangents, strict=True) if t is not None]
    return sum(float((u.conj() * t.detach()).real.sum()) for u, t in pairs)


def _dual(value: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    dual: torch.Tensor = forward_ad.make_dual(value.clone(), tangent)  # type: ignore[no-untyped-call]  # as above
    return dual


def under_vmap(context: Context) -> VariationResult:
    """Map over points along a new axis: the first and the last of all inputs, and the first of each alone."""
    functions = _with("vmap", context)
    caller, inputs = _caller(context), context.inputs
    if not inputs:
        raise Skip("no input under verification to map over")
    if context.subject.randomised:
        raise Skip("draws random numbers")
    for names, axis in [(inputs, 0), (inputs, -1), *(([name], 0) for name in inputs if len(inputs) > 1)]:
        points = _points(context, names)
        alone = [_alone(context, point) for point in points]
        try:
            mapped = _mapped(context, caller, points, axis)
        except Exception as error:
            return _raised(MAPPED, "vmap", functions, error)
        wrong = [n for one, many in zip(alone, mapped, strict=True) for n in _changed(context, one, many)]
        if wrong:
            place = f"over the {'last' if axis else 'first'} axis of {', '.join(names)}"
            message = f"mapped {place} outputs or gradients are others; {_places(functions, 'vmap')}"
            return failed(MAPPED, message, list(dict.fromkeys(wrong)))
    return passed(MAPPED)


class _Found(NamedTuple):
    """The outputs at a point, and the gradients of <u, outputs> with respect to what was moved to it."""

    outputs: Sequence[torch.Tensor]
    gradients: Gradients


def _points(context: Context, names: Sequence[str]) -> list[dict[str, torch.Tensor]]:
    """Return values of the named leaves at some points, none of them the base point: it may be a kink."""
    ramp, base = context.exam.ramp(), context.subject.variables
    return [{name: base[name] + k * _AWAY * ramp[name] for name in names} for k in range(1, _POINTS + 1)]


def _alone(context: Context, point: Mapping[str, torch.Tensor]) -> _Found:
    subject = context.subject
    subject.renew()
    with torch.enable_grad(), subject.running(point) as (leaves, outputs):
        found = subject.gradients(leaves, outputs, context.cotangents)
    return _Found([outputs[path].detach() for path in subject.output_paths], {n: found[n] for n in point})


def _mapped(
    context: Context, caller: Caller, points: Sequence[Mapping[str, torch.Tensor]], axis: int
) -> list[_Found]:
    """Return the same for each point, all of them at once."""
    subject, names, keys = context.subject, list(points[0]), caller.keys()
    stacked = [torch.stack([point[name] for point in points], axis).requires_grad_() for name in names]

    def run(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(caller.outputs(dict(zip(names, values, strict=True)), keys))

    subject.renew()
    try:
        with torch.enable_grad():
            outputs = torch.vmap(run, in_dims=axis, randomness="same")(*stacked)
            pairs = list(zip(outputs, context.cotangents, strict=True))
            felt = [(out, u) for out, u in pairs if out.requires_grad and out[0].shape == u.shape]
            found = vjp([out for out, _ in felt], stacked, [u.expand_as(out) for out, u in felt])
    finally:
        subject.renew()
    return [
        _Found(
            [out[k].detach() for out in outputs],
            {n: None if g is None else g.select(axis, k) for n, g in zip(names, found, strict=True)},
        )
        for k in range(len(points))
    ]


def _changed(context: Context, alone: _Found, mapped: _Found) -> list[str]:
    """Return the leaves whose gradients are others when mapped; all of them where the outputs are."""
    allowed = _ROUNDED * context.subject.epsilon
    same = all(apart(a, b) <= allowed for a, b in zip(mapped.outputs, alone.outputs, strict=True))
    names = list(alone.gradients)
    return differing(context, mapped.gradients, alone.gradients, names) if same else names


# The Functions


def _with(rule: str, context: Context) -> Functions:
    """Return the Functions of a run that have a rule of their own; raises Skip where none has."""
    if not context.handwritten:
        raise Skip("no hand-written Function")
    with torch.enable_grad(), context.subject.running({}) as (_, outputs):
        classes = {getattr(node, "_forward_cls", None) for node in graph.nodes(outputs.values())}
    found = [cls for cls in classes if cls is not None and _has(cls, rule)]
    if not found:
        raise Skip(f"no hand-written Function has a rule for it ({rule})")
    return sorted(found, key=lambda cls: str(cls.__name__))


def _has(cls: Any, rule: str) -> bool:
    if cls.__module__.partition(".")[0] == "torch":
        return False
    generated = rule == "vmap" and bool(getattr(cls, "generate_vmap_rule", False))
    return generated or getattr(cls, rule) is not getattr(torch.autograd.Function, rule)


def _places(functions: Functions, rule: str) -> str:
    """Return where the rules stand: that of a generated one is the backward pass."""
    named = []
    for cls in functions:
        own = getattr(cls, rule) is not getattr(torch.autograd.Function, rule)
        written = rule if own else "backward"
        named.append(f"{cls.__name__}.{written} at {definition(getattr(cls, written))}")
    return "see " + ", ".join(named)


def _raised(name: str, rule: str, functions: Functions, error: Exception) -> VariationResult:
    """Fail where a rule itself raises; what else does so may not be made for it."""
    codes = {getattr(getattr(cls, rule), "__code__", None) for cls in functions}
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            text = f"{type(error).__name__}: {first_line(error)[:160]}"
            return failed(name, f"the {rule} raises {text}; {_places(functions, rule)}")
        traceback = traceback.tb_next
    raise Skip(f"{type(error).__name__}: {first_line(error)[:120]}")


def _caller(context: Context) -> Caller:
    if context.subject.captured:
        raise Skip("parameters that neither a module nor an argument holds")
    return Caller(context.subject)
