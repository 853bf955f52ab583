"""Whatever a report holds comes back unchanged from strict JSON that follows the published schema."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.resources import files
from types import UnionType
from typing import Any, Union, get_args, get_origin

import jsonschema
import numpy as np
import pytest
import sample_reports as samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck.report.json import from_dict, run_from_dict, to_dict, to_json
from gradcheck.report.kinds import hints, not_none
from gradcheck.report.records import Diagnosis, Number, Report, Verdict
from gradcheck.report.run import Failure, Group, Run
from gradcheck.report.schema import schema

VALIDATOR = jsonschema.Draft202012Validator(schema())
FLOATS = st.floats()
COMPLEX = st.complex_numbers(allow_nan=True, allow_infinity=True)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | COMPLEX | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text("$ab", max_size=3) | st.sampled_from(["$float", "$complex"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    """Draw a value for a field by its annotation, so that a new field is tested without a change here."""
    if kind is Any:
        return ANYTHING
    if kind == Number:
        return FLOATS | COMPLEX
    if is_dataclass(kind):
        named = hints(kind)
        return st.builds(kind, **{f.name: of_kind(named[f.name]) for f in fields(kind)})
    if get_origin(kind) in (Union, UnionType):
        return st.none() | of_kind(not_none(kind))
    if get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
        return st.lists(of_kind(get_args(kind)[0]), max_size=2).map(tuple)
    if get_origin(kind) is tuple:
        return st.tuples(*map(of_kind, get_args(kind)))
    if get_origin(kind) is not None:
        return st.dictionaries(st.text(max_size=5), of_kind(get_args(kind)[1]), max_size=2)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    return {str: st.text(max_size=8), bool: st.booleans(), int: st.integers(), float: FLOATS}[kind]


def plain(value: Any) -> Any:
    """Return a value that is equal for equal records, NaN and the sign of zero included."""
    if is_dataclass(value):
        return type(value), [plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return type(value), repr(value)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@SLOW
@given(of_kind(Report))
def test_every_report_comes_back_from_json_unchanged(report):
    data = strict(to_json(report))
    assert plain(from_dict(data)) == plain(report)
    assert to_dict(from_dict(data)) == data


@SLOW
@given(of_kind(Report))
def test_every_report_follows_the_published_schema(report):
    VALIDATOR.validate(strict(to_json(report)))


def test_a_run_comes_back_unchanged_and_follows_the_schema():
    run = Run(
        Verdict.FAIL,
        (Group("model.py", (samples.failing_report(),)), Group("dag", (samples.report(),), True, 3)),
        (Failure("other.py", "Traceback:\n  boom"),),
        seed=3,
        complete=False,
    )
    data = strict(to_json(run))
    VALIDATOR.validate(data)
    assert plain(run_from_dict(data)) == plain(run)


def test_a_report_can_be_taken_out_of_a_run():
    run = Run(Verdict.FAIL, (Group("model.py", (samples.failing_report(),)),))
    taken = strict(to_json(run))["groups"][0]["reports"][0]
    assert plain(Report.from_dict(taken)) == plain(samples.failing_report())


def test_the_packaged_schema_is_that_of_the_records():
    packaged = json.loads(files("gradcheck.report").joinpath("report.schema.json").read_text("utf-8"))
    assert packaged == schema(), (
        "run: python -m gradcheck.report.schema > gradcheck/report/report.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(packaged)


def test_numbers_of_other_libraries_are_written_as_numbers():
    details = {
        "single": np.float32(0.5),
        "long": np.longdouble(0.25),
        "count": np.int64(3),
        "complex": np.complex64(1 + 2j),
        "true": np.bool_(True),
        "array": np.array([[1.0, math.nan]]),
        "set": {"b", "a"},
        "odd": samples,
    }
    report = samples.report(samples.failing(diagnoses=(Diagnosis("scale", "", 1.0, details),)))
    data = strict(to_json(report))["parameters"]["fc1.weight"]["diagnoses"][0]["details"]
    assert data.pop("odd").startswith("<module")
    assert data == {
        "single": 0.5,
        "long": 0.25,
        "count": 3,
        "complex": {"$complex": [1.0, 2.0]},
        "true": True,
        "array": [[1.0, {"$float": "NaN"}]],
        "set": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"verdict": "maybe"},
            "Expected 'pass' or 'fail' or 'inconclusive' at report.verdict but got 'maybe'.",
        ),
        ({"seed": 1.5}, "Expected an integer at report.seed but got 1.5."),
        ({"seed": True}, "Expected an integer at report.seed but got True."),
        ({"parameters": []}, "Expected an object at report.parameters but got []."),
        ({"parameters": {"W": 1}}, "Expected an object at report.parameters['W'] but got 1."),
        ({"parameters": {"W": {"name": "W"}}}, "report.parameters['W'] has no 'verdict'"),
        ({"notes": "text"}, "Expected an array at report.notes but got 'text'."),
        ({"notes": [1]}, "Expected text at report.notes[0] but got 1."),
        ({"sed": 1}, "Unknown key 'sed' in report. Did you mean 'seed'?"),
        (
            {"cost": {"seconds": "fast"}},
            "Expected a number, 'NaN', 'Infinity' or '-Infinity' at report.cost.seconds",
        ),
        ({"cost": {"seconds": 10**400}}, "an integer too large"),
        ({"format": "gradcheck run"}, "Expected a gradcheck report but got format='gradcheck run'."),
        ({"version": 2}, "Expected version 1 of a gradcheck report but got version=2"),
    ],
)
def test_what_is_not_a_report_is_refused_with_the_place(change, words):
    data = to_dict(samples.report()) | change
    with pytest.raises(ValueError, match=re.escape(words)):
        from_dict(data)
    assert words == "an integer too large" or not VALIDATOR.is_valid(data)


def test_data_that_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="Expected a gradcheck report but got a list"):
        Report.from_dict([])
