"""From JSON data to records, with the place in the sentence where something else was found.

Arrays are read as tuples, as the records have them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from gradcheck.report.kinds import hints, item_kinds, not_none
from gradcheck.report.records import Number
from gradcheck.suggest import did_you_mean

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def decode(data: Any, kind: Any, place: str) -> Any:
    """Return a value of this kind; ``place`` names it in errors.

    Raises:
        ValueError: where the data is of another kind.
    """
    if kind is Any:
        return _decode_any(data)
    if is_dataclass(kind):
        return _decode_record(data, kind, place)
    if kind == Number:
        return _decode_number(data, place)
    if get_origin(kind) in (Union, UnionType):
        return None if data is None else decode(data, not_none(kind), place)
    if get_origin(kind) is tuple:
        _expect(isinstance(data, list | tuple), "an array", data, place)
        kinds = item_kinds(kind, len(data))
        _expect(len(kinds) == len(data), f"an array of length {len(kinds)}", data, place)
        return tuple(
            decode(item, of, f"{place}[{i}]") for i, (item, of) in enumerate(zip(data, kinds, strict=True))
        )
    if get_origin(kind) is not None:
        _expect(isinstance(data, Mapping), "an object", data, place)
        return {key: decode(item, get_args(kind)[1], f"{place}[{key!r}]") for key, item in data.items()}
    return _decode_plain(data, kind, place)


def _decode_plain(data: Any, kind: Any, place: str) -> Any:
    if kind is float:
        return _decode_float(data, place)
    if kind is int:
        _expect(isinstance(data, int) and not isinstance(data, bool), "an integer", data, place)
        return data
    if issubclass(kind, Enum):
        known = [item.value for item in kind]
        _expect(isinstance(data, str) and data in known, " or ".join(map(repr, known)), data, place)
        return kind(data)
    _expect(isinstance(data, kind), {str: "text", bool: "true or false"}[kind], data, place)
    return data


def _decode_record(data: Any, kind: Any, place: str) -> Any:
    _expect(isinstance(data, Mapping), "an object", data, place)
    named = hints(kind)
    for key in data:
        if key not in named:
            raise ValueError(f"Unknown key {key!r} in {place}.{did_you_mean(key, named, 'The keys are')}")
    given = {key: decode(item, named[key], f"{place}.{key}") for key, item in data.items()}
    try:
        return kind(**given)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.name not in given and _is_required(f)]
        raise ValueError(f"{place} has no {missing[0]!r}; it was not written by gradcheck.") from None


def _decode_float(data: Any, place: str) -> float:
    if isinstance(data, str) and data in _NOT_FINITE:
        return _NOT_FINITE[data]
    numeric = isinstance(data, int | float) and not isinstance(data, bool)
    _expect(numeric, "a number, 'NaN', 'Infinity' or '-Infinity'", data, place)
    try:
        return float(data)
    except OverflowError:
        raise ValueError(f"Expected a number at {place} but got an integer too large for one.") from None


def _decode_number(data: Any, place: str) -> Number:
    if not isinstance(data, Mapping):
        return _decode_float(data, place)
    _expect(set(data) == {"real", "imag"}, "an object with 'real' and 'imag'", data, place)
    return complex(_decode_float(data["real"], place), _decode_float(data["imag"], place))


def _decode_any(data: Any) -> Any:
    if isinstance(data, Mapping):
        if set(data) == {"$float"}:
            return _decode_float(data["$float"], "$float")
        if set(data) == {"$complex"}:
            return complex(*decode(data["$complex"], tuple[float, float], "$complex"))
        return {key.removeprefix("$"): _decode_any(item) for key, item in data.items()}
    return tuple(map(_decode_any, data)) if isinstance(data, list | tuple) else data


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _expect(held: bool, what: str, data: Any, place: str) -> None:
    if not held:
        raise ValueError(f"Expected {what} at {place} but got {_told(data)}.")


def _told(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:50]}..."
