"""A target as it was found: the record that everything after loading works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcheck.errors import TargetError
from gradcheck.report.words import listed, with_article
from gradcheck.targets.declare import Arguments, arguments

# A mapping may be returned in place of a tuple; these of its keys are passed by position.
_POSITIONAL = ("loss", "params")


@dataclass(frozen=True)
class Target:
    """A function that returns the arguments of ``verify``; one for submissions takes one argument.

    ``spec`` is what the command line calls it ("models/mlp.py:mlp"); ``options`` are the keywords of its
    decorator, and ``fault`` what is wrong with them; ``root`` is the folder from which its imports are
    resolved, None where it was imported as a module.
    """

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]
    spec: str
    file: str | None = None
    line: int | None = None
    root: Path | None = None
    fault: str = ""


def as_arguments(returned: object, spec: str) -> Arguments:
    """Return what a target's function returned as arguments of ``verify``.

    Raises:
        TargetError: where it is nothing of the kind; the sentence says what to return.
    """
    if isinstance(returned, Arguments):
        return returned
    if isinstance(returned, tuple) and returned and (callable(returned[0]) or _is_without_loss(returned)):
        return Arguments(returned)
    if isinstance(returned, Mapping) and "value_and_gradient" in returned:
        returned = {"loss": None, **returned}  # which that function gives as well
    if isinstance(returned, Mapping) and all(name in returned for name in _POSITIONAL):
        keywords = {name: value for name, value in returned.items() if name not in _POSITIONAL}
        return arguments(*(returned[name] for name in _POSITIONAL), **keywords)
    if callable(returned):
        return Arguments((returned,))
    raise TargetError(
        f"{spec} returned {_described(returned)}; return the arguments of verify, for example "
        "(model, input), or gradcheck.arguments(loss, params, gradient=gradient)."
    )


def _is_without_loss(returned: tuple[Any, ...]) -> bool:
    """Whether it is (None, params), to which the decorator names value_and_gradient."""
    return len(returned) == 2 and returned[0] is None and returned[1] is not None


def _described(returned: object) -> str:
    if returned is None:
        return "nothing"
    if isinstance(returned, tuple):
        first = f" whose first element is {with_article(type(returned[0]).__name__)}" if returned else ""
        return f"a tuple of length {len(returned)}{first}, not a function or module"
    if isinstance(returned, Mapping):
        lacking = " and ".join(repr(name) for name in _POSITIONAL if name not in returned)
        return f"a mapping without {lacking}, but with {listed(list(map(repr, returned)))}"
    return with_article(type(returned).__name__)
