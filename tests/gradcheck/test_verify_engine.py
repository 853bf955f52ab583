"""An engine on a case: right ones pass where rounding or a convention is all there is to see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cases import Case, generate
from gradcheck import verify_case
from gradcheck.engines import conformance
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.errors import EngineError
from gradcheck.report.records import Verdict
from gradcheck.subjects.engine import EngineSubject
from reference_impl import RULES, Graph, Node

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


@pytest.mark.parametrize("status", [0, None, "done"])
def test_an_engine_that_exits_is_one_sentence(status):
    class Leaving(ReferenceEngine):
        def value_and_gradients(self, graph, values, cotangent=None):
            raise SystemExit(status)

    with pytest.raises(EngineError, match=r"Engine 'leaving' raised SystemExit.*call it on this graph alone"):
        verify_case(shifted_softmax(1.0), Leaving(name="leaving"))


SIGNS = np.array([1.0, -2.0, 1.5, -0.5, 2.0])


def mixed(operation):
    """Several kinks of one leaf at once, some of their outputs counting negative."""
    nodes = [
        Node("z", "multiply", ("b", "s")),
        Node("r", operation, ("z",)),
        Node("v", "multiply", ("r", "w")),
        Node("y", "sum", ("v",)),
    ]
    graph = Graph({"s": (5,), "w": (5,)}, {"b": ()}, nodes, "y")
    return Case("mixed", graph, {"b": np.asarray(0.0), "s": SIGNS, "w": SIGNS + 0.25})


def with_slope(operation, slope):
    """Return an engine that takes this slope at 0."""
    rule = RULES[operation]

    def vjp(cotangent, output, inputs, **attributes):
        (right,) = rule.vjp(cotangent, output, inputs, **attributes)
        return (np.where(output == 0, slope * cotangent, right),)

    # relu's rule keeps its output, by which a kink is told
    changed = replace(rule, vjp=vjp, keeps_inputs=None, keeps_output=True)
    return ReferenceEngine({**RULES, operation: changed}, "convention")


@pytest.mark.parametrize(
    ("operation", "slope", "right"),
    [
        *(("relu", slope, True) for slope in (0.0, 0.5, 1.0)),
        *(("relu", slope, False) for slope in (2.0, -0.5)),
        *(("abs", slope, True) for slope in (0.0, 1.0, -1.0)),
        *(("abs", slope, False) for slope in (1.5, -2.0)),
    ],
)
def test_any_convention_at_several_kinks_of_either_sign_is_right(operation, slope, right):
    report = verify_case(mixed(operation), with_slope(operation, slope))
    assert report.ok is right, str(report)
    if operation == "relu" and slope == 0:  # for abs 0 lies between the one-sided derivatives of the sum
        assert any(f"at a kink of {operation}; every" in note for note in report.parameters["b"].notes)


class OneShareLost(ReferenceEngine):
    """Every operation alone is right, but of two shares of a node's cotangent one is lost."""

    def value_and_gradients(self, graph, values, cotangent=None):
        value, gradients = super().value_and_gradients(graph, values, cotangent)
        if len(graph.nodes) > 3:
            gradients["b"] = gradients["b"] + 1.0
        return value, gradients


def test_a_claim_that_is_not_what_the_chain_rule_makes_of_right_operations_is_wrong():
    assert not verify_case(mixed("relu"), OneShareLost(name="lost")).ok


def test_another_operation_that_is_wrong_is_not_excused_by_kinks():
    rule = RULES["multiply"]

    def vjp(cotangent, output, inputs):
        a, b = rule.vjp(cotangent, output, inputs)
        return 1.5 * a, b

    engine = ReferenceEngine({**RULES, "multiply": replace(rule, vjp=vjp)}, "wrong")
    case = mixed("relu")
    shifted = Case("beside", case.graph, {**case.values, "b": np.asarray(0.3)})
    assert not verify_case(shifted, engine).ok


def test_what_is_right_for_each_output_alone_but_does_not_add_up_is_wrong():
    rule = RULES["relu"]

    def vjp(cotangent, output, inputs):
        (right,) = rule.vjp(cotangent, output, inputs)
        return (np.where(output == 0, cotangent / np.count_nonzero(cotangent) ** 2, right),)

    engine = ReferenceEngine({**RULES, "relu": replace(rule, vjp=vjp)}, "no sum")
    assert not verify_case(mixed("relu"), engine).ok


class Narrow(ReferenceEngine):
    """The reference as people write engines, every array in float32; gradients may be off by a share."""

    def __init__(self, share=0.0):
        super().__init__(name="narrow")
        self.share = share

    def value_and_gradients(self, graph, values, cotangent=None):
        narrow = {name: value.astype(np.float32) for name, value in values.items()}
        value, gradients = super().value_and_gradients(graph, narrow, cotangent)
        gradients = {name: g * (1 + self.share) for name, g in gradients.items()}
        return np.float32(value), {name: g.astype(np.float32) for name, g in gradients.items()}


@pytest.mark.parametrize("family", ["mlp", "dag", "operation", "kink"])
def test_an_engine_in_single_precision_is_judged_in_it(family):
    for seed in range(12):
        report = verify_case(generate(family, seed), Narrow())
        assert report.ok, str(report)
        assert "float32" in report.notes[-1]


def test_what_is_wrong_in_an_engine_in_single_precision_is_wrong():
    case = generate("mlp", 3)
    assert verify_case(case, Narrow(0.02)).verdict is Verdict.FAIL
    assert verify_case(case, Narrow()).ok
    single = conformance.check(Narrow())
    assert not single.broken
    assert conformance.check(Narrow(1e-3)).broken
