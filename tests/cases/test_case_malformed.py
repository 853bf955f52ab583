"""A malformed case is refused in one sentence: where, what, and what to do."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from cases import SCHEMA, Case, CaseError, from_json, generate, to_json
from reference_impl import Graph, Node

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


SQUARE = Case("one", Graph({"x": (1,)}, {}, [Node("y", "square", ("x",))], "y"), {"x": [1.0]})

# What is wrong, how it gets so, the sentence, and whether the schema refuses it too.
GOOD = json.loads(to_json(generate("block", 3)))
FIRST = next(iter(GOOD["values"]))
MISSING = object()
MALFORMED = [
    (
        "format",
        ["format"],
        "cake",
        r"at \$: expected the key \"format\" to be \"gradcheck case\" but got 'cake'; name a file that "
        r"cases.save wrote\.",
        True,
    ),
    (
        "version",
        ["version"],
        2,
        r"at \$\.version: expected version 1 but got 2; read it with a newer gradcheck\.",
        True,
    ),
    ("no graph", ["graph"], MISSING, r"at \$: expected the key 'graph' but got only .*; add it\.", True),
    ("no name", ["name"], 3, r"at \$\.name: expected a string but got 3; write it between quotes\.", True),
    ("seed", ["seed"], -1, r"at \$\.seed: expected an integer of at least 0 but got -1; write one\.", True),
    (
        "unknown key",
        ["vales"],
        {},
        r"at \$: expected only .* but got the key \"vales\"; did you mean 'values'\.",
        True,
    ),
    (
        "graph",
        ["graph"],
        [],
        r"at \$\.graph: expected an object but got \[\]; write one between braces\.",
        True,
    ),
    ("nodes", ["graph", "nodes"], {}, r"at \$\.graph\.nodes: expected a list but got \{\}; ", True),
    ("output", ["graph", "output"], "nowhere", r"at \$\.graph: Unknown output 'nowhere'", False),
    (
        "shape",
        ["graph", "inputs", FIRST],
        [-1],
        r"at \$\.graph\.inputs\..*\[0\]: expected an integer of at least 0 but got -1; ",
        True,
    ),
    (
        "shape type",
        ["graph", "inputs", FIRST],
        3,
        r"at \$\.graph\.inputs\..*: expected a list but got 3; ",
        True,
    ),
    (
        "node",
        ["graph", "nodes", 0],
        "add",
        r"at \$\.graph\.nodes\[0\]: expected an object but got \"add\"; ",
        True,
    ),
    (
        "node without name",
        ["graph", "nodes", 0, "name"],
        MISSING,
        r"at \$\.graph\.nodes\[0\]: expected the key 'name' ",
        True,
    ),
    (
        "operation",
        ["graph", "nodes", 0, "operation"],
        "matmull",
        r"nodes\[0\]\.operation: expected the name of an operation but got \"matmull\"; did you mean 'ma",
        False,
    ),
    (
        "strange operation",
        ["graph", "nodes", 0, "operation"],
        "xyzzy",
        r"got \"xyzzy\"; use one from the table of operations\.",
        False,
    ),
    (
        "inputs",
        ["graph", "nodes", 0, "inputs"],
        [1, 2],
        r"nodes\[0\]\.inputs\[0\]: expected a string but got 1; ",
        True,
    ),
    ("arity", ["graph", "nodes", 0, "inputs"], [FIRST], r"at \$\.graph: Node .*Expected ", False),
    (
        "missing name",
        ["graph", "nodes", 0, "inputs", 0],
        "ghost",
        r"at \$\.graph: Node .* reads 'ghost'",
        False,
    ),
    ("attribute", ["graph", "nodes", 0, "attributes"], {"speed": 3}, r"at \$\.graph: Node .*speed", False),
    (
        "infinite attribute",
        ["graph", "nodes", 0, "attributes"],
        {"axis": float("inf")},
        r"attributes\.axis: expected a finite number but got Infinity; ",
        False,
    ),
    (
        "allow_unused",
        ["graph", "allow_unused"],
        "yes",
        r"allow_unused: expected true or false but got \"yes\"; ",
        True,
    ),
    (
        "no value",
        ["values", FIRST],
        MISSING,
        r"has no value for the leaf '.*'; add one to its values\.",
        False,
    ),
    (
        "extra value",
        ["values", "ghost"],
        {"dtype": "float64", "shape": [], "data": [1.0]},
        r"has a value for 'ghost', which is no leaf; remove it\.",
        False,
    ),
    (
        "extra answer",
        ["known", "ghost"],
        {"dtype": "float64", "shape": [], "data": [1.0]},
        r"knows the gradient of 'ghost', which it lacks; remove it\.",
        False,
    ),
    ("value", ["values", FIRST], 1.0, r"values\..*: expected an object but got 1\.0; ", True),
    (
        "value without data",
        ["values", FIRST, "data"],
        MISSING,
        r"values\..*: expected the key 'data' but got only 'dtype', 'shape'; add it\.",
        True,
    ),
    (
        "dtype",
        ["values", FIRST, "dtype"],
        "float99",
        r"values\..*\.dtype: expected one of 'float16', .* but got \"float99\"; write one of these\.",
        True,
    ),
    (
        "count",
        ["values", FIRST, "data"],
        [],
        r"values\..*\.data: expected \d+ entries, as the shape \[.*\] says, but got 0; correct the sh",
        False,
    ),
    (
        "NaN",
        ["values", FIRST, "data", 0],
        float("nan"),
        r"data\[0\]: expected a finite number that fits float64 but got NaN; write a smaller one\.",
        False,
    ),
    (
        "too large",
        ["values", FIRST, "data", 0],
        10**400,
        r"data\[0\]: expected a finite number that fits float64 but got 1000+\.\.\.; ",
        False,
    ),
    (
        "text",
        ["values", FIRST, "data", 0],
        "1.0",
        r"data\[0\]: expected a number but got \"1\.0\"; write one\.",
        True,
    ),
    (
        "boolean",
        ["values", FIRST, "data", 0],
        True,
        r"data\[0\]: expected a number but got true; write one\.",
        True,
    ),
    (
        "other shape",
        ["values", FIRST],
        {"dtype": "float64", "shape": [0], "data": []},
        r"expected '.*' of shape \(.*\) but got shape=\(0,\); give it the shape that the graph states\.",
        False,
    ),
]


def altered(path: list[str | int], new: object) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    place = data
    for step in path[:-1]:
        place = place[step]
    if new is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return data


@pytest.mark.parametrize(
    ("path", "new", "sentence", "in_schema"),
    [row[1:] for row in MALFORMED],
    ids=[row[0] for row in MALFORMED],
)
def test_a_malformed_case_is_refused_in_one_sentence(path, new, sentence, in_schema):
    data = altered(path, new)
    with pytest.raises(CaseError, match=sentence) as caught:
        from_json(json.dumps(data), "homework.json")
    message = str(caught.value)
    assert message.startswith("homework.json, at $")
    assert "\n" not in message
    assert message.endswith(".")
    assert VALIDATOR.is_valid(data) is not in_schema


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"^bad\.json, at line 1, column 1: not JSON \(.*\); correct it or save it again\.$"),
        ('{"format": ', r"^bad\.json, at line 1, column 12: not JSON "),
        ("[1, 2]", r"^bad\.json, at \$: expected an object but got \[1, 2\]; "),
        ('{"a": 1, "a": 2}', r"^bad\.json: the key 'a' stands twice in one object; remove one of them\.$"),
        ("[" * 100_000, r"^bad\.json: nested too deeply for a case; save it again\.$"),
        ("1" * 5000, r"^bad\.json: holds an integer of thousands of digits; write a smaller one\.$"),
    ],
)
def test_what_is_no_json_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(CaseError, match=sentence):
        from_json(text, "bad.json")


@pytest.mark.parametrize(
    ("dtype", "entry", "sentence"),
    [
        ("float32", 1e39, r"data\[0\]: expected a finite number that fits float32 but got 1e\+39"),
        ("float16", 1e5, r"fits float16"),
        (
            "complex64",
            [1.0],
            r"data\[0\]: expected a pair \[real part, imaginary part\] but got \[1\.0\]; write two",
        ),
        ("complex128", [1.0, "i"], r"data\[0\]\[1\]: expected a number but got \"i\""),
        ("longdouble", 1.0, r"data\[0\]: expected a number in a string but got 1\.0"),
        (
            "longdouble",
            "one",
            r"data\[0\]: expected a number in a string but got \"one\"; write one like \"0\.1\"\.",
        ),
        ("longdouble", "nan", r"data\[0\]: expected a finite number that fits longdouble"),
    ],
)
def test_entries_must_fit_their_dtype(dtype, entry, sentence):
    data = json.loads(to_json(SQUARE))
    data["values"]["x"] = {"dtype": dtype, "shape": [1], "data": [entry]}
    with pytest.raises(CaseError, match=sentence):
        from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"dtype": "int64", "shape": [1], "data": [0.5]}, r"data\[0\]: expected an integer but got 0\.5"),
        ({"dtype": "int64", "shape": [1], "data": [2**63]}, r"data\[0\]: expected an integer of 64 bits"),
        ({"dtype": "bool", "shape": [1], "data": [1]}, r"data\[0\]: expected true or false but got 1"),
        ({"shape": [1], "data": [1]}, r"attributes\.indices: expected the key 'dtype'"),
    ],
)
def test_array_attributes_are_checked(value, sentence):
    graph = Graph({"x": (2,)}, {}, [Node("y", "take", ("x",), {"indices": np.array([0])})], "y")
    data = json.loads(to_json(Case("take", graph, {"x": np.ones(2)})))
    data["graph"]["nodes"][0]["attributes"]["indices"] = value
    with pytest.raises(CaseError, match=sentence):
        from_json(json.dumps(data))


def test_strange_names_are_quoted_in_paths():
    case = Case("odd", Graph({"a b": ()}, {}, [Node("y", "sin", ("a b",))], "y"), {"a b": 1.0})
    data = json.loads(to_json(case))
    data["values"]["a b"]["data"] = [None]
    with pytest.raises(CaseError, match=r'at \$\.values\["a b"\]\.data\[0\]: expected a number but got null'):
        from_json(json.dumps(data))
