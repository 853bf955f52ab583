"""A subject opened in the widest number format in which it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gradcheck.errors import GradcheckError, TargetError
from gradcheck.subjects.torch.subject import TorchSubject


@contextlib.contextmanager
def opened(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
) -> Iterator[TorchSubject]:
    """Give the subject, open and started: in double precision where it runs so, else in its own.

    Raises:
        TargetError: where the forward pass does not run even as it was given.
    """
    subject = _open(function, args, kwargs, name)
    try:
        yield subject
    finally:
        subject.__exit__()


def _wider(subject: TorchSubject) -> TorchSubject:
    """Return a double-precision subject with its casts made wide, where its outputs feel them."""
    if subject.is_narrow or not subject.narrowing:
        return subject
    subject.__exit__()
    with contextlib.suppress(Exception):  # whatever it is, it does not run with wider numbers
        wider = TorchSubject(
            subject.function, subject.args, subject.kwargs, name=subject.name, double=True
        ).open()
        if wider.widened:
            wider.notes.append("computes in narrower formats inside: verified with wide ones in their place")
            return wider
        wider.__exit__()
    return subject.open()


def _open(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
) -> TorchSubject:
    subject = TorchSubject(function, args, kwargs, name=name)
    if subject.is_narrow:
        try:
            return TorchSubject(function, args, kwargs, name=name, double=True).open()
        except Exception:  # whatever it is, it does not run in double precision
            subject.notes.append("does not run in float64: verified in its own precision")
    try:
        return _wider(subject.open())
    except GradcheckError:
        raise
    except Exception as error:
        text = (str(error).splitlines() or [""])[0].rstrip(".")
        raise TargetError(
            f"The forward pass of {subject.name} raises {type(error).__name__}: {text}; "
            "run it once yourself and mend that first."
        ) from error
