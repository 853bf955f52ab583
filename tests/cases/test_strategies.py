"""The generators under hypothesis: the same families, and what fails becomes small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from cases import ALL_FAMILIES, Case, CaseError
from cases.faults import rule_faults, shows
from cases.strategies import DrawnChoices, cases
from reference_impl import value_and_gradients

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEARCH = settings(
    max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
FAULTS = {fault.name: fault for fault in rule_faults()}


@pytest.mark.parametrize("family", [None, *ALL_FAMILIES])
@QUICK
@given(data=st.data())
def test_every_family_can_be_drawn(family, data):
    case = data.draw(cases(family))
    value, gradients = value_and_gradients(case.graph, case.values)
    assert np.isfinite(value).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_an_unknown_family_is_refused():
    with pytest.raises(
        CaseError, match=r"^Expected a family from mlp, dag, block, operation, kink, complex but got 'dogs'; "
    ):
        cases("dogs")


@pytest.mark.parametrize(
    "name",
    ["multiply: cotangent of its first input sign flipped", "add: cotangent of its second input is missing"],
)
def test_a_planted_fault_shrinks_to_almost_nothing(name):
    fault = FAULTS[name]
    smallest = find(cases("dag"), lambda case: shows(fault, case), settings=SEARCH)
    assert len(smallest.graph.nodes) <= 3
    assert all(value.size <= 4 for value in smallest.values.values())


def test_a_wide_and_deep_network_shrinks_to_one_neuron():
    def has_a_layer(case: Case) -> bool:
        return "W1" in case.graph.parameters

    smallest = find(cases("mlp"), has_a_layer, settings=SEARCH)
    assert smallest.graph.parameters["W1"] == (1, 1)
    assert "W2" not in smallest.graph.parameters


@settings(QUICK, phases=[Phase.generate])
@given(data=st.data())
def test_drawn_choices_keep_to_what_is_asked(data):
    choices = DrawnChoices(data.draw)
    assert 3 <= choices.integer(3, 5) <= 5
    assert choices.one_of("ab") in "ab"
    assert 1 <= len(list(choices.repeat(1, 4))) <= 4
    for shape in ((2, 2), (5, 7), (0, 3), ()):
        values, numbers = choices.array(shape, -1.0, 0.5), choices.integers(shape, -3, 3)
        assert values.shape == numbers.shape == shape
        assert (values.dtype, numbers.dtype) == (np.float64, np.int64)
        assert ((values >= -1.0) & (values <= 0.5)).all()
        assert ((numbers >= -3) & (numbers <= 3)).all()
    assert choices.boolean() in (True, False)
    assert choices.boolean(0.0) is False
