"""A subject opened in the widest number format in which it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from gradcheck.errors import GradcheckError, TargetError, first_line
from gradcheck.subjects.torch import captured, graph
from gradcheck.subjects.torch.subject import TorchSubject

_LISTED = 5


class Opened:
    """Gives the subject, open and started: in double precision where it runs so, else in its own.

    Entering raises TargetError where the forward pass does not run even as it was given.
    """

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
    ) -> None:
        self._given = function, args, kwargs, name

    def __enter__(self) -> TorchSubject:
        subject = _open(*self._given)
        lasting = _lasting(subject) if subject.backward.strangers else []
        if lasting:
            subject = _with(subject, captured.named(lasting, subject))
        self._subject = subject
        return subject

    def __exit__(self, *_: object) -> None:
        self._subject.__exit__()


def _lasting(subject: TorchSubject) -> list[torch.Tensor]:
    """Return the leaves besides parameters and inputs that are the same in a second run: not made in it."""
    with torch.enable_grad():
        outputs = subject.run({}, track=True).outputs
    again = {id(leaf) for leaf in graph.behind(outputs.values()).leaves}
    return [leaf for leaf in subject.backward.strangers if id(leaf) in again]


def _with(subject: TorchSubject, leaves: Mapping[str, torch.Tensor]) -> TorchSubject:
    """Open the subject anew with more leaves; as it was, where it does not run so."""
    subject.__exit__()
    listed = ", ".join(list(leaves)[:_LISTED]) + (" and others" if len(leaves) > _LISTED else "")
    try:
        more = _open(subject.function, subject.args, subject.kwargs, subject.name, leaves)
    except GradcheckError:
        subject.notes.append(f"not verified, although they require grad: {listed}")
        return subject.open()
    more.notes.append(f"verified too, as the outputs' graph ends there: {listed}")
    return more


def _wider(subject: TorchSubject) -> TorchSubject:
    """Return a double-precision subject with its casts made wide, where its outputs feel them."""
    if subject.is_narrow or not subject.narrowing:
        return subject
    subject.__exit__()
    with contextlib.suppress(Exception):  # whatever it is, it does not run with wider numbers
        wider = TorchSubject(
            subject.function,
            subject.args,
            subject.kwargs,
            name=subject.name,
            double=True,
            captured=subject.captured,
        ).open()
        if wider.widened:
            wider.notes.append("computes in narrower formats inside: verified with wide ones in their place")
            return wider
        wider.__exit__()
    return subject.open()


def _open(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    name: str | None,
    leaves: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> TorchSubject:
    subject = TorchSubject(function, args, kwargs, name=name, captured=leaves)
    if subject.is_narrow:
        try:
            return TorchSubject(function, args, kwargs, name=name, double=True, captured=leaves).open()
        except Exception:  # whatever it is, it does not run in double precision
            subject.notes.append("does not run in float64: verified in its own precision")
    try:
        return _wider(subject.open())
    except GradcheckError:
        raise
    except Exception as error:
        text = first_line(error).rstrip(".")
        raise TargetError(
            f"The forward pass of {subject.name} raises {type(error).__name__}: {text}; "
            "run it once yourself and mend that first."
        ) from error
