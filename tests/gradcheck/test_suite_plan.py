"""Which cases a run consists of follows from the numbers given, and from nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from cases import ALL_FAMILIES, FAMILIES, generate, lecture_cases, to_json
from cases.kinks import TOUCHING
from cases.operations import ANALYTIC
from cases.plants import OPERATIONS
from gradcheck.errors import UsageError
from gradcheck.suite.plan import CASES, COMPLEX_TURNS, TURNS, Ticket, tickets


def test_families_take_turns_from_the_seed_upward():
    assert tuple(tickets(5, 7, ["dag", "mlp"], include_lecture=False)) == (
        Ticket("dag", 7),
        Ticket("mlp", 7),
        Ticket("dag", 8),
        Ticket("mlp", 8),
        Ticket("dag", 9),
    )


def test_the_worked_examples_come_first_and_are_not_counted():
    planned = tickets(3, 0, None, include_lecture=True)
    assert [ticket.family for ticket in planned[: len(lecture_cases())]] == ["lecture"] * len(lecture_cases())
    assert [ticket.family for ticket in planned[len(lecture_cases()) :]] == list(TURNS[:3])


def test_by_default_every_family_has_its_turn_and_every_operation_at_least_one():
    assert set(TURNS) == set(FAMILIES)
    assert set(COMPLEX_TURNS) == set(ALL_FAMILIES)
    for complex_numbers in (False, True):
        planned = tickets(CASES, 0, None, include_lecture=False, complex_numbers=complex_numbers)
        counted = Counter(ticket.family for ticket in planned)
        assert counted["operation"] >= len(OPERATIONS)
        assert counted["kink"] >= len(TOUCHING)
        assert not complex_numbers or counted["complex"] >= len(ANALYTIC)
        assert len(set(planned)) == CASES


def test_complex_numbers_are_for_engines_that_say_they_have_them():
    assert "complex" not in {ticket.family for ticket in tickets(100, 0, None, include_lecture=False)}
    asked = tickets(3, 0, ["complex"], include_lecture=False)
    assert {ticket.family for ticket in asked} == {"complex"}


def test_a_ticket_draws_the_case_that_its_name_says():
    assert to_json(Ticket("dag", 4).draw()) == to_json(generate("dag", 4))
    assert to_json(Ticket("lecture", 1).draw()) == to_json(lecture_cases()[1])


def test_a_family_named_twice_counts_once():
    twice = tickets(2, 0, ["mlp", "mlp"], include_lecture=False)
    assert tuple(twice) == (Ticket("mlp", 0), Ticket("mlp", 1))


def test_a_plan_takes_no_room_for_what_is_not_run_yet():
    plan = tickets(10**12, 0, None, include_lecture=True)
    assert len(plan) == 10**12 + len(lecture_cases())
    assert next(iter(plan)).family == "lecture"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((1, 0, ["dags"]), r"Unknown family 'dags'.*dag"),
        ((-1, 0, None), "not negative but got cases=-1"),
        ((1, -3, None), "not negative but got seed=-3"),
    ],
)
def test_what_cannot_be_run_is_refused(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        tickets(*given, include_lecture=False)
