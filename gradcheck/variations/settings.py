"""The same function with other settings: one that a backward pass forgets, or has a constant for, shows then.

Where 1 or 0 is given, that is so of any code that is not PyTorch's own. Of a hand-written Function the other
numbers, flags, small integers and words are changed too, among the arguments and among those that reach the
Function by another way: a default, or an attribute of a module.

Only settings on which the value depends are changed. One that the forward pass does not heed, such as the
factor of a layer that scales gradients, is a deviation that somebody wants.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gradcheck.blame import patches
from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import alternatives
from gradcheck.variations.base import Context, Skip, differing, failed, passed
from gradcheck.variations.elsewhere import judge_subject

# So many neutral numbers, and so many flags, integers and words, are changed, each alone.
_MOST = 3
# Outputs that change by less, relative to the largest, tell little: tolerances, seeds of nothing.
_RESPONDS = 1e-5
# Tables, tensors that get no gradient, are multiplied by this.
_MOVED = 0.93
# A step function is looked for at this distance.
_STEP = 1e-7
_HINT = "; is it forgotten in the backward pass, or a constant in its place?"
_DOUBT = "not judged: a straight-through gradient, or another argument tells the backward pass"


@dataclass(frozen=True, eq=False)
class Setting:
    """Where a value is given: to the subject by position or keyword (``cls`` None), or to a Function."""

    cls: Any
    key: int | str
    value: Any

    def __str__(self) -> str:
        if self.cls is not None:
            return f"argument {self.key} of {self.cls.__qualname__.split('<locals>.')[-1]}"
        return f"inputs[{self.key}]" if isinstance(self.key, int) else f'kwargs["{self.key}"]'


def other_settings(context: Context) -> VariationResult:
    """Give other settings: 0.7 for 1 and 0, other numbers near those given, other flags and words."""
    name = "other settings"
    tried: list[str] = []
    for result in _tries(context):
        tried.append(result.name)
        if result.verdict is Verdict.FAIL:
            return failed(name, result.message, result.parameters)
    if not tried:
        raise Skip("no setting counts: an argument that is 1.0 or 0.0, or any of a hand-written Function")
    return passed(name, ", ".join(tried))


def _tries(context: Context) -> Iterator[VariationResult]:
    found = _settings(context)
    numbers = [setting for setting in found if type(setting.value) is float]
    neutral = [setting for setting in numbers if alternatives.is_neutral(setting.value)]
    yield from _few(_near(context, [setting]) for setting in neutral)
    if not context.handwritten:
        return
    yield from _numbers(context, [setting for setting in numbers if setting not in neutral])
    sizes = _sizes(context.subject)
    discrete = [setting for setting in found if type(setting.value) is not float]
    yield from _few(_another(context, setting, sizes) for setting in discrete)


def _few(results: Iterable[VariationResult | None]) -> Iterator[VariationResult]:
    count = 0
    for result in results:
        if result is not None:
            yield result
            count += 1
        if count == _MOST:
            return


def _numbers(context: Context, settings: list[Setting]) -> Iterator[VariationResult]:
    """Move all numbers together; one by one where they do not go together, or to find the one at fault."""
    together = _near(context, settings) if settings else None
    if len(settings) > 1 and (together is None or together.verdict is Verdict.FAIL):
        for result in _few(_near(context, [setting]) for setting in settings):
            yield result
            if result.verdict is Verdict.FAIL:
                return
    if together is not None:
        yield together


def _near(context: Context, settings: list[Setting]) -> VariationResult | None:
    return _at(context, {setting: alternatives.near(setting.value) for setting in settings})


def _another(context: Context, setting: Setting, sizes: frozenset[int]) -> VariationResult | None:
    results = (_at(context, {setting: other}) for other in alternatives.others(setting.value, sizes))
    return next((result for result in results if result is not None), None)


# Where settings are


def _settings(context: Context) -> list[Setting]:
    """Return the settings among the arguments, and those that reach hand-written Functions by another way."""
    given = _given(context.subject, _is_setting)
    known = {(type(setting.value), str(setting.value)) for setting in given}
    passed_on = _applied(context, _is_setting) if context.handwritten else []
    return [
        *given,
        *(setting for setting in passed_on if (type(setting.value), str(setting.value)) not in known),
    ]


def _given(subject: TorchSubject, wanted: Callable[[Any], bool]) -> list[Setting]:
    pairs: list[tuple[int | str, Any]] = [*enumerate(subject.args), *subject.kwargs.items()]
    return [Setting(None, key, value) for key, value in pairs if wanted(value)]


def _applied(context: Context, wanted: Callable[[Any], bool]) -> list[Setting]:
    """Return the arguments of the hand-written Functions of a run that are wanted, by their first call."""
    found: dict[tuple[Any, int], Setting] = {}

    def visit(cls: Any, real: Any, args: Any, kwargs: Any) -> Any:
        if cls.__module__.partition(".")[0] != "torch":
            for i, value in enumerate(args):
                if wanted(value):
                    found.setdefault((cls, i), Setting(cls, i, value))
        return real(*args, **kwargs)

    with patches.function_apply(visit), torch.enable_grad(), context.subject.running({}):
        return list(found.values())


def _is_setting(value: Any) -> bool:
    if type(value) in (tuple, list):
        return bool(value) and all(type(each) is int for each in value)
    return type(value) in (float, bool, int, str)


def _sizes(subject: TorchSubject) -> frozenset[int]:
    """Return the lengths of all axes; of a kernel on a device, every small integer may be a length."""
    tensors = [*subject.inputs.values(), *subject.parameters.values()]
    if any(t.device.type != "cpu" for t in tensors):
        return frozenset(range(-alternatives.SMALL, alternatives.SMALL + 1))
    return frozenset(n for t in tensors for n in t.shape)


# What comes of them


@contextlib.contextmanager
def _changed(context: Context, changes: Mapping[Setting, Any]) -> Iterator[TorchSubject | None]:
    """Give the started subject with settings changed; None where its forward pass raises."""
    given = context.subject
    given.renew()  # it draws the same random numbers
    args, kwargs = list(given.args), dict(given.kwargs)
    for setting, value in changes.items():
        if setting.cls is None:
            (args if isinstance(setting.key, int) else kwargs)[setting.key] = value  # type: ignore[index]  # a list has positions, a dictionary keywords
    subject = TorchSubject(
        given.function, args, kwargs, name=given.name, double=given.double, names=given.names
    )
    inside = [(setting, value) for setting, value in changes.items() if setting.cls is not None]
    with _passing(inside), subject:
        try:
            subject.start()
        except Exception:  # outside its domain a forward pass raises what it likes
            yield None
        else:
            yield subject


def _passing(inside: list[tuple[Setting, Any]]) -> contextlib.AbstractContextManager[None]:
    """Give Functions other values in the place of theirs."""

    def visit(called: Any, real: Any, args: Any, kwargs: Any) -> Any:
        values = list(args)
        for setting, value in inside:
            i = setting.key
            if (
                called is setting.cls
                and isinstance(i, int)
                and i < len(values)
                and _same(values[i], setting.value)
            ):
                values[i] = values[i] * _MOVED if _is_table(value) else value
        return real(*values, **kwargs)

    return patches.function_apply(visit) if inside else contextlib.nullcontext()


def _same(a: Any, b: Any) -> bool:
    return (_is_table(a) and _is_table(b)) or (type(a) is type(b) and _is_setting(a) and bool(a == b))


def _at(context: Context, changes: Mapping[Setting, Any]) -> VariationResult | None:
    """Verify with other settings; None where there is no value, or the same one.

    The search for the guilty operation does not see what is changed inside, and is not asked then.
    """
    label = " and ".join(
        f"{setting} made {alternatives.written(value)}" for setting, value in changes.items()
    )
    inside = any(setting.cls is not None for setting in changes)
    neutral = all(alternatives.is_neutral(setting.value) for setting in changes)
    with _changed(context, changes) as subject:
        if subject is None or not _responds(context.subject, subject):
            return None
        if not all(bool(torch.isfinite(out).all()) for out in subject.outputs):
            return None
        result = judge_subject(context, subject, label, search=not inside, may_raise=not neutral)
        if result is None or result.verdict is not Verdict.FAIL:
            return result
        doubtful = _is_step(subject, result.parameters)
    if doubtful or _another_tells(context, changes):
        return passed(label, _DOUBT)
    return replace(result, message=result.message + _HINT)


def _responds(given: TorchSubject, subject: TorchSubject) -> bool:
    if [out.shape for out in given.outputs] != [out.shape for out in subject.outputs]:
        return True
    pairs = zip(given.outputs, subject.outputs, strict=True)
    return any(
        bool((a - b).abs().max() > _RESPONDS * torch.maximum(a.abs().max(), b.abs().max()))
        for a, b in pairs
        if a.numel()
    )


def _is_step(subject: TorchSubject, names: Iterable[str]) -> bool:
    """Whether the outputs stay as they are when leaves are moved a little, as those of rounding do.

    A flag may turn a soft choice into a hard one, whose gradient is then a stand-in on purpose.
    """
    moved = {name: subject.variables[name] * (1 - _STEP) for name in names if name in subject.variables}
    return bool(moved) and all(
        torch.equal(a, b) for a, b in zip(subject.evaluate(moved), subject.outputs, strict=True)
    )


def _another_tells(context: Context, changes: Mapping[Setting, Any]) -> bool:
    """Whether some other argument moves the gradient, and not the value.

    Of a factor given together with its inverse, or with a table made of it, the backward pass may read the
    other one. Then changing one of them alone is no circumstance of the function.
    """
    changed = {(setting.cls, setting.key) for setting in changes}
    found = [*_given(context.subject, _is_witness), *_applied(context, _is_witness)]
    sizes = _sizes(context.subject)
    return any(
        _moves_only_the_gradient(context, {setting: other})
        for setting in found
        if (setting.cls, setting.key) not in changed
        for other in _of_witness(setting.value, sizes)[:1]
    )


def _is_witness(value: Any) -> bool:
    return _is_setting(value) or _is_table(value)


def _is_table(value: Any) -> bool:
    """Whether it is a tensor of numbers that gets no gradient."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and not value.requires_grad


def _of_witness(value: Any, sizes: frozenset[int]) -> Sequence[Any]:
    if isinstance(value, torch.Tensor):
        return (value * _MOVED,)
    return (alternatives.near(value),) if type(value) is float else alternatives.others(value, sizes)


def _moves_only_the_gradient(context: Context, changes: Mapping[Setting, Any]) -> bool:
    with _changed(context, changes) as subject:
        if subject is None or _responds(context.subject, subject):
            return False
        try:
            found = subject.pull_back(context.cotangents)
        except BackwardError:
            return False
        return bool(differing(context, found, context.gradients, context.subject.names))
