"""Arrays as JSON, exactly: ``{"dtype": "float64", "shape": [2, 3], "data": [...]}``, the data flat.

Python writes a float64 with the fewest digits that read back as the same number, and a narrower float is a
float64 too. longdouble has more digits than a JSON reader keeps, so it is written as a string. A complex
number is a pair.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cases.choices import Array, Shape
from cases.place import Place, listed
from cases.record import DTYPES, dtype_name

INDEX_DTYPES = ("bool", "int64")


def array_to_json(array: Array) -> dict[str, Any]:
    """Return an array as JSON-ready data, which ``array_from_json`` reads back bit for bit."""
    name = dtype_name(array)
    flat = array.reshape(-1)
    if name == "longdouble":
        data: list[Any] = [np.format_float_scientific(x, trim="-") for x in flat]
    elif name.startswith("complex"):
        data = [[x.real, x.imag] for x in flat.tolist()]
    else:
        data = flat.tolist()
    return {"dtype": name, "shape": list(array.shape), "data": data}


def array_from_json(place: Place, dtypes: tuple[str, ...] = DTYPES) -> Array:
    """Read an array of one of the given dtypes.

    Raises:
        CaseError: where the place holds none; the sentence names the place.
    """
    place.record(("dtype", "shape", "data"))
    name = place.key("dtype").text()
    if name not in dtypes:
        raise place.key("dtype").refuse(f"one of {listed(dtypes)}", "write one of these")
    shape, data = place.key("shape").shape(), place.key("data")
    if len(data.list()) != math.prod(shape):
        expected = f"{math.prod(shape)} entries, as the shape {list(shape)} says,"
        raise data.refuse(expected, "correct the shape or the data", str(len(data.value)))
    return _filled(data, name, shape)


def _filled(data: Place, name: str, shape: Shape) -> Array:
    plain = all(type(x) in _PLAIN[name] for x in data.value) if name in _PLAIN else False
    entries = data.value if plain else [_entry(place, name) for place in data.items()]
    try:
        with np.errstate(over="ignore"):
            array = np.array(entries, dtype=np.dtype(name)).reshape(shape)
    except OverflowError:
        array = np.array(np.inf)
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        _refuse_the_first(data, name)
    return array


# Where every entry is of such a type, the list is an array already and no entry is looked at alone.
_PLAIN: dict[str, set[type]] = {
    "float64": {float},
    "float32": {float},
    "float16": {float},
    "bool": {bool},
}


def _entry(place: Place, name: str) -> Any:
    if name == "longdouble":
        return _longdouble(place)
    if name.startswith("complex"):
        if len(place.list()) != 2:
            raise place.refuse("a pair [real part, imaginary part]", "write two numbers")
        return complex(*(_number(part) for part in place.items()))
    if name == "bool":
        return place.boolean()
    if name == "int64":
        number = place.integer()
        if not -(2**63) <= number < 2**63:
            raise place.refuse("an integer of 64 bits", "write a smaller one")
        return number
    return _number(place)


def _number(place: Place) -> float:
    if isinstance(place.value, bool) or not isinstance(place.value, (int, float)):
        raise place.refuse("a number", "write one")
    try:
        return float(place.value)
    except OverflowError:
        return math.inf


def _longdouble(place: Place) -> Any:
    try:
        return np.longdouble(place.text())
    except ValueError:
        raise place.refuse("a number in a string", 'write one like "0.1"') from None


def _refuse_the_first(data: Place, name: str) -> None:
    for place in data.items():
        with np.errstate(over="ignore"):
            entry = np.dtype(name).type(_entry(place, name))
        if not np.isfinite(entry):
            raise place.refuse(f"a finite number that fits {name}", "write a smaller one")
