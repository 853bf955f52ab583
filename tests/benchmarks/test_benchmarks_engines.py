"""What the surveys call a wrong gradient is one; other choices at kinks and rounding are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.engines_survey import (
    CONVENTION,
    NOT_FINITE,
    PRECISION,
    RAISES,
    WRONG,
    Remembering,
    Work,
    classify,
    survey,
)
from cases import Case
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.weighting import random_cotangent, weighted
from reference_impl import RULES, Graph, Node


def planted(operation, vjp=None, forward=None):
    rule = RULES[operation]
    changed = replace(
        rule, vjp=vjp or rule.vjp, forward=forward or rule.forward, keeps_inputs=None, keeps_output=True
    )
    return ReferenceEngine({**RULES, operation: changed}, "planted")


def case(operation, *values, **attributes):
    """Return one operation, weighted by a cotangent of both signs and summed."""
    leaves = {f"x{i}": np.asarray(value, float) for i, value in enumerate(values)}
    node = Node("y", operation, tuple(leaves), attributes)
    graph, name = weighted(Graph({}, {n: v.shape for n, v in leaves.items()}, [node], "y"))
    return Case(operation, graph, {**leaves, name: random_cotangent(graph.leaves[name], 1)})


def slope_at_zero(slope):
    return lambda u, y, inputs, **_: (u * np.where(inputs[0] == 0, slope, inputs[0] > 0),)


ZEROS = [0.0, 0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("slope", [0.25, 0.5, 1.0])
def test_another_subgradient_at_several_kinks_at_once_is_a_convention(slope):
    assert classify(case("relu", ZEROS), planted("relu", slope_at_zero(slope)))[0] == CONVENTION


@pytest.mark.parametrize("slope", [-0.5, 1.5, 3.0])
def test_what_is_no_subgradient_is_wrong(slope):
    assert classify(case("relu", ZEROS), planted("relu", slope_at_zero(slope)))[0] == WRONG


def test_a_tie_to_which_neither_side_gets_anything_is_wrong_and_any_share_is_a_convention():
    def share(left, right):
        def vjp(u, y, inputs, **_):
            a, b = inputs
            return u * np.where(a == b, left, a > b), u * np.where(a == b, right, b > a)

        return planted("maximum", vjp)

    tied = case("maximum", [1.0, 2.0, 3.0], [1.0, 2.0, 0.0])
    assert classify(tied, share(0, 0))[0] == WRONG
    assert classify(tied, share(1, 1))[0] == WRONG
    assert classify(tied, share(1, 0))[0] == CONVENTION
    assert classify(tied, share(0.25, 0.75))[0] == CONVENTION


def test_a_wrong_formula_is_wrong_and_the_right_one_nothing():
    wrong = planted("tanh", lambda u, y, inputs, **_: (u * (1 - y),))
    assert classify(case("tanh", [0.3, -0.7]), wrong) == (WRONG, "x0")
    assert classify(case("tanh", [0.3, -0.7]), ReferenceEngine())[0] == ""


def test_digits_lost_to_cancellation_are_a_precision_loss_those_lost_with_the_inputs_are_nothing():
    def naive(x, **_):
        return np.exp(x) - 1

    assert classify(case("expm1", [1e-9]), planted("expm1", forward=naive))[0] == PRECISION
    single = planted("tanh", lambda u, y, inputs, **_: (u * (1 - y * y).astype(np.float32),))
    assert classify(case("tanh", [0.3, -0.7]), single)[0] == PRECISION
    assert classify(case("sin", [1e8 / 3]), ReferenceEngine())[0] == ""
    shifted = case("softmax", [1e6 + 0.3, 1e6, 1e6 - 0.4])
    assert classify(shifted, ReferenceEngine())[0] == ""


def test_what_is_not_finite_and_what_raises_is_told_apart():
    divided = planted("prod", lambda u, y, inputs, **_: (u * y / inputs[0],))
    with np.errstate(all="ignore"):
        assert classify(case("prod", [0.0, 2.0]), divided)[0] == NOT_FINITE

    def refuse(x, **_):
        raise ValueError("not today")

    assert classify(case("tanh", [0.3]), planted("tanh", forward=refuse))[0] == RAISES


def test_a_survey_counts_what_it_ran_and_finds_what_is_planted():
    wrong = planted("tanh", lambda u, y, inputs, **_: (u * (1 - y),))
    found, results, counts = survey(wrong, Work(cases=24, families=("dag",), special=False))
    assert ("wrong gradient", "tanh") in found.findings
    assert all(key[1] == "tanh" for key in found.findings), found.findings
    assert not counts["special values"]
    assert sum(row.cases for result in results for row in result.families) >= 24


def test_an_engine_is_asked_once_about_the_same_graph_and_values_and_anew_about_others():
    class Counting(ReferenceEngine):
        asked = 0

        def value_and_gradients(self, graph, values):
            self.asked += 1
            return super().value_and_gradients(graph, values)

    counting = Counting()
    engine = Remembering(counting)
    first = case("clip", [0.3, 2.0], maximum=1.0)
    answers = [engine.value_and_gradients(first.graph, first.values)[1]["x0"] for _ in range(2)]
    assert np.array_equal(*answers)
    assert counting.asked == 1
    for other in (case("clip", [0.3, 0.4], maximum=1.0), case("clip", [0.3, 2.0], maximum=3.0)):
        gradient = engine.value_and_gradients(other.graph, other.values)[1]["x0"]
        assert np.all(gradient != 0)
        assert not np.array_equal(gradient, answers[0])
    assert counting.asked == 3
    assert engine.name == counting.name
    assert engine.supports("tanh")
