"""The same function with another factor where 1 or 0 was given: one that a backward pass forgets shows then.

Such a number is looked for among the arguments, and among those that reach hand-written Functions: a default,
or an attribute of a module. Only numbers on which the value depends are changed. One that the forward pass
does not heed, such as the factor of a layer that scales gradients, is a deviation that somebody wants.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gradcheck.blame import patches
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
    tried: list[str] = []
    for label, result in itertools.chain(_among_arguments(context), _among_applied(context)):
        if result is not None:
            tried.append(label)
        if result is not None and result.verdict is Verdict.FAIL:
            return failed(name, result.message, result.parameters)
        if len(tried) == _MOST:
            break
    if not tried:
        raise Skip("no argument is 1.0 or 0.0, and counts")
    return passed(name, ", ".join(tried))


Result = tuple[str, VariationResult | None]


def _among_arguments(context: Context) -> Iterator[Result]:
    subject = context.subject
    for words, args, kwargs in _changed(subject.args, subject.kwargs):
        label = f"{words} made {_OTHER:g}"
        yield label, _at(context, args, kwargs, label)


def _among_applied(context: Context) -> Iterator[Result]:
    """Change what reaches a hand-written Function by another way than the arguments."""
    subject = context.subject
    if not context.handwritten or any(True for _ in _changed(subject.args, subject.kwargs)):
        return
    for cls, i in _applied(context):
        label = f"argument {i} of {cls.__qualname__.split('<locals>.')[-1]} made {_OTHER:g}"

        def visit(called: Any, real: Any, args: Any, kwargs: Any, cls: Any = cls, i: int = i) -> Any:
            if called is cls and len(args) > i and _is_neutral(args[i]):
                args = (*args[:i], _OTHER, *args[i + 1 :])
            return real(*args, **kwargs)

        with patches.function_apply(visit):
            yield label, _at(context, subject.args, subject.kwargs, label, alone=True)


def _applied(context: Context) -> list[tuple[Any, int]]:
    """Return the Functions that a run applies to a neutral number, and its position."""
    found: dict[tuple[Any, int], None] = {}

    def visit(cls: Any, real: Any, args: Any, kwargs: Any) -> Any:
        found.update({(cls, i): None for i, value in enumerate(args) if _is_neutral(value)})
        return real(*args, **kwargs)

    with patches.function_apply(visit), torch.no_grad():
        context.subject.evaluate(dict(context.subject.variables))
    return list(found)


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
    context: Context, args: tuple[Any, ...], kwargs: Mapping[str, Any], label: str, alone: bool = False
) -> VariationResult | None:
    """Verify with other arguments; None where there is no value, or the same one.

    ``alone``: the search for the guilty operation does not see what was changed, and is not asked.
    """
    given = context.subject
    subject = TorchSubject(
        given.function,
        args,
        kwargs,
        name=given.name,
        double=given.double,
        names=given.names,
        captured=given.captured,
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
        return judge_subject(context, subject, label, search=not alone)
