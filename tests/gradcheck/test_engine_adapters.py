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

from gradcheck.engines import UnsupportedError, call_engine, conformance, unsupported
from gradcheck.engines.adapter import Adapter
from reference_impl import Graph, Node

LIBRARIES = ["autograd", "jax", "micrograd", "mygrad", "tinygrad"]


def load(library):
    pytest.importorskip(library)
    return importlib.import_module(f"gradcheck.engines.{library}").engine


@pytest.fixture(params=LIBRARIES)
def engine(request, monkeypatch):
    monkeypatch.setenv("DEV", "PYTHON")  # tinygrad: the device that needs no compiler
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
