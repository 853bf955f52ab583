"""Whatever an engine returns or raises becomes a checked answer or one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.engines import (
    NonFiniteError,
    UnsupportedError,
    call_engine,
    is_engine,
    require_engine,
    unsupported,
)
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.errors import EngineError, UsageError
from reference_impl import Graph, Node

GRAPH = Graph({"x": (2, 3)}, {"w": (3,)}, [Node("a", "multiply", ("x", "w")), Node("y", "sum", ("a",))], "y")
VALUES = {"x": np.arange(6.0).reshape(2, 3), "w": np.ones(3)}
RIGHT = {"x": np.ones((2, 3)), "w": np.array([3.0, 5.0, 7.0])}


class Answering:
    """An engine that returns, or raises, what it was told to."""

    name = "mine"

    def __init__(self, answer):
        self.answer = answer

    def supports(self, operation):
        return operation != "sum"

    def value_and_gradients(self, graph, values):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_a_right_answer_passes_with_its_leaves_in_the_graphs_order():
    answer = call_engine(Answering((15.0, dict(reversed(RIGHT.items())))), GRAPH, VALUES)
    assert answer.value == 15.0
    assert list(answer.gradients) == ["x", "w"]
    assert np.array_equal(answer.gradients["w"], RIGHT["w"])


def test_the_reference_engine_answers_what_the_reference_implementation_computes():
    answer = call_engine(ReferenceEngine(), GRAPH, VALUES)
    assert answer.value == 15.0
    assert np.array_equal(answer.gradients["w"], RIGHT["w"])


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (RuntimeError("out of\n memory"), r"raised RuntimeError: out of memory .*multiply, sum\)"),
        (KeyError(), "raised KeyError "),
        (SystemExit(0), r"raised SystemExit: 0 \(in value_and_gradients, on a graph of .* to see where"),
        (ValueError("x" * 1000), r"raised ValueError: x{190,200}\.\.\. "),
        (None, "returned None; return a pair"),
        ((15.0, [1, 2]), "returned a tuple; return a pair"),
        ((15.0, {"x": RIGHT["x"]}), "no gradient for w; return one for each"),
        ((15.0, {**RIGHT, "b": 1.0}), "a gradient for b, which the graph has no leaf for"),
        ((15.0, {**RIGHT, "w": None}), "returned None as the gradient of 'w'"),
        ((15.0, {**RIGHT, "w": "wrong"}), "returned a str as the gradient of 'w'"),
        ((15.0, {**RIGHT, "w": [[1.0], [2.0, 3.0]]}), "as the gradient of 'w', which NumPy cannot read"),
        (
            (15.0, {**RIGHT, "w": np.ones((1, 3))}),
            r"'w' with shape \(1, 3\); return it with the shape \(3",
        ),
        ((15.0, {**RIGHT, "x": np.ones((3, 2))}), r"shape \(3, 2\) \(its transpose\)"),
        ((np.ones(2), RIGHT), r"the value with shape \(2,\); return it with the shape \(\)"),
        ((np.nan, RIGHT), r"the value with 1 of 1 entry not finite \(first nan\)"),
        (
            (15.0, {**RIGHT, "w": np.array([1, np.inf, np.nan])}),
            r"2 of 3 entries not finite \(first inf at",
        ),
    ],
)
def test_a_wrong_answer_becomes_one_sentence_that_names_the_engine(answer, sentence):
    with pytest.raises(EngineError, match=sentence) as caught:
        call_engine(Answering(answer), GRAPH, VALUES)
    assert "'mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_engine_raised_is_kept_as_the_cause():
    original = RuntimeError("inside")
    with pytest.raises(EngineError) as caught:
        call_engine(Answering(original), GRAPH, VALUES)
    assert caught.value.__cause__ is original


def test_a_non_finite_answer_is_right_in_names_and_shapes_and_comes_with_the_error():
    answer = (15.0, {**RIGHT, "w": np.array([1, np.nan, 2])})
    with pytest.raises(NonFiniteError) as caught:
        call_engine(Answering(answer), GRAPH, VALUES)
    assert np.isnan(caught.value.answer.gradients["w"][1])
    assert np.isnan(call_engine(Answering(answer), GRAPH, VALUES, finite=False).gradients["w"][1])


def test_not_implemented_means_unsupported():
    with pytest.raises(UnsupportedError, match="lacks something that the graph needs: no groups"):
        call_engine(Answering(NotImplementedError("no groups")), GRAPH, VALUES)


def test_interrupts_are_not_swallowed():
    class Interrupted(Answering):
        def value_and_gradients(self, graph, values):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_engine(Interrupted(None), GRAPH, VALUES)


def test_operations_that_an_engine_lacks_are_listed_once():
    nodes = [Node("a", "sum", ("x",)), Node("b", "sum", ("x",)), Node("y", "add", ("a", "b"))]
    assert unsupported(Answering(None), Graph({}, {"x": (2,)}, nodes, "y")) == ("sum",)
    assert unsupported(ReferenceEngine(), GRAPH) == ()


def test_what_is_no_engine_is_refused_by_what_it_lacks():
    assert is_engine(ReferenceEngine())
    assert require_engine(mine := Answering(None)) is mine
    with pytest.raises(UsageError, match=r"in my.py:engine but got dict without a name, supports, value_and"):
        require_engine({}, "my.py:engine")
    with pytest.raises(UsageError, match="got type without a name"):
        require_engine(type("E", (), {"name": 3, "supports": len, "value_and_gradients": len}))
