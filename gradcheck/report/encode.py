"""From records to JSON-ready data, field by field.

Numbers that strict JSON does not have are written as strings ("NaN", "Infinity") and complex ones as objects
with "real" and "imag". In a field that may hold anything, an object with one key that starts with "$" marks
what JSON has no word for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from numbers import Complex, Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin

from gradcheck.report.kinds import hints, not_none
from gradcheck.report.records import Number

Encoder = Callable[[Any], Any]


def encode(value: Any, kind: Any) -> Any:
    """Return a value of a field of this kind as JSON-ready data."""
    return _encoder(kind)(value)


@cache
def _encoder(kind: Any) -> Encoder:
    """Return the function that encodes values of a kind; annotations are looked at once."""
    if kind in _ENCODERS:
        return _ENCODERS[kind]
    if is_dataclass(kind):
        return _record(kind)
    if get_origin(kind) in (Union, UnionType):
        return _optional(_encoder(not_none(kind)))
    if get_origin(kind) is tuple:
        return _sequence(kind)
    if get_origin(kind) is not None:
        item = _encoder(get_args(kind)[1])
        return lambda value: {str(key): item(each) for key, each in value.items()}
    assert issubclass(kind, Enum)  # there is no other kind of field
    return lambda value: value.value


def _record(kind: Any) -> Encoder:
    named = hints(kind)
    encoders = [(field.name, _encoder(named[field.name])) for field in fields(kind)]
    return lambda value: {name: encoder(getattr(value, name)) for name, encoder in encoders}


def _optional(encoder: Encoder) -> Encoder:
    return lambda value: None if value is None else encoder(value)


def _sequence(kind: Any) -> Encoder:
    if get_args(kind)[1:] == (Ellipsis,):
        item = _encoder(get_args(kind)[0])
        return lambda value: [item(each) for each in value]
    items = [_encoder(of) for of in get_args(kind)]
    return lambda value: [encoder(each) for encoder, each in zip(items, value, strict=True)]


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


_ENCODERS: dict[Any, Encoder] = {
    Any: _encode_any,
    Number: _encode_number,
    bool: bool,
    float: _encode_float,
    int: int,
    str: str,
}
