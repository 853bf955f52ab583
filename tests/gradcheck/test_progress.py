"""What a terminal is shown of a long examination, and that nothing else is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from gradcheck import progress
from gradcheck.progress import Watch, shown_in


@pytest.fixture
def clock(monkeypatch):
    """Let a test say what time it is."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def lent():
    return Progress(console=Console(file=io.StringIO(), width=80), disable=True)


def test_a_long_examination_is_announced_with_its_estimate(clock, monkeypatch):
    monkeypatch.setattr(progress, "_visible", lambda: True)
    bar = lent()
    with shown_in(bar), Watch(12_000) as watch:
        clock[0] = 1.0
        watch.advance(100)
        assert watch.seconds == 120
        assert "every entry of 12,000: about 2" in bar.console.file.getvalue()
        watch.advance(400)
        assert [(task.completed, task.total) for task in bar.tasks] == [(500, 12_000)]
    assert bar.tasks == []  # and the bar of the run itself goes on


def test_a_short_one_is_not(clock, monkeypatch):
    monkeypatch.setattr(progress, "_visible", lambda: True)
    bar = lent()
    with shown_in(bar), Watch(1000) as watch:
        clock[0] = 1.0
        watch.advance(500)
        assert watch.seconds == 2
        assert bar.tasks == []
    assert bar.console.file.getvalue() == ""


def test_nothing_is_shown_in_tests_or_without_a_terminal(clock, monkeypatch, capsys):
    bar = lent()
    with shown_in(bar), Watch(10**6) as watch:
        clock[0] = 1.0
        watch.advance(1)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with Watch(10**6) as watch:  # stderr is captured: no terminal
        clock[0] = 2.0
        watch.advance(1)
    assert bar.console.file.getvalue() == ""
    assert capsys.readouterr() == ("", "")
