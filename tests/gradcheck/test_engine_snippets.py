"""A program is made of the adapter's own table, and its arrays are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.engines.snippets import Language, literal, program
from reference_impl import Graph, Node

LANGUAGE = Language(
    preamble="import math\nimport numpy as np",
    leaf="{name} = {array}",
    gradient="gradient_of({name})",
    backward="back({output})",
    modules={"np": np, "math": math},
)


def helper(a, axis: int = 0) -> object:
    """Sum, by way of another function."""
    return _inner(a, axis)


def _inner(a, axis):
    return np.sum(a, axis=axis)


TABLE = {"exp": np.exp, "sum": helper, "add": np.add, "take": np.take}


def test_functions_of_the_library_are_called_by_name_and_others_are_printed_first():
    nodes = [Node("a", "exp", ("x",)), Node("y", "sum", ("a",), {"axis": 0})]
    source = program(LANGUAGE, TABLE, Graph({}, {"x": (2,)}, nodes, "y"), {"x": np.array([0.5, 1.0])})
    assert source == (
        "import math\nimport numpy as np\n\n"
        "def _inner(a, axis):\n    return np.sum(a, axis=axis)\n\n"
        "def helper(a, axis=0):\n    return _inner(a, axis)\n\n"
        "x = np.array([0.5, 1.0])\n\n"
        "a = np.exp(x)\ny = helper(a, axis=0)\n\n"
        "back(y)\nprint('x', gradient_of(x))"
    )


def test_names_that_python_does_not_take_are_changed_and_stay_apart():
    leaves = {"fc1.weight": (1,), "fc1_weight": (1,), "class": (1,), "0": (1,), "np": (1,)}
    nodes, last = [], "fc1.weight"
    for i, name in enumerate(list(leaves)[1:]):
        nodes.append(Node(f"n{i}", "add", (last, name)))
        last = f"n{i}"
    source = program(LANGUAGE, TABLE, Graph({}, leaves, nodes, last), {n: np.ones(1) for n in leaves})
    compile(source, "snippet", "exec")
    made = [line.split(" = ")[0] for line in source.splitlines() if " = np.array" in line]
    assert len(set(made)) == len(made) == 5
    assert all(name.isidentifier() for name in made)


@pytest.mark.parametrize(
    "array",
    [
        np.array(0.1),
        np.array([1 / 3, -0.0, 1e300, 5e-324]),
        np.array([[np.inf, -np.inf, np.nan]]),
        np.zeros((2, 3)),
        np.full((2, 2), 0.1),
        -np.zeros(3),
        np.zeros((0, 2)),
        np.array([1 / 3, 2.0], dtype=np.float32),
        np.array([[1, -2]]),
        np.array([True, False]),
        np.array([1 + 2j, 1 / 3 - 0.5j]),
    ],
)
def test_a_literal_is_exactly_the_array(array):
    read = eval(literal(array), {"np": np})
    assert read.shape == array.shape
    assert array.size == 0 or read.dtype == array.dtype
    assert np.array_equal(
        read.view(np.uint8) if read.ndim else read, array.view(np.uint8) if array.ndim else array
    )
