"""Every rule of the table has wrong twins, and each is caught on generated cases, named, and called wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from cases import generate
from cases.choices import SeededChoices
from cases.faults import rule_faults
from cases.operations import operation_of
from gradcheck import verify_case
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.report.records import Verdict
from gradcheck.suite.examine import examine
from reference_impl import RULES

SCANNED = {"dag": 90, "block": 20, "kink": 40}
CLAIMED_IS_WRONG = re.compile("the claimed gradient is the odd one out|wrong at a tie or kink")
TRIED = 6  # a mistake may lie on a dead branch of one case


@cache
def smallest_cases():
    """Return some small generated cases for each operation."""
    found = defaultdict(list)
    for family, seeds in SCANNED.items():
        for seed in range(seeds):
            case = generate(family, seed)
            for operation in {node.operation for node in case.graph.nodes}:
                found[operation].append(case)
    return {name: sorted(cases, key=lambda c: len(c.graph.nodes))[:TRIED] for name, cases in found.items()}


def negated(cotangent, inputs, found):
    return -found


def doubled(cotangent, inputs, found):
    return 2 * found


def almost(cotangent, inputs, found):
    return found * (1 + 1e-4)


def reverse(cotangent, inputs, found):
    return found[::-1].copy() if found.ndim and len(found) > 1 else 3 * found


def caught(operation, change, cases):
    """Return the outcome of the first case on which the twin fails."""
    rule = RULES[operation]

    def vjp(cotangent, output, inputs, **attributes):
        return tuple(change(cotangent, inputs, f) for f in rule.vjp(cotangent, output, inputs, **attributes))

    engine = ReferenceEngine({**RULES, operation: replace(rule, vjp=vjp)}, name="twin")
    outcomes = (examine(case, engine, {}, seed=1) for case in cases)
    return next((o for o in outcomes if o.report is not None and o.report.verdict is Verdict.FAIL), None)


OTHERS = (negated, doubled, reverse)
# Of each operation the twin that is hardest to see, and one of the others in turn.
TWINS = [(name, almost) for name in sorted(RULES)] + [
    (name, OTHERS[i % len(OTHERS)]) for i, name in enumerate(sorted(RULES)[::3])
]


@pytest.mark.parametrize(("operation", "change"), TWINS)
def test_a_wrong_twin_is_caught_on_generated_cases_and_blamed(operation, change):
    outcome = caught(operation, change, smallest_cases()[operation])
    assert outcome is not None, f"{operation} {change.__name__} passes"
    assert operation in {blame.operation for blame in outcome.report.blames}
    failing = [r for r in outcome.report.parameters.values() if r.verdict is Verdict.FAIL]
    assert any(CLAIMED_IS_WRONG.match(result.message) for result in failing)


PATHS = [fault for fault in rule_faults() if fault.kind == "path"]


def test_every_rule_has_a_twin_without_a_path():
    assert {fault.operation for fault in PATHS} == set(RULES)


@pytest.mark.parametrize("fault", PATHS, ids=lambda fault: fault.name)
def test_a_missing_path_is_caught_on_cases_of_the_operation_alone(fault):
    drawn = (operation_of(fault.operation, SeededChoices("missing path", seed)) for seed in range(4))
    engine = ReferenceEngine(fault.rules, "severed")
    assert any(verify_case(case, engine).verdict is Verdict.FAIL for case in drawn)
    right = operation_of(fault.operation, SeededChoices("missing path", 0))
    assert verify_case(right, ReferenceEngine()).ok


BROADCASTING = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "where"]


@pytest.mark.parametrize("operation", BROADCASTING)
def test_a_sum_over_broadcast_axes_that_is_missing_is_caught(operation):
    def first_only(cotangent, inputs, found):
        """Take the share of one copy where those of all copies are to be added."""
        copies = np.size(cotangent) // max(found.size, 1)
        return found / copies if copies > 1 else found

    broadcasts = [
        case
        for case in (generate("dag", seed) for seed in range(150))
        if any(
            node.operation == operation and len({case.graph.shapes[name] for name in node.inputs}) > 1
            for node in case.graph.nodes
        )
    ]
    outcome = caught(operation, first_only, broadcasts)
    assert outcome is not None
    assert operation in {blame.operation for blame in outcome.report.blames}


@pytest.mark.parametrize("operation", ["max", "min", "maximum", "minimum", "max_pool2d"])
def test_ties_that_each_receive_the_whole_cotangent_are_caught(operation):
    def whole(cotangent, inputs, found):
        return np.where(found != 0, np.sign(found) * np.abs(cotangent).max(initial=0), 0.0)

    ties = [c for c in (generate("kink", s) for s in range(300)) if operation in c.name]
    outcome = caught(operation, whole, ties[:TRIED])
    assert outcome is not None
    assert [blame.operation for blame in outcome.report.blames] == [operation]
