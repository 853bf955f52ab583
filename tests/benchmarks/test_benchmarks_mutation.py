"""Mutants of the rules are made, caught, and called equivalent only where they are."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from benchmarks.equivalent import EQUIVALENT, reason_of
from benchmarks.mutants import mutants
from benchmarks.mutation import CAUGHT, CRASHES, Example, caught_in, contradiction, difference
from cases import generate
from reference_impl import RULES

# Without complex numbers, kinks and broadcasting: a default run has to catch every mutant of them.
SAMPLE = ("_softmax_vjp", "_standardise_vjp", "_reshape_vjp", "_slice_vjp", "_subtract_vjp")
EXAMPLES = {"_relu_vjp", "_clip_vjp", "_layer_norm_vjp", "_extremum_vjp", "_minimum_vjp"}


@functools.cache
def all_mutants():
    return tuple(mutants())


@pytest.mark.parametrize("function", SAMPLE)
def test_a_default_run_catches_every_mutant_of(function):
    tried = [m for m in all_mutants() if m.function == function]
    assert tried
    assert [m.name for m in tried if not caught_in(m, CAUGHT)] == []
    assert any(caught_in(m, CAUGHT) != CRASHES for m in tried)


def test_the_kinds_of_change_are_all_there():
    assert {m.kind for m in all_mutants()} >= {
        "term dropped",
        "factor dropped",
        "operands",
        "sign",
        "constant",
        "forgotten",
        "input for output",
        "output for input",
        "comparison",
    }


def test_every_rule_has_mutants_with_names_of_their_own():
    assert {operation for m in all_mutants() for operation in m.operations} == set(RULES)
    assert len({m.name for m in all_mutants()}) == len(all_mutants())


def test_a_mutant_changes_the_vjps_that_call_it_and_nothing_else():
    for m in all_mutants()[::40]:
        changed = {name for name in RULES if m.rules[name] is not RULES[name]}
        assert changed == set(m.operations)
        assert all(m.rules[name].forward is RULES[name].forward for name in RULES)


def test_a_helper_is_mutated_under_every_rule_that_uses_it():
    (forgotten,) = [
        m
        for m in all_mutants()
        if m.function == "unbroadcast" and m.change == "return cotangent.reshape(shape)"
    ]
    assert {"add", "multiply", "dropout", "layer_norm", "huber"} <= set(forgotten.operations)


def test_where_nothing_is_changed_there_is_no_difference():
    example = Example.of(generate("dag", 3))
    unchanged = next(
        m for m in all_mutants() if not {n.operation for n in example.case.graph.nodes} & set(m.operations)
    )
    assert difference(unchanged, example) == 0


def test_every_reason_is_that_of_a_mutant():
    for function, pattern, why in EQUIVALENT:
        matching = [m for m in all_mutants() if m.function == function and re.fullmatch(pattern, m.change)]
        assert matching, (function, pattern)
        assert all(reason_of(m) for m in matching)
        assert why


def test_equivalent_mutants_give_the_right_gradients():
    tried = [m for m in all_mutants() if m.function in EXAMPLES and reason_of(m)]
    assert len(tried) > len(EXAMPLES)
    for m in tried:
        assert contradiction(m, cases=8) == "", m.name


def test_a_wrong_mutant_contradicts_whoever_calls_it_equivalent():
    wrong = next(m for m in all_mutants() if m.function == "_tanh_vjp" and m.kind == "sign")
    assert contradiction(wrong, cases=8)
    tied = next(m for m in all_mutants() if m.function == "_norm_vjp" and "output == 0, 0" in m.change)
    with np.errstate(all="ignore"):
        assert contradiction(tied, cases=8).startswith("kink of norm")
