"""Adapters conform where their library is installed, and a snippet prints what the engine claims."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from cases import Case
from gradcheck import Verdict, verify_case
from gradcheck.engines import UnsupportedError, call_engine, conformance, unsupported
from gradcheck.engines.adapter import Adapter
from reference_impl import Graph, Node

LIBRARIES = ["autograd", "jax", "micrograd", "mygrad", "tinygrad"]


def load(library):
    pytest.importorskip(library)
    return importlib.import_module(f"gradcheck.engines.{library}").engine


@pytest.fixture(params=LIBRARIES)
def engine(request, monkeypatch):
    monkeypatch.setenv("DEV", "PYTHON")  # tinygrad: the device that needs no compiler,
    monkeypatch.setenv("PARALLEL", "0")  # and no processes of its own that outlive the test
    return load(request.param)


# Libraries that compile take their time for each new shape: benchmarks/engines_survey.py tries them in full
FEW = {"JAX": 20, "tinygrad": 20}


def test_an_adapter_conforms(engine):
    found = conformance.requirements(engine)
    step = len(found) // FEW.get(engine.name, len(found))
    tried = 0
    for requirement in found[::step]:
        with contextlib.suppress(UnsupportedError):
            requirement.verify()
            tried += 1
    assert tried >= 0.9 * len(found[::step]) >= 18


def mlp():
    nodes = [
        Node("s1", "matmul", ("x", "W1")),
        Node("x1", "relu", ("s1",)),
        Node("s2", "matmul", ("x1", "W2")),
        Node("L", "squared_error", ("s2", "t"), {"reduction": "sum"}),
    ]
    graph = Graph({"x": (3, 2), "t": (3, 1)}, {"W1": (2, 4), "W2": (4, 1)}, nodes, "L")
    random = np.random.default_rng(0)
    return graph, {name: random.normal(size=shape) for name, shape in graph.leaves.items()}


def test_a_snippet_runs_without_us_and_prints_the_claimed_gradients(engine):
    graph, values = mlp()
    source = engine.snippet(graph, values)
    assert "gradcheck" not in source
    run = subprocess.run(
        [sys.executable, "-c", f"{source}\n"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DEV": "PYTHON", "JAX_PLATFORMS": "cpu"},
    )
    claimed = call_engine(engine, graph, values).gradients
    for name, gradient in claimed.items():
        printed = run.stdout.split(f"{name} ", 1)[1]
        first = re.search(r"-?\d+\.?\d*(e-?\d+)?", printed.replace("float64", ""))
        assert float(first.group()) == pytest.approx(gradient.flat[0], rel=1e-5)


def test_what_jax_compiles_as_a_whole_is_right_and_a_severed_gradient_in_it_is_caught():
    pytest.importorskip("jax")
    from gradcheck.engines import jax as adapter

    class Severed(adapter.JaxEngine):
        operations: ClassVar = {**adapter.OPERATIONS, "relu": adapter.jax.lax.stop_gradient}

    graph, values = mlp()
    case = Case("mlp", graph, {**values, "x": np.abs(values["x"]), "W1": np.abs(values["W1"])})
    assert verify_case(case, adapter.compiled_engine).verdict is Verdict.PASS
    assert verify_case(case, Severed(compiled=True)).verdict is Verdict.FAIL


def test_compiling_as_a_whole_changes_neither_values_nor_dtypes():
    pytest.importorskip("jax")
    from gradcheck.engines import jax as adapter

    graph, values = mlp()
    for dtype in (np.float32, np.float64):
        given = {name: value.astype(dtype) for name, value in values.items()}
        one, whole = (
            call_engine(engine, graph, given) for engine in (adapter.engine, adapter.compiled_engine)
        )
        for name, gradient in one.gradients.items():
            assert whole.gradients[name].dtype == gradient.dtype == dtype
            np.testing.assert_allclose(whole.gradients[name], gradient, rtol=100 * np.finfo(dtype).eps)


def test_an_option_that_this_version_of_xla_lacks_is_left_out(monkeypatch):
    pytest.importorskip("jax")
    from gradcheck.engines import jax as adapter

    monkeypatch.setattr(adapter, "_HASTY", {"xla_no_such_option": 1, "xla_backend_optimization_level": 0})
    adapter.hasty_options.cache_clear()
    try:
        assert adapter.hasty_options() == {"xla_backend_optimization_level": 0}
        graph, values = mlp()
        assert call_engine(adapter.compiled_engine, graph, values).gradients
    finally:
        adapter.hasty_options.cache_clear()


def refuse(a):
    raise NotImplementedError("not this one")


class Doubling(Adapter):
    """An adapter for a library of one operation, as its author would begin."""

    name = "doubling"
    operations: ClassVar = {"exp": np.exp}

    def differentiate(self, function, leaves):
        output = function(leaves)
        return output, dict.fromkeys(leaves, output)


def test_a_minimal_adapter_needs_a_table_and_one_method():
    graph = Graph({}, {"x": (2,)}, [Node("y", "exp", ("x",))], "y")
    answer = call_engine(Doubling(), graph, {"x": np.zeros(2)})
    assert answer.gradients["x"].tolist() == [1.0, 1.0]
    assert Doubling().snippet(graph, {"x": np.zeros(2)}) is None
    assert unsupported(Doubling(), mlp()[0]) == ("matmul", "relu", "squared_error")


def test_none_is_a_gradient_of_zeros():
    class Severed(Doubling):
        def differentiate(self, function, leaves):
            return function(leaves), {}

    graph = Graph({}, {"x": (2,)}, [Node("y", "exp", ("x",))], "y")
    assert call_engine(Severed(), graph, {"x": np.zeros(2)}).gradients["x"].tolist() == [0.0, 0.0]


def test_the_operation_whose_attributes_are_not_supported_is_named():
    class Picky(Doubling):
        operations: ClassVar = {"exp": refuse}

    graph = Graph({}, {"x": (2,)}, [Node("y", "exp", ("x",))], "y")
    with pytest.raises(UnsupportedError, match="doubling: exp: not this one") as caught:
        call_engine(Picky(), graph, {"x": np.zeros(2)})
    assert caught.value.operation == "exp"


def test_a_severed_adapter_does_not_conform():
    class Severed(Doubling):
        def differentiate(self, function, leaves):
            return function(leaves), {}

    assert {name for name, _ in conformance.check(Severed()).broken} >= {"exp-1", "output-may-be-a-leaf"}
