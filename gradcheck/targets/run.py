"""Running one target: its function, then ``verify`` on what that returned."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.errors import GradcheckError, TargetError, UsageError
from gradcheck.targets.declare import Arguments, check_keywords, needed_arguments
from gradcheck.targets.excerpt import excerpt, in_words, raised_by_user
from gradcheck.targets.place import imports_from
from gradcheck.targets.record import Target, as_arguments
from gradcheck.targets.seeding import seeded

if TYPE_CHECKING:
    from gradcheck.report.records import Report


def run_target(target: Target, **overrides: Any) -> Report:
    """Verify a target; ``overrides`` are options that win over its own.

    Whatever draws random numbers starts from the seed, so that the same command sees the same inputs.

    Raises:
        TargetError: where its function or its forward pass raises; the text is the user's own traceback.
        UsageError: where an argument or option cannot be used.
    """
    if target.fault:
        raise TargetError(f"{target.spec}: {target.fault}")
    checked = check_keywords(overrides)
    seed = checked.get("seed", target.options.get("seed", 0))
    with imports_from(target.root), seeded(seed):
        given = _call(target)
        keywords = {"name": target.spec, **target.options, **given.kwargs, **checked}
        report = _verify(target, given.args, keywords)
    return dataclasses.replace(
        report,
        reproduce=command(target, {**checked, "seed": report.seed}),
        location=f"{target.file}:{target.line}" if target.file and target.line else None,
    )


def command(target: Target, overrides: Mapping[str, Any]) -> str:
    """Return the command line that runs a target with these options."""
    words = ["gradcheck", "verify", target.spec]
    for name, value in overrides.items():
        words += _FLAGS[name](value) if name in _FLAGS else []
    return shlex.join(words)


def _call(target: Target) -> Arguments:
    needed = needed_arguments(target.function)
    if needed:
        raise TargetError(
            f"{target.spec} needs {', '.join(needed)}, so it is a target for submissions; verify them with: "
            f"gradcheck verify --each FOLDER {target.spec}"
        )
    try:
        returned = target.function()
    except (Exception, SystemExit) as error:
        raise TargetError(
            f"{target.spec} raised {in_words(error)}\n{excerpt(error, target.root)}\n"
            f"Make {target.name}() run without an error first; it has to return the arguments of verify."
        ) from error
    return as_arguments(returned, target.spec)


def _verify(target: Target, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Report:
    from gradcheck.verification import verify

    try:
        return verify(*args, **keywords)
    except TargetError as error:
        shown = "" if error.__cause__ is None else excerpt(error.__cause__, target.root)
        if 'File "' not in shown or "Traceback" in str(error):
            raise
        raise TargetError(f"{error}\n{shown}") from error.__cause__
    except GradcheckError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and _never_entered(error):
            raise UsageError(f"Cannot verify {target.spec}: {error}; look at what it returns.") from error
        if not raised_by_user(error, target.root):
            raise
        raise TargetError(
            f"{target.spec} raised {in_words(error)} while it was verified\n{excerpt(error, target.root)}\n"
            "Call what the target returns on its inputs, forward and backward, to see it there."
        ) from error


def _never_entered(error: TypeError) -> bool:
    """Whether the call of ``verify`` itself was impossible: the error has no frame below the caller's."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _flag(name: str) -> Any:
    return lambda value: [] if value is None else [name, str(value)]


def _variations(value: bool | frozenset[str]) -> list[str]:
    if isinstance(value, bool):
        return [] if value else ["--no-variations"]
    return [word for name in sorted(value) for word in ("--variations", name)]


_FLAGS: Mapping[str, Any] = {
    "order": _flag("--order"),
    "rtol": _flag("--rtol"),
    "atol": _flag("--atol"),
    "effort": _flag("--effort"),
    "variations": _variations,
    "seed": _flag("--seed"),
}
