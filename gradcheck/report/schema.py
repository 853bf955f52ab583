"""The JSON Schema of reports and runs, made from the records, so that the two cannot drift apart.

``python -m gradcheck.report.schema`` prints it; the packaged file is its output, and a test compares them.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from gradcheck.report.json import FORMATS, VERSION
from gradcheck.report.kinds import hints, not_none
from gradcheck.report.records import Number

_FLOAT = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_COMPLEX = {
    "type": "object",
    "properties": {"real": {"$ref": "#/$defs/float"}, "imag": {"$ref": "#/$defs/float"}},
    "required": ["real", "imag"],
    "additionalProperties": False,
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what ``to_dict`` returns for a report or a run."""
    definitions: dict[str, Any] = {
        "float": _FLOAT,
        "number": {"anyOf": [{"$ref": "#/$defs/float"}, _COMPLEX]},
    }
    documents = [_document(name, kind, definitions) for name, kind in FORMATS.items()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of gradcheck, or the reports of a run",
        "oneOf": documents,
        "$defs": definitions,
    }


def _document(name: str, kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    body = _record(kind, definitions)
    properties = {"format": {"const": name}, "version": {"const": VERSION}, **body["properties"]}
    return {**body, "properties": properties, "required": ["format", "version", *body["required"]]}


def _record(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    named = hints(kind)
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "properties": {f.name: _of(named[f.name], definitions) for f in fields(kind)},
        "required": [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING],
        "additionalProperties": False,
    }


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind == Number:
        return {"$ref": "#/$defs/number"}
    if is_dataclass(kind) and isinstance(kind, type):
        return _reference(kind, definitions)
    if get_origin(kind) in (Union, UnionType):
        return {"anyOf": [_of(not_none(kind), definitions), {"type": "null"}]}
    if get_origin(kind) is tuple:
        return _array(get_args(kind), definitions)
    if get_origin(kind) is not None:
        return {"type": "object", "additionalProperties": _of(get_args(kind)[1], definitions)}
    if issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    if kind is float:
        return {"$ref": "#/$defs/float"}
    return {"type": {str: "string", bool: "boolean", int: "integer"}[kind]}


def _reference(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # stands for itself while its fields are described
        definitions[kind.__name__] = _record(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _array(kinds: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return {"type": "array", "items": _of(kinds[0], definitions)}
    items = [_of(kind, definitions) for kind in kinds]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
