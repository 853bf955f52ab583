"""A case as JSON: read back exactly, by anybody who has the schema."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cases import SCHEMA, Case, CaseError, from_json, lecture_cases, to_json
from cases.strategies import cases
from reference_impl import Graph, Node

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def same(a: Case, b: Case) -> bool:
    """Whether two cases agree bit for bit: signs of zeros and dtypes included."""
    arrays = [(a.values, b.values), (a.known, b.known)]
    return (
        (a.name, a.family, a.seed, a.graph) == (b.name, b.family, b.seed, b.graph)
        and all(list(x) == list(y) for x, y in arrays)
        and all(
            x[name].dtype == y[name].dtype and x[name].tobytes() == y[name].tobytes()
            for x, y in arrays
            if not any(value.dtype.char == "g" for value in x.values())
            for name in x
        )
    )


def one_leaf(value: object) -> Case:
    return Case("one", Graph({"x": np.shape(value)}, {}, [Node("y", "negative", ("x",))], "y"), {"x": value})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_json_round_trip(case):
    text = to_json(case)
    assert same(from_json(text), case)
    VALIDATOR.validate(json.loads(text))


@pytest.mark.parametrize("case", lecture_cases(), ids=lambda case: case.name)
def test_json_round_trip_of_the_lecture(case):
    assert same(from_json(to_json(case)), case)
    VALIDATOR.validate(json.loads(to_json(case)))


FLOATS = {
    "float16": hnp.arrays(
        np.float16, (3,), elements=st.floats(width=16, allow_nan=False, allow_infinity=False)
    ),
    "float32": hnp.arrays(
        np.float32, (3,), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
    "float64": hnp.arrays(np.float64, (3,), elements=st.floats(allow_nan=False, allow_infinity=False)),
    "complex64": hnp.arrays(np.complex64, (3,), elements=st.complex_numbers(width=64, max_magnitude=1e38)),
    "complex128": hnp.arrays(np.complex128, (3,), elements=st.complex_numbers(max_magnitude=1e300)),
}


@pytest.mark.parametrize("dtype", FLOATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_floats_are_exact(dtype, data):
    value = data.draw(FLOATS[dtype])
    text = to_json(one_leaf(value))
    found = from_json(text).values["x"]
    assert found.dtype == np.dtype(dtype)
    assert found.tobytes() == value.tobytes()
    VALIDATOR.validate(json.loads(text))


def test_longdouble_is_exact():
    value = np.array([np.longdouble(1) / 3, np.longdouble(-2) ** -40, np.finfo(np.longdouble).max])
    text = to_json(one_leaf(value))
    found = from_json(text).values["x"]
    assert found.dtype == np.longdouble
    assert (found == value).all()
    VALIDATOR.validate(json.loads(text))


def test_attributes_of_every_kind_come_back():
    graph = Graph(
        {"x": (2, 3)},
        {},
        [
            Node("a", "dropout", ("x",), {"mask": np.array([[True, False, True]] * 2), "rate": 0.25}),
            Node("b", "take", ("a",), {"indices": np.array([[0, 0], [1, 1]]), "axis": -1}),
            Node("c", "slice", ("b",), {"slices": ((None, 1, None), (0, None, 1))}),
            Node("d", "clip", ("c",), {"minimum": None, "maximum": 0.5}),
            Node("e", "sum", ("d",), {"axis": (0, 1), "keepdims": True}),
            Node("f", "squared_error", ("e", "e"), {"reduction": "none"}),
        ],
        "f",
    )
    found = from_json(to_json(Case("all", graph, {"x": np.ones((2, 3))}))).graph
    assert found == graph
    assert found.nodes[1].attributes["indices"].dtype == np.int64
    assert found.nodes[2].attributes["slices"] == ((None, 1, None), (0, None, 1))


def test_what_is_read_may_be_as_short_as_possible():
    text = json.dumps(
        {
            "format": "gradcheck case",
            "version": 1,
            "name": "short",
            "graph": {
                "inputs": {"x": []},
                "parameters": {},
                "nodes": [{"name": "y", "operation": "square", "inputs": ["x"]}],
                "output": "y",
            },
            "values": {"x": {"dtype": "float64", "shape": [], "data": [3]}},
        }
    )
    case = from_json(text)
    assert (case.family, case.seed, dict(case.known)) == ("file", None, {})
    assert case.values["x"] == 3.0
    VALIDATOR.validate(json.loads(text))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.array([1.0, np.nan]), r"'x' is not finite everywhere; replace NaN and infinity\.$"),
        (np.array(["a", "b"]), r"one of float16, .* but got dtype=<U1; convert it\.$"),
        (np.array([True, False]), r"but got dtype=bool; convert it\.$"),
        (np.ones(3), r"expected 'x' of shape \(2,\) but got shape=\(3,\); "),
    ],
)
def test_a_case_checks_its_values(value, sentence):
    graph = Graph({"x": (2,)}, {}, [Node("y", "negative", ("x",))], "y")
    with pytest.raises(CaseError, match=sentence):
        Case("checked", graph, {"x": value})


def test_values_are_copied_and_read_only():
    mine = np.ones(2)
    case = one_leaf(mine)
    mine[0] = 5.0
    assert case.values["x"][0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        case.values["x"][0] = 2.0


def test_whole_numbers_become_floats():
    assert one_leaf(np.array([1, 2])).values["x"].dtype == np.float64


def test_a_case_can_be_sent_to_another_process():
    case = lecture_cases()[0]
    assert same(pickle.loads(pickle.dumps(case)), case)


def test_the_schema_is_a_schema_and_comes_with_the_package():
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    assert SCHEMA.parent == Path(os.path.dirname(__import__("cases").__file__))
