"""A case as JSON text. The format is published as ``case.schema.json``, beside this file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cases.arrays import array_to_json
from cases.record import Case
from reference_impl import Graph

FORMAT, VERSION = "gradcheck case", 1


def to_json(case: Case) -> str:
    """Return a case as JSON text, which ``from_json`` reads back exactly."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "name": case.name,
        "family": case.family,
        "seed": case.seed,
        "graph": _graph(case.graph),
        "values": {name: array_to_json(value) for name, value in case.values.items()},
        "known": {name: array_to_json(value) for name, value in case.known.items()},
    }
    return _laid_out(data) + "\n"


def _graph(graph: Graph) -> dict[str, Any]:
    nodes = [
        {
            "name": node.name,
            "operation": node.operation,
            "inputs": list(node.inputs),
            "attributes": {name: _attribute(value) for name, value in node.attributes.items()},
        }
        for node in graph.nodes
    ]
    return {
        "inputs": {name: list(shape) for name, shape in graph.inputs.items()},
        "parameters": {name: list(shape) for name, shape in graph.parameters.items()},
        "nodes": nodes,
        "output": graph.output,
        "allow_unused": graph.allow_unused,
    }


def _attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        as_stored = value if value.dtype.kind in "bf" else value.astype(np.int64)
        return array_to_json(as_stored)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_attribute(entry) for entry in value]
    return value


_DEEPEST_BROKEN = 3


def _laid_out(data: Any, depth: int = 0) -> str:
    """Return JSON with a line for each node and each value: people read it, and diff compares it."""
    children = list(data.values()) if isinstance(data, dict) else data
    if depth >= _DEEPEST_BROKEN or not isinstance(children, list) or not any(map(_is_object, children)):
        return json.dumps(data, allow_nan=False)
    inner, outer = "  " * (depth + 1), "  " * depth
    lines = [_laid_out(child, depth + 1) for child in children]
    if isinstance(data, dict):
        lines = [f"{json.dumps(key)}: {line}" for key, line in zip(data, lines, strict=True)]
    opening, closing = "{}" if isinstance(data, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(lines) + f"\n{outer}{closing}"


def _is_object(data: Any) -> bool:
    return isinstance(data, dict)
