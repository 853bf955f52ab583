"""A case from JSON text, which somebody may have written or cut by hand.

Each thing that can be wrong with it ends in a CaseError of one sentence: where, what, what to do. The
reader checks the form, and leaves to Graph and Case what they check themselves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from cases.arrays import INDEX_DTYPES, array_from_json
from cases.choices import Shape
from cases.place import Place
from cases.record import DTYPES, Case, CaseError
from cases.writing import FORMAT, VERSION
from reference_impl import RULES, Graph, Node


def from_json(text: str, source: str = "case") -> Case:
    """Read what ``to_json`` wrote.

    ``source`` is what error messages call the document, such as its file's name.

    Raises:
        CaseError: where the text is not a case; one sentence that names the place and the next action.
    """
    root = Place(source, "$", _parsed(text, source))
    _check_format(root)
    root.record(("format", "version", "name", "graph", "values"), ("family", "seed", "known"))
    try:
        return Case(
            name=root.key("name").text(),
            graph=_graph(root.key("graph")),
            values=_arrays(root.key("values")),
            family=root.key("family").text() if "family" in root.value else "file",
            seed=_seed(root.key("seed")) if "seed" in root.value else None,
            known=_arrays(root.key("known")) if "known" in root.value else {},
        )
    except CaseError as error:
        if str(error).startswith(source):
            raise
        raise CaseError(f"{source}, at $: {error}") from None


def _parsed(text: str, source: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CaseError(f"{source}: the key {twice!r} stands twice in one object; remove one of them.")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CaseError(
            f"{source}, at {where}: not JSON ({error.msg}); correct it or save it again."
        ) from None
    except RecursionError:
        raise CaseError(f"{source}: nested too deeply for a case; save it again.") from None
    except ValueError as error:
        if isinstance(error, CaseError):
            raise
        raise CaseError(f"{source}: holds an integer of thousands of digits; write a smaller one.") from None


def _check_format(root: Place) -> None:
    found = root.object()
    if found.get("format") != FORMAT:
        missing = root.refuse(
            f'the key "format" to be "{FORMAT}"',
            "name a file that cases.save wrote",
            f"{found.get('format')!r}",
        )
        raise missing
    version = root.key("version").integer(1) if "version" in found else VERSION
    if version != VERSION:
        raise root.key("version").refuse(f"version {VERSION}", "read it with a newer gradcheck")


def _seed(place: Place) -> int | None:
    return None if place.value is None else place.integer(0)


def _arrays(place: Place) -> dict[str, Any]:
    return {name: array_from_json(place.key(name)) for name in place.object()}


def _graph(place: Place) -> Graph:
    place.record(("inputs", "parameters", "nodes", "output"), ("allow_unused",))
    nodes = place.key("nodes")
    nodes.list()
    inputs, parameters = _shapes(place.key("inputs")), _shapes(place.key("parameters"))
    built = [_node(node) for node in nodes.items()]
    output = place.key("output").text()
    allow_unused = "allow_unused" in place.value and place.key("allow_unused").boolean()
    try:
        return Graph(inputs, parameters, built, output, allow_unused)
    except (ValueError, TypeError) as error:
        raise CaseError(f"{place.source}, at {place.path}: {error}") from error


def _shapes(place: Place) -> dict[str, Shape]:
    return {name: place.key(name).shape() for name in place.object()}


def _node(place: Place) -> Node:
    place.record(("name", "operation", "inputs"), ("attributes",))
    operation, inputs = place.key("operation").text(), place.key("inputs")
    if operation not in RULES:
        near = get_close_matches(operation, RULES, 1)
        action = f"did you mean {near[0]!r}" if near else "use one from the table of operations"
        raise place.key("operation").refuse("the name of an operation", action)
    inputs.list()
    attributes: Mapping[str, Any] = {}
    if "attributes" in place.value:
        given = place.key("attributes")
        attributes = {name: _attribute(given.key(name)) for name in given.object()}
    return Node(
        place.key("name").text(), operation, tuple(name.text() for name in inputs.items()), attributes
    )


def _attribute(place: Place) -> Any:
    if isinstance(place.value, dict):
        return array_from_json(place, (*INDEX_DTYPES, *DTYPES))
    if isinstance(place.value, list):
        return tuple(_attribute(entry) for entry in place.items())
    if isinstance(place.value, float) and not math.isfinite(place.value):
        raise place.refuse("a finite number", "write one, or null")
    return place.value
