"""The page of benchmarks says what the committed results say, and nothing else."""

from __future__ import annotations

import json
import platform
import re

import pytest

pytest.importorskip("jinja2")

from benchmarks import page
from benchmarks.record import Bar, Result, Table, bar_of
from benchmarks.sections import SECTIONS

RESULT = {
    "section": "power",
    "setting": {"python": "3.11"},
    "quick": False,
    "seconds": 1.0,
    **Result(
        tables=[Table("Faults", ("class", "caught"), [("masks", "3/4"), ("a|b", None)], "Read this.")],
        bars=[Bar("caught", 0.75, 0.98, at_least=True), Bar("seconds", 1.0, 2.0)],
        exceptions=["missed: one *here*"],
    ).to_json(),
}


def test_the_page_is_what_the_results_give():
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.load())


def test_every_section_has_results():
    assert list(page.load()) == [name for name, _ in SECTIONS]


def test_every_plot_is_there_and_no_other():
    drawn = {file.stem for file in (page.PAGE.parent / page.PICTURES).glob("*.svg")}
    assert drawn == {plot["name"] for result in page.load().values() for plot in result["plots"]}


def test_results_name_no_host_and_no_path():
    for name, result in page.load().items():
        text = json.dumps(result)
        assert not re.search(r"/(home|root|tmp|work|opt|usr)/", text), name
        assert len(platform.node()) < 4 or platform.node() not in json.dumps(result["setting"]), name


def test_missed_bars_are_shown_as_missed():
    shown = page.render({"power": RESULT})
    assert re.search(r"\| caught \| 0\.75 \| at least 0\.98 \| \*\*no\*\* \|", shown)
    assert re.search(r"\| seconds \| 1 \| at most 2 \| yes \|", shown)


def test_what_went_wrong_and_what_was_not_taken_is_shown():
    shown = page.render({"power": RESULT})
    assert r"- missed: one \*here\*" in shown
    assert "| a\\|b | – |" in shown


def test_a_quick_run_is_called_one():
    assert "A quick run" in page.render({"power": {**RESULT, "quick": True}})
    assert "A quick run" not in page.render({"power": RESULT})


@pytest.mark.parametrize(
    ("row", "at_least"),
    [
        ({"what": "w", "measured": 3.0, "bar": 2.0, "met": True}, True),
        ({"what": "w", "measured": 1.0, "bar": 2.0, "met": True}, False),
        ({"what": "w", "measured": 3.0, "bar": 2.0, "met": False}, False),
        ({"what": "w", "measured": 1.0, "bar": 2.0, "met": False}, True),
    ],
)
def test_rows_of_other_benchmarks_keep_their_sense(row, at_least):
    bar = bar_of(row)
    assert (bar.at_least, bar.met) == (at_least, row["met"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.99912, "0.99912"),
        (1.0, "1"),
        (1234, "1,234"),
        (1e-7, "1e-07"),
        (1e308, "without bound"),
    ],
)
def test_cells(value, shown):
    assert page.cell(value) == shown
