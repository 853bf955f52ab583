"""The options of a verification, checked where they enter and nowhere else.

The same record serves the function, the decorator of a target, the command line, the pytest plugin and
pyproject.toml, so that an option means the same, and is refused in the same words, everywhere.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gradcheck.errors import OptionError, UsageError
from gradcheck.suggest import did_you_mean
from gradcheck.variations.names import NAMES

EFFORTS = ("probe", "auto", "every")
# What verify takes by keyword besides its options.
ARGUMENTS = ("gradient", "kwargs", "value_and_gradient")
_NOTHING_ALLOWED: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Options:
    """What a verification is asked to do; ``Options.of`` makes a checked one.

    ``order`` 2 also verifies the gradient of <gradient, v>. ``rtol`` and ``atol`` replace the tolerances of
    the dtype's table (unit of the gradient; None: from the table). ``effort`` is "probe" (random
    directions), "auto" (entries where affordable) or "every" (every entry). ``variations`` is True for all,
    False for none, or the names of those to try. ``reference`` is a plain implementation of the same
    function. ``allow`` maps a parameter's name to the reason for its declared deviation.
    """

    order: int = 1
    rtol: float | None = None
    atol: float | None = None
    effort: str = "auto"
    variations: bool | frozenset[str] = True
    reference: Callable[..., Any] | None = None
    allow: Mapping[str, str] = field(default_factory=lambda: _NOTHING_ALLOWED)
    seed: int = 0
    name: str | None = None

    @classmethod
    def of(cls, **given: Any) -> Options:
        """Return checked options.

        Raises:
            UsageError: for an unknown option (naming the nearest) or a value that cannot be used.
        """
        return _DEFAULT.replace(**given)

    def replace(self, **given: Any) -> Options:
        """Return these options with the given ones, checked, in their place. Raises as ``of`` does."""
        for name in given:
            if name not in _CHECKS:
                raise UsageError(
                    f"Unknown option {name}={_short(given[name])}."
                    + (
                        did_you_mean(name, (*_CHECKS, *ARGUMENTS))
                        or did_you_mean(name, _CHECKS, "The options are")
                    )
                )
        return Options(**vars(self) | {name: _CHECKS[name](value) for name, value in given.items()})

    def quick(self) -> Options:
        """Return options for another look at the same: this seed and these tolerances, directions alone."""
        return Options(seed=self.seed, effort="probe", rtol=self.rtol, atol=self.atol)

    def to_dict(self) -> dict[str, Any]:
        """Return the options that differ from their defaults as JSON-ready data, for the report."""
        own, default = vars(self), vars(_DEFAULT)
        changed = {name: value for name, value in own.items() if value != default[name]}
        return {name: _PLAIN.get(name, _itself)(value) for name, value in changed.items()}


_DEFAULT = Options()


def _order(value: object) -> int:
    number = _integer(value)
    if number not in (1, 2):
        raise _expected("1 or 2", "order", value, "use order=2 to verify second derivatives as well")
    return number


def _tolerance(name: str) -> Callable[[object], float | None]:
    def check(value: object) -> float | None:
        if value is None:
            return None
        number = _real(value)
        if number is None or not math.isfinite(number) or number < 0:
            raise _expected(
                "a finite number that is not negative",
                name,
                value,
                f"use for example {name}=1e-5, or None for the dtype's own",
            )
        return number

    return check


def _real(value: object) -> float | None:
    try:
        return None if isinstance(value, bool | str | bytes) else float(value)  # type: ignore[arg-type]  # tried
    except (TypeError, ValueError, OverflowError):
        return None


def _integer(value: object) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # tried
    except TypeError:
        return None


def _effort(value: object) -> str:
    if not isinstance(value, str) or value not in EFFORTS:
        raise _expected(
            "'probe', 'auto' or 'every'", "effort", value, "use effort='every' to check each entry"
        )
    return value


def _variations(value: object) -> bool | frozenset[str]:
    if isinstance(value, bool):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        names = list(value)
        if all(isinstance(name, str) for name in names):
            return frozenset(map(_variation, names))
    raise _expected(
        "True, False or a set of names",
        "variations",
        value,
        f"use variations={{{value!r}}}" if isinstance(value, str) else "use variations=False for none",
    )


def _variation(name: str) -> str:
    if name not in NAMES:
        raise UsageError(f"Unknown variation {name!r}." + did_you_mean(name, NAMES, "The variations are"))
    return name


def _reference(value: object) -> Callable[..., Any] | None:
    if value is None or callable(value):
        return value
    raise _expected(
        "a function", "reference", value, "pass a plain implementation that takes the same arguments"
    )


def _allow(value: object) -> Mapping[str, str]:
    advice = "use allow={'parameter name': 'why its gradient may differ'}"
    if not isinstance(value, Mapping):
        raise _expected("a mapping from parameter name to reason", "allow", value, advice)
    for name, reason in value.items():
        if not isinstance(name, str) or not isinstance(reason, str) or not reason.strip():
            raise _expected("a name and a reason, both text", f"allow[{name!r}]", reason, advice)
    return MappingProxyType(dict(value))


def _seed(value: object) -> int:
    number = _integer(value)
    if number is None or number < 0:
        raise _expected("an integer that is not negative", "seed", value, "use for example seed=0")
    return number


def _name(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise _expected("text", "name", value, "use the name that the report should carry")


def _expected(what: str, name: str, value: object, advice: str) -> UsageError:
    return OptionError(f"Expected {what} but got {name}={_short(value)}; {advice}.", what, name, value)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # the value is the user's, and so is its __repr__
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"


def _itself(value: Any) -> Any:
    return value


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "order": _order,
    "rtol": _tolerance("rtol"),
    "atol": _tolerance("atol"),
    "effort": _effort,
    "variations": _variations,
    "reference": _reference,
    "allow": _allow,
    "seed": _seed,
    "name": _name,
}
_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "variations": lambda value: value if isinstance(value, bool) else sorted(value),
    "reference": lambda value: getattr(value, "__qualname__", None) or type(value).__name__,
    "allow": dict,
}
