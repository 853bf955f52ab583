"""The conformance suite passes a right engine, and finds what is planted into a wrong one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.engines import conformance
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.samples import SAMPLES
from gradcheck.errors import UsageError
from reference_impl import RULES


def planted(operation, change):
    """Return an engine whose vjp for one operation is passed through ``change``."""
    rule = RULES[operation]

    def vjp(cotangent, output, inputs, **attributes):
        return change(rule.vjp(cotangent, output, inputs, **attributes))

    return ReferenceEngine({**RULES, operation: replace(rule, vjp=vjp)}, name="planted")


def test_every_operation_has_a_sample():
    assert set(SAMPLES) == set(RULES)


def test_the_reference_engine_conforms():
    outcome = conformance.check(ReferenceEngine())
    assert outcome.ok, str(outcome)
    assert len(outcome.met) == len(conformance.requirements(ReferenceEngine())) > 250


def negated(cotangents):
    return tuple(-c for c in cotangents)


@pytest.mark.parametrize("operation", sorted(RULES))
def test_a_wrong_sign_in_any_operation_is_found(operation):
    found = conformance.requirements(planted(operation, negated))
    first = next(requirement for requirement in found if requirement.name == f"{operation}-1")
    with pytest.raises(conformance.NotConforming, match="expected"):
        first.verify()


@pytest.mark.parametrize("operation", ["multiply", "softmax", "take"])
def test_a_wrong_operation_is_named_and_no_other(operation):
    outcome = conformance.check(planted(operation, negated))
    named = {name.rsplit("-", 1)[0] for name, _ in outcome.broken}
    assert named & set(RULES) == {operation}


def test_an_error_in_the_ninth_digit_is_seen_and_one_in_the_eleventh_is_not():
    assert not conformance.check(planted("exp", lambda c: (c[0] * (1 + 1e-8),))).ok
    assert conformance.check(planted("exp", lambda c: (c[0] * (1 + 1e-11),))).ok


def test_the_outcome_says_what_was_returned_and_what_was_expected():
    text = str(conformance.check(planted("square", lambda c: (2 * c[0],))))
    assert text.startswith("planted: ")
    assert "the gradient of square((2, 3)) for 'x0' is " in text
    assert "expected " in text


class Wrapped(ReferenceEngine):
    """The reference engine, misbehaving."""

    name = "misbehaving"

    def __init__(self, supports=None, change=None, **kwargs):
        super().__init__(**kwargs)
        self.list = supports
        self.change = change or (lambda value, gradients, values: (value, gradients))

    def supports(self, operation):
        return operation in RULES if self.list is None else self.list(operation)

    def value_and_gradients(self, graph, values, cotangent=None):
        value, gradients = super().value_and_gradients(graph, values, cotangent)
        return self.change(value, gradients, values)


def broken(engine):
    return {name for name, _ in conformance.check(engine).broken}


def test_an_engine_that_supports_everything_is_not_believed():
    assert broken(Wrapped(lambda operation: True)) == {"refuses-unknown-operations"}


def test_an_engine_of_few_operations_is_asked_for_these_only():
    names = [r.name for r in conformance.requirements(Wrapped(lambda operation: operation == "exp"))]
    assert {name.rsplit("-", 1)[0] for name in names} >= {"exp"}
    assert not any(name.startswith(("add", "gradients-add")) for name in names)


def test_accumulation_over_calls_is_found():
    kept = {}

    def accumulate(value, gradients, values):
        for name, gradient in gradients.items():
            key = name, gradient.shape
            kept[key] = kept.get(key, 0) + gradient
        return value, {name: kept[name, g.shape] for name, g in gradients.items()}

    assert "repetition-changes-nothing" in broken(Wrapped(change=accumulate))


def test_an_engine_that_writes_into_the_values_is_found():
    def write(value, gradients, values):
        for array in values.values():
            if array.flags.writeable and array.flags.c_contiguous:
                array *= 2
        return value, gradients

    assert "values-are-left-alone" in broken(Wrapped(change=write))


def test_a_leaf_without_gradient_is_found():
    def drop(value, gradients, values):
        return value, {name: g for name, g in gradients.items() if np.any(g)}

    assert {"unused-leaves-have-zeros", "output-may-be-a-leaf"} <= broken(Wrapped(change=drop))


def test_what_an_engine_refuses_is_counted_apart():
    def refuse(value, gradients, values):
        raise NotImplementedError("not today")

    outcome = conformance.check(Wrapped(change=refuse))
    assert outcome.ok
    assert len(outcome.unsupported) > 250
    assert outcome.met == ("refuses-unknown-operations",)


def test_what_is_no_engine_is_refused():
    with pytest.raises(UsageError, match="Expected an engine but got int"):
        conformance.requirements(3)
