"""Axes of different inputs that are equally long by chance, grown apart from each other.

Most must agree, and a forward pass that does not look, because it reads only so many rows, promises nothing.
That lengths are independent shows where each can be grown alone, and every time an output grows with it, as
with parts that are concatenated, or queries and keys. There a backward pass must take them, too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject, layout, tree
from gradcheck.variations import sizes
from gradcheck.variations.base import Context, Skip, failed, passed, started
from gradcheck.variations.elsewhere import judge_subject
from gradcheck.variations.points import NoPoint

NAME = "other sizes"
# So many axes are grown at most, and so many of those that can be are verified.
_TRIED, _VERIFIED = 6, 2
# A gradient that does not fit is a fault where lengths are independent: no check of its own has stopped it.
_MISFIT, _MEANT = "returned an invalid gradient", ": is it meant to work there?"
# What hands the memory of a tensor to code that may not look where it ends.
_POINTERS = frozenset({"data_ptr", "numpy", "__array__", "__dlpack__", "untyped_storage"})

# A name among the inputs, and an axis of it.
Axis = tuple[str, int]


def other_sizes(context: Context) -> VariationResult:
    """Grow and shrink axes of equal length together, then those of different inputs apart."""
    try:
        together, reason = sizes.other_sizes(context), ""
    except Skip as skipped:
        together, reason = None, str(skipped)
    if together is not None and together.verdict is Verdict.FAIL:
        return together
    tried = []
    for result in _apart(context) if context.handwritten else ():
        if result.verdict is Verdict.FAIL:
            return failed(NAME, result.message, result.parameters)
        tried.append(result.message or result.name)
    if together is None and not tried:
        raise Skip(reason)
    return passed(NAME, "; ".join([*([together.message] if together else []), *tried]))


def _apart(context: Context) -> Iterator[VariationResult]:
    given = context.subject
    axes = _axes(given)
    if not axes or any(t.device.type != "cpu" for t in given.inputs.values()) or _hands_out_memory(given):
        return
    free = [axis for axis in axes[:_TRIED] if not _late(context) and _is_free(given, axis)]
    lengths = [given.inputs[name].shape[k] for name, k in free]
    for length in dict.fromkeys(lengths):
        same = [axis for axis, n in zip(free, lengths, strict=True) if n == length]
        if len({name for name, _ in same}) > 1:
            for axis in same[:_VERIFIED]:
                yield from () if _late(context) else _verified(context, axis, length)


def _late(context: Context) -> bool:
    return time.perf_counter() > context.deadline


def _axes(subject: TorchSubject) -> list[Axis]:
    """Return the axes of numbers that are as long as one of another input, and of nothing but numbers.

    Labels and masks belong to what is as long as they are; a length that is given, too, must be true.
    """
    inputs = {name: t for name, t in subject.inputs.items() if t.layout is torch.strided}
    numbers = {name: t for name, t in inputs.items() if layout.is_number(t)}
    fixed = {n for name, t in inputs.items() if name not in numbers for n in t.shape}
    fixed |= {each for each in _leaves((subject.args, subject.kwargs)) if type(each) is int}
    return [
        (name, k)
        for name, t in numbers.items()
        for k, n in enumerate(t.shape)
        if n > 1 and n not in fixed and any(n in u.shape for other, u in numbers.items() if other != name)
    ]


def _leaves(given: Any) -> Iterator[Any]:
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for child in given:
            yield from _leaves(child)
    else:
        yield given


class _Watch(TorchFunctionMode):
    """Notices when the memory of a tensor is handed out."""

    seen = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call; see ``torch.overrides``."""
        self.seen |= getattr(func, "__name__", "") in _POINTERS
        return func(*args, **(kwargs or {}))


def _hands_out_memory(subject: TorchSubject) -> bool:
    watch = _Watch()
    with torch.no_grad():
        subject.run({}, under=watch)
    return watch.seen


def _is_free(given: TorchSubject, axis: Axis) -> bool:
    """Whether the forward pass takes the axis one longer, and an output grows."""
    with _grown(given, axis) as subject:
        return subject is not None and _shapes(subject) != _shapes(given)


def _shapes(subject: TorchSubject) -> list[torch.Size]:
    return [out.shape for out in subject.outputs]


@contextlib.contextmanager
def _grown(given: TorchSubject, axis: Axis) -> Iterator[TorchSubject | None]:
    """Give the started subject with one axis of one input longer; None where its forward pass raises."""
    name, k = axis
    own = given.inputs[name]

    def longer(t: torch.Tensor) -> torch.Tensor:
        if t is not own:
            return t
        data = t.detach()
        return torch.cat([data, 0.9 * data.narrow(k, 0, 1)], k).requires_grad_(t.requires_grad)

    given.renew()
    args, kwargs = tree.replace((given.args, given.kwargs), longer)
    with started(given.at(args, kwargs)) as subject:
        yield subject


def _verified(context: Context, axis: Axis, length: int) -> Iterator[VariationResult]:
    name, k = axis
    with _grown(context.subject, axis) as subject:
        if subject is not None and all(bool(torch.isfinite(out).all()) for out in subject.outputs):
            label = f"axis {k} of {name} alone made {length + 1}"
            try:
                result = judge_subject(context, subject, label, may_raise=True)
            except NoPoint:
                return
            if result is not None:
                yield _with_misfit(result)


def _with_misfit(result: VariationResult) -> VariationResult:
    if _MISFIT not in result.message:
        return result
    return replace(result, verdict=Verdict.FAIL, message=result.message.removesuffix(_MEANT))
