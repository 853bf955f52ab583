"""From records to JSON-ready data, field by field.

Numbers that strict JSON does not have are written as strings ("NaN", "Infinity") and complex ones as objects
with "real" and "imag". In a field that may hold anything, an object with one key that starts with "$" marks
what JSON has no word for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Complex, Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin

from gradcheck.report.kinds import hints, item_kinds, not_none
from gradcheck.report.records import Number


def encode(value: Any, kind: Any) -> Any:
    """Return a value of a field of this kind as JSON-ready data."""
    if kind is Any:
        return _encode_any(value)
    if is_dataclass(kind):
        named = hints(kind)
        return {f.name: encode(getattr(value, f.name), named[f.name]) for f in fields(kind)}
    if value is None or kind in (str, bool):
        return value
    if kind == Number:
        return _encode_number(value)
    if kind is float:
        return _encode_float(value)
    if kind is int:
        return int(value)
    if isinstance(value, Enum):
        return value.value
    if get_origin(kind) in (Union, UnionType):
        return encode(value, not_none(kind))
    if get_origin(kind) is tuple:
        return [encode(item, of) for item, of in zip(value, item_kinds(kind, len(value)), strict=True)]
    return {str(key): encode(item, get_args(kind)[1]) for key, item in value.items()}


def _encode_float(value: Any) -> float | str:
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _encode_number(value: Any) -> Any:
    if isinstance(value, Real):  # NumPy's numbers are registered as such
        return _encode_float(value)
    return {"real": _encode_float(value.real), "imag": _encode_float(value.imag)}


def _encode_any(value: Any) -> Any:
    """Return anything as JSON; what has no counterpart is written as its text, so that no report is lost."""
    if value is None or isinstance(value, str | bool):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        encoded = _encode_float(value)
        return {"$float": encoded} if isinstance(encoded, str) else encoded
    if isinstance(value, Complex):
        return {"$complex": [_encode_float(value.real), _encode_float(value.imag)]}
    if isinstance(value, Mapping):
        return {_escaped(str(key)): _encode_any(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [_encode_any(item) for item in items]
    if callable(getattr(value, "tolist", None)):  # an array or a number of NumPy's or PyTorch's
        return _encode_any(value.tolist())
    return str(value)


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else key
