"""The same function with another factor where 1 or 0 was given: one that a backward pass forgets shows then.

Only numbers on which the value depends are changed. One that the forward pass does not heed, such as the
factor of a layer that scales gradients, is a deviation that somebody wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.elsewhere import judge_subject

# What stands for 1 and for 0, and so many numbers are changed, each alone.
_OTHER = 0.7
_MOST = 3


def other_settings(context: Context) -> VariationResult:
    """Give another number in the place of each 1.0 and 0.0 among the arguments."""
    name = "other settings"
    subject = context.subject
    tried: list[str] = []
    for words, args, kwargs in _changed(subject.args, subject.kwargs):
        label = f"{words} made {_OTHER:g}"
        result = _at(context, args, kwargs, label)
        if result is not None:
            tried.append(label)
        if result is not None and result.verdict is Verdict.FAIL:
            return failed(name, result.message, result.parameters)
        if len(tried) == _MOST:
            break
    if not tried:
        raise Skip("no argument is 1.0 or 0.0, and counts")
    return passed(name, ", ".join(tried))


def _changed(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Any, ...], Mapping[str, Any]]]:
    for i, value in enumerate(args):
        if _is_neutral(value):
            yield f"inputs[{i}]", (*args[:i], _OTHER, *args[i + 1 :]), kwargs
    for key, value in kwargs.items():
        if _is_neutral(value):
            yield f'kwargs["{key}"]', args, {**kwargs, key: _OTHER}


def _is_neutral(value: Any) -> bool:
    return type(value) is float and value in (0.0, 1.0)


def _at(
    context: Context, args: tuple[Any, ...], kwargs: Mapping[str, Any], label: str
) -> VariationResult | None:
    """Verify with other arguments; None where there is no value, or the same one."""
    given = context.subject
    subject = TorchSubject(
        given.function, args, kwargs, name=given.name, double=given.double, names=given.names
    )
    with subject:
        try:
            subject.start()
        except Exception:  # outside its domain a forward pass raises what it likes
            return None
        same = len(subject.outputs) == len(given.outputs) and all(
            torch.equal(a, b) for a, b in zip(subject.outputs, given.outputs, strict=True)
        )
        if same or not all(bool(torch.isfinite(out).all()) for out in subject.outputs):
            return None
        return judge_subject(context, subject, label)
