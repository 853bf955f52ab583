"""Whether a backward pass computes in a narrower number format than double precision anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import Any

from gradcheck.slips import safety
from gradcheck.slips.reached import functions_of, reached
from gradcheck.slips.record import Rerun

_NARROW = ("float32", "float16", "complex64", "half", "single")
# What converts: attributes and functions, and what NumPy's own names for formats hold.
_WORDS = frozenset((*_NARROW, "bfloat16", "float", "astype", "to", "type", "autocast", "dtype", "csingle"))


def narrow_somewhere(rerun: Rerun) -> bool | None:
    """Return whether a narrow format may be met in a backward pass; None where that cannot be seen.

    It cannot where the backward pass is a library's own, or calls what is not written in Python.
    """
    try:
        ran = reached(rerun.gradients)
        forward = reached(rerun.forward) if rerun.forward is not None else {}
    except Exception:  # the verdict stands, whatever a further call raises
        return None
    own = {code: variables for code, variables in ran.items() if code not in forward}
    if not own or not all(safety.is_open(function) for function in functions_of(own)):
        return None
    return any(_converts(code) or _holds(variables.values()) for code, variables in ran.items())


def _converts(code: CodeType) -> bool:
    constants = {constant for constant in code.co_consts if isinstance(constant, str)}
    return bool(_WORDS & {*code.co_names, *constants}) or any(c in ("f", "f4", "<f4") for c in constants)


def _holds(values: Iterable[Any]) -> bool:
    return any(str(getattr(value, "dtype", "")).endswith((*_NARROW, "bfloat16")) for value in values)
