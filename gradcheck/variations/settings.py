"""The same function with other settings: one that a backward pass forgets, or has a constant for, shows then.

Where 1 or 0 is given, that is so of any code that is not PyTorch's own. Of a hand-written Function the other
numbers, flags, small integers and words are changed too, among the arguments and among those that reach the
Function by another way: a default, or an attribute of a module.

Only settings on which the value depends are changed. One that the forward pass does not heed, such as the
factor of a layer that scales gradients, is a deviation that somebody wants.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import alternatives, given
from gradcheck.variations.base import Context, Skip, differing, enters, failed, passed
from gradcheck.variations.elsewhere import judge_subject
from gradcheck.variations.given import Setting
from gradcheck.variations.points import NoPoint

# So many neutral numbers, and so many flags, integers and words, are changed, each alone.
_MOST = 3
# Among so many numbers the one is looked for that is wrong when all are moved.
_SOUGHT = 8
# Outputs that change by less, relative to the largest, tell little: tolerances, seeds of nothing.
_RESPONDS = 1e-5
# A step function is looked for at this distance.
_STEP = 1e-7
_HINT = "; is it forgotten in the backward pass, or a constant in its place?"
_DOUBT = "not judged, as the value has steps there, or another argument tells the backward pass"


class _Refused(Exception):
    """The forward pass raises."""


def other_settings(context: Context) -> VariationResult:
    """Give other settings: 0.7 for 1 and 0, other numbers near those given, other flags and words."""
    name = "other settings"
    tried: list[str] = []
    for result in _tries(context):
        tried.append(result.message or result.name)
        if result.verdict is Verdict.FAIL:
            return failed(name, result.message, result.parameters)
    if not tried:
        raise Skip("no setting counts: an argument that is 1.0 or 0.0, or any of a hand-written Function")
    return passed(name, ", ".join(tried))


def _tries(context: Context) -> Iterator[VariationResult]:
    found = _settings(context)
    numbers = [setting for setting in found if type(setting.value) is float]
    neutral = [setting for setting in numbers if alternatives.is_neutral(setting.value)]
    yield from _few(context, neutral, _near)
    if not context.handwritten:
        return
    yield from _together(context, [setting for setting in numbers if setting not in neutral])
    discrete = [setting for setting in found if type(setting.value) is not float]
    yield from _few(context, discrete, _another)


def _few(
    context: Context,
    settings: Iterable[Setting],
    change: Callable[[Context, Setting], VariationResult | None],
    most: int = _MOST,
) -> Iterator[VariationResult]:
    """Change one after the other, until enough of them counted."""
    for setting in settings:
        if most == 0 or time.perf_counter() > context.deadline:
            return
        result = change(context, setting)
        if result is not None:
            yield result
            most -= 1


def _together(context: Context, settings: list[Setting]) -> Iterator[VariationResult]:
    """Move numbers together, and one by one where that does not go, or goes wrong."""
    if len(settings) < 2:
        yield from _few(context, settings, _near)
        return
    result = _tried(context, {setting: alternatives.near(setting.value) for setting in settings})
    if result is not None and result.verdict is Verdict.PASS:
        yield result
    else:
        yield from _few(context, settings, _near, _MOST if result is None else _SOUGHT)


def _near(context: Context, setting: Setting) -> VariationResult | None:
    return _tried(context, {setting: alternatives.near(setting.value)})


def _tried(context: Context, changes: Mapping[Setting, Any]) -> VariationResult | None:
    try:
        return _at(context, changes)
    except _Refused:
        return None


def _another(context: Context, setting: Setting) -> VariationResult | None:
    """Give another value; a third one only where the forward pass refuses the second.

    One less than a limit that is not reached, or than the steps that an iteration needs, is none of them.
    """
    for other in alternatives.others(setting.value, _sizes(context.subject), setting.name):
        with contextlib.suppress(_Refused):
            return _at(context, {setting: other})
    return None


# Where settings are


def _settings(context: Context) -> list[Setting]:
    """Return the settings among the arguments, and those that reach hand-written Functions by another way."""
    own = given.given(context.subject, given.is_setting)
    known = {(type(setting.value), str(setting.value)) for setting in own}
    passed_on = given.applied(context, given.is_setting) if context.handwritten else []
    return [
        *own,
        *(setting for setting in passed_on if (type(setting.value), str(setting.value)) not in known),
    ]


def _sizes(subject: TorchSubject) -> frozenset[int]:
    """Return the lengths of all axes; of a kernel on a device, every small integer may be a length."""
    tensors = [*subject.inputs.values(), *subject.parameters.values()]
    if any(t.device.type != "cpu" for t in tensors):
        return frozenset(range(-alternatives.SMALL, alternatives.SMALL + 1))
    return frozenset(n for t in tensors for n in t.shape)


# What comes of them


def _at(context: Context, changes: Mapping[Setting, Any]) -> VariationResult | None:
    """Verify with other settings; None where the value stays the same, or is no number.

    The search for the guilty operation does not see what is changed inside, and is not asked then.
    """
    label = " and ".join(
        f"{setting} made {alternatives.written(value)}" for setting, value in changes.items()
    )
    inside = any(setting.cls is not None for setting in changes)
    neutral = all(alternatives.is_neutral(setting.value) for setting in changes)
    with given.changed(context, changes) as subject:
        if subject is None:
            raise _Refused
        if not _responds(context.subject, subject):
            return None
        if not all(bool(torch.isfinite(out).all()) for out in subject.outputs):
            return None
        try:
            result = judge_subject(context, subject, label, search=not inside, may_raise=not neutral)
        except NoPoint:
            return None
        if result is None or result.verdict is not Verdict.FAIL:
            return result
        doubtful = _is_step(subject, result.parameters)
    if doubtful or _another_tells(context, changes):
        return passed(label, f"{label}: {_DOUBT}")
    where = enters(context, [setting.cls.__name__ for setting in changes if setting.cls is not None])
    return replace(result, message=result.message + where + _HINT)


def _responds(own: TorchSubject, subject: TorchSubject) -> bool:
    if [out.shape for out in own.outputs] != [out.shape for out in subject.outputs]:
        return True
    pairs = [(a.to_dense(), b.to_dense()) for a, b in zip(own.outputs, subject.outputs, strict=True)]
    return any(
        bool((a - b).abs().max() > _RESPONDS * torch.maximum(a.abs().max(), b.abs().max()))
        for a, b in pairs
        if a.numel()
    )


def _is_step(subject: TorchSubject, names: Iterable[str]) -> bool:
    """Whether the outputs stay as they are when leaves are moved a little, as those of rounding do.

    A flag may turn a soft choice into a hard one, whose gradient is then a stand-in on purpose.
    """
    leaves = [(name, subject.variables[name]) for name in names if name in subject.variables]
    moved = {name: leaf * (1 - _STEP * torch.rand_like(leaf.real)) for name, leaf in leaves}
    return bool(moved) and all(
        torch.equal(a, b) for a, b in zip(subject.evaluate(moved), subject.outputs, strict=True)
    )


def _another_tells(context: Context, changes: Mapping[Setting, Any]) -> bool:
    """Whether some other argument moves the gradient, and not the value.

    Of a factor given together with its inverse, or with a table made of it, the backward pass may read the
    other one. Then changing one of them alone is no circumstance of the function.
    """
    changed = {(setting.cls, setting.key) for setting in changes}
    found = [*given.given(context.subject, _is_witness), *given.applied(context, _is_witness)]
    sizes = _sizes(context.subject)
    return any(
        _moves_only_the_gradient(context, {setting: other})
        for setting in found
        if (setting.cls, setting.key) not in changed
        for other in _of_witness(setting.value, sizes)[:1]
    )


def _is_witness(value: Any) -> bool:
    return given.is_setting(value) or given.is_table(value)


def _of_witness(value: Any, sizes: frozenset[int]) -> Sequence[Any]:
    if isinstance(value, torch.Tensor):
        return (value * given.MOVED,)
    return (alternatives.near(value),) if type(value) is float else alternatives.others(value, sizes)


def _moves_only_the_gradient(context: Context, changes: Mapping[Setting, Any]) -> bool:
    with given.changed(context, changes) as subject:
        if subject is None or _responds(context.subject, subject):
            return False
        try:
            found = subject.pull_back(context.cotangents)
        except BackwardError:
            return False
        return bool(differing(context, found, context.gradients, context.subject.names))
