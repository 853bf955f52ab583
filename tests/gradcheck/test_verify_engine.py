"""An engine on a case: right ones pass where rounding or a convention is all there is to see."""

from __future__ import annotations

import numpy as np
import pytest

from cases import Case, generate
from gradcheck import verify_case
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.report.records import Verdict
from gradcheck.subjects.engine import EngineSubject
from reference_impl import Graph, Node

LOGITS = np.random.default_rng(3).normal(size=(4, 3))
WEIGHTS = np.random.default_rng(4).normal(size=(4, 3))


class Off(ReferenceEngine):
    """The reference with something added to one leaf's gradient."""

    def __init__(self, leaf, by):
        super().__init__(name="off")
        self.leaf, self.by = leaf, by

    def value_and_gradients(self, graph, values, cotangent=None):
        value, gradients = super().value_and_gradients(graph, values, cotangent)
        return value, {**gradients, self.leaf: gradients[self.leaf] + self.by}


def shifted_softmax(shift):
    """Whatever is added to all logits, a softmax is the same: the shift's gradient is zero."""
    nodes = [
        Node("z", "add", ("x", "shift")),
        Node("p", "softmax", ("z",), {"axis": 1}),
        Node("v", "multiply", ("p", "w")),
        Node("y", "sum", ("v",)),
    ]
    graph = Graph({"shift": (), "w": (4, 3)}, {"x": (4, 3)}, nodes, "y")
    return Case("shifted", graph, {"x": LOGITS, "w": WEIGHTS, "shift": np.asarray(shift)})


@pytest.mark.parametrize("shift", [0.1, 1.0, 1000.0, -1000.0])
def test_terms_that_cancel_leave_their_rounding(shift):
    for by in (0.0, 3e-17, -1e-16):
        report = verify_case(shifted_softmax(shift), Off("shift", by))
        assert report.ok, str(report)
        assert not any("disagrees" in note for note in report.parameters["shift"].notes)


@pytest.mark.parametrize("shift", [0.1, 1000.0])
@pytest.mark.parametrize("by", [1e-11, -1e-6])
def test_what_is_more_than_the_rounding_of_terms_that_cancel_is_wrong(shift, by):
    report = verify_case(shifted_softmax(shift), Off("shift", by))
    assert report.parameters["shift"].verdict is Verdict.FAIL


def test_rounding_is_that_of_the_terms_and_of_the_engines_precision():
    subject = EngineSubject(shifted_softmax(1000.0), ReferenceEngine())
    rounding = subject.rounding()
    assert {name: array.shape for name, array in rounding.items()} == {"x": (4, 3), "w": (4, 3), "shift": ()}
    assert 1e-18 < rounding["shift"] < 1e-15
    assert (rounding["x"] < 1e-15).all()


@pytest.mark.parametrize("seed", range(16))
def test_at_a_kink_rounding_excuses_nothing(seed):
    """Numbers that are shaken would cross the kink; cotangents that are do not."""
    case = generate("kink", seed)
    rounding = EngineSubject(case, ReferenceEngine()).rounding()
    largest = max(float(np.abs(value).max()) for value in case.values.values())
    assert max(float(r.max()) for r in rounding.values()) < 1e-14 * max(largest, 1.0)
