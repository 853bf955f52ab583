"""Planted faults: each is wrong where it should be, and only there."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from cases import generate
from cases.faults import exposing, rule_faults, shows
from cases.kinks import TOUCHING
from reference_impl import RULES, value_and_gradients

FAULTS = rule_faults()
KINDS = {"sign", "factor", "path", "almost", "unreduced", "tie", "term"}
DIAGNOSES = {
    "severed",
    "sign",
    "scale",
    "transposed",
    "permuted",
    "swapped",
    "missing-term",
    "unreduced",
    "partial",
    "masked",
    "non-finite",
    "unexplained",
}


@pytest.mark.parametrize("kind", ["sign", "factor", "path", "almost"])
def test_every_rule_has_a_twin_of_each_kind(kind):
    assert {fault.operation for fault in FAULTS if fault.kind == kind} == set(RULES)


def test_every_input_is_tampered_with():
    signs = Counter(fault.operation for fault in FAULTS if fault.kind == "sign")
    for name, rule in RULES.items():
        assert signs[name] == (rule.arity[1] or 2), name


def test_every_broadcasting_operation_has_a_twin_that_forgets_to_sum():
    forgetting = {fault.operation for fault in FAULTS if fault.kind == "unreduced"}
    assert {
        "add",
        "multiply",
        "power",
        "where",
        "matmul",
        "broadcast_to",
        "layer_norm",
        "conv2d",
    } <= forgetting


def test_every_rule_with_a_kink_has_a_twin_that_is_wrong_there():
    wrong_at_ties = {fault.operation for fault in FAULTS if fault.kind == "tie"}
    assert {name for name, rule in RULES.items() if rule.kink} - {"power"} <= wrong_at_ties


def test_names_are_different_and_the_words_known():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.kind for fault in FAULTS} == KINDS
    assert {fault.diagnosis for fault in FAULTS} <= DIAGNOSES
    assert all(fault.name.startswith(f"{fault.operation}: ") for fault in FAULTS)


@pytest.mark.parametrize("operation", RULES)
def test_each_fault_shows_on_a_case_around_its_operation(operation):
    for fault in FAULTS:
        if fault.operation == operation:
            case = next(exposing(fault), None)
            assert case is not None, fault.name
            assert shows(fault, case)


def test_only_one_rule_is_wrong():
    for fault in FAULTS:
        assert fault.rules.keys() == RULES.keys()
        changed = [name for name in RULES if fault.rules[name] is not RULES[name]]
        assert changed == [fault.operation]
        assert fault.rules[fault.operation].forward is RULES[fault.operation].forward


def test_a_case_without_the_operation_shows_nothing():
    case = generate("mlp", 1)
    fault = next(fault for fault in FAULTS if fault.operation == "conv2d")
    assert not shows(fault, case)
    _, right = value_and_gradients(case.graph, case.values)
    _, same = value_and_gradients(case.graph, case.values, rules=fault.rules)
    assert all((right[name] == same[name]).all() for name in right)


def test_faults_at_ties_are_right_everywhere_else():
    for fault in FAULTS:
        if fault.kind == "tie" and fault.operation != "prod":
            for case in (generate("dag", seed) for seed in range(12)):
                assert not shows(fault, case), fault.name


def test_faults_at_ties_are_found_at_kinks():
    for fault in FAULTS:
        if fault.kind == "tie":
            assert fault.operation in TOUCHING
            case = next(exposing(fault))
            with np.errstate(invalid="ignore", divide="ignore"):
                _, wrong = value_and_gradients(case.graph, case.values, rules=fault.rules)
            assert any(not np.isfinite(g).all() for g in wrong.values()) is (fault.diagnosis == "non-finite")


def test_almost_right_is_almost_right():
    for fault in FAULTS:
        if fault.kind == "almost":
            # Where terms cancel, as in a / a, the error is large beside what is left: not in every case.
            cases = islice(exposing(fault), 5)
            assert any(not shows(fault, case, tolerance=1.1e-4) for case in cases), fault.name
