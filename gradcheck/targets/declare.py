"""The decorator that marks a function as a target, and the record of what such a function returns.

The decorated function stays what it was, so that it can be called, pickled and tested like any other; the
mark is an attribute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar, overload

from gradcheck.errors import UsageError
from gradcheck.options import ARGUMENTS, Options

MARK = "__gradcheck_target__"
FAULT = "__gradcheck_fault__"  # why a function that is marked cannot be verified

_loading: ContextVar[bool] = ContextVar("loading", default=False)

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call of ``verify``."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def arguments(*args: Any, **kwargs: Any) -> Arguments:
    """Return what a target returns where ``verify`` is to be called with keywords.

    Example: ``return gradcheck.arguments(loss, params, gradient=gradient)``.
    """
    return Arguments(args, MappingProxyType(kwargs))


@overload
def target(function: Function, /) -> Function: ...
@overload
def target(**options: Any) -> Callable[[Function], Function]: ...
def target(function: Function | None = None, /, **options: Any) -> Function | Callable[[Function], Function]:
    """Mark a function without arguments, which returns those of ``verify``, as a target.

    One that grades submissions (``gradcheck verify --each``) takes one argument, the submission's module.

    Bare, or with the options of ``verify``: ``@gradcheck.target(order=2, rtol=1e-5)``. ``gradient=`` and
    ``value_and_gradient=`` may be named here as well.

    Raises:
        UsageError: for an option that cannot be used, or a function that needs more than one argument.
    """
    if function is not None:
        return _mark(function, check_keywords(options))
    try:
        checked = check_keywords(options)
    except UsageError as error:
        if not _loading.get():
            raise
        return partial(_mark_faulty, fault=str(error))
    return lambda marked: _mark(marked, checked)


@contextmanager
def loading() -> Iterator[None]:
    """Let a target that is declared wrongly be one that says so: the others in its file go on."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def check_keywords(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return keywords of ``verify`` with their options checked. Raises UsageError."""
    checked = Options.of(**{name: value for name, value in given.items() if name not in ARGUMENTS})
    return MappingProxyType(
        {name: value if name in ARGUMENTS else getattr(checked, name) for name, value in given.items()}
    )


def _mark(function: Function, options: Mapping[str, Any]) -> Function:
    if inspect.isclass(function) or not callable(function):
        raise UsageError(
            f"Expected a function to mark as a target but got {function!r}; put what makes the arguments of "
            "verify into a function and decorate that."
        )
    needed = needed_arguments(function)
    if len(needed) > 1:
        fault = (
            f"A target takes no arguments, or one, a submission, but {function.__qualname__} needs "
            f"{', '.join(needed)}; make them inside the function, or give them defaults."
        )
        if not _loading.get():
            raise UsageError(fault)
        return _mark_faulty(function, fault)
    setattr(function, MARK, options)
    return function


def _mark_faulty(function: Function, fault: str) -> Function:
    setattr(function, MARK, {})
    setattr(function, FAULT, fault)
    return function


def needed_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments without which a function cannot be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return ()
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in starred)
