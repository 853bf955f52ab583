"""Several processes find what one finds, in the same order, and end when they are told to."""

from __future__ import annotations

import multiprocessing

import pytest
from suite_engines import Raising, with_vjp

from gradcheck.engines.reference import ReferenceEngine
from gradcheck.suite import run_suite
from gradcheck.suite.workers import sendable

OPTIONS = {"families": ["kink"], "cases": 64}


def names(**options):
    seen = []
    result = run_suite(**OPTIONS, **options, on_result=lambda report, case: seen.append(case.name))
    return result, seen


def test_two_processes_find_what_one_finds_in_the_same_order():
    alone, one = names(engine=ReferenceEngine())
    together, two = names(engine=ReferenceEngine(), jobs=2)
    assert two == one
    assert together.operations == alone.operations
    assert together.notes == ()
    assert not multiprocessing.active_children()


def test_stopping_ends_the_workers():
    class Stop(BaseException):
        pass

    def take(report, case):
        raise Stop

    with pytest.raises(Stop):
        run_suite(ReferenceEngine(), **OPTIONS, jobs=2, on_result=take)
    assert not multiprocessing.active_children()


def test_an_engine_that_cannot_be_sent_is_run_in_one_process():
    engine = with_vjp("exp", lambda cotangents: cotangents)
    assert sendable(engine, None) is None
    result, _ = names(engine=engine, jobs=2)
    assert "cannot be sent to other processes" in result.notes[0]
    assert result.cases == 64


def test_what_can_be_sent():
    assert sendable(ReferenceEngine(), None)
    assert sendable(Raising(), None)
    assert sendable(with_vjp("exp", tuple), ReferenceEngine)
    assert sendable(ReferenceEngine(), lambda: None) is None
