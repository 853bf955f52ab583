"""The plots: what they leave out is said, and awkward numbers are drawn or refused, never raised."""

from __future__ import annotations

import math
import re

import pytest
from sample_reports import evidence, steps

from gradcheck.report.html.plots import heat, scatter
from gradcheck.report.html.plots import steps as draw_steps
from gradcheck.report.records import Evidence, Step

NOTHING = Evidence()


@pytest.mark.parametrize("paint", [heat, scatter, draw_steps])
def test_nothing_to_draw_is_no_plot(paint):
    assert paint(NOTHING, "k") is None


@pytest.mark.parametrize("paint", [heat, scatter, draw_steps])
def test_colours_follow_the_theme_of_the_page(paint):
    drawn = paint(evidence(), "k").svg
    assert "var(--plot-" in drawn
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)


@pytest.mark.parametrize("paint", [heat, scatter, draw_steps])
def test_text_stays_text_and_ids_are_prefixed(paint):
    drawn = paint(evidence(), "s0p1").svg
    assert "<text" in drawn
    assert all(name.startswith("s0p1-") for name in re.findall(r' id="([^"]+)', drawn))


def test_labels_of_ticks_are_not_rounded_with_the_coordinates():
    drawn = heat(Evidence(heat=((0.0, 0.125), (0.25, 0.5))), "k").svg
    assert ">0.3<" in drawn
    drawn = draw_steps(Evidence(steps=steps()), "k").svg
    assert {"1e-8", "1e-4", "1e-12"} <= set(re.findall(r">([^<>\n]+)</text>", drawn))


def test_blank_cells_are_counted():
    drawn = heat(Evidence(heat=((None, 1.0), (2.0, None)), heat_block=(1, 1)), "k")
    assert drawn.caption == (
        "The tensor as a matrix of 2 × 2 entries. Blank cells were not examined (2 cells of 4). "
        "Largest: 2, in row 1, column 0."
    )


@pytest.mark.parametrize(
    "rows",
    [
        ((0.0,),),
        ((0.0, 0.0),),
        ((1e-300, 1e300),),
        ((math.inf, 1.0),),
        ((math.nan, 1.0),),
        ((math.inf, None),),
        ((1.0, 2.0), (3.0,)),
        ((5e-324, 1.0),),
    ],
)
def test_awkward_discrepancies_are_drawn(rows):
    assert heat(Evidence(heat=rows), "k").svg.startswith("<svg")


@pytest.mark.parametrize(
    "pairs",
    [((0.0, 0.0),), ((1.0, 1.0),), ((1e300, -1e300),), ((5e-324, 0.0),), ((-1e-200, 1e-200), (0.0, 0.0))],
)
def test_awkward_pairs_are_drawn(pairs):
    assert scatter(Evidence(scatter=pairs), "k").svg.startswith("<svg")


def test_pairs_that_are_not_finite_are_left_out_and_counted():
    drawn = scatter(Evidence(scatter=((1.0, 1.0), (math.nan, 1.0), (math.inf, 0.0))), "k")
    assert drawn.caption.endswith("2 more are not finite and are left out.")
    assert scatter(Evidence(scatter=((math.nan, 1.0),)), "k") is None


def test_a_thinned_scatter_keeps_the_worst_and_says_so():
    wrong = (123.0, -123.0)
    pairs = tuple((float(i), float(i)) for i in range(5000))
    drawn = scatter(Evidence(scatter=(*pairs, wrong)), "k")
    assert "400 are drawn: the half farthest off" in drawn.caption
    thin = scatter(Evidence(scatter=pairs), "k")
    assert drawn.svg.count("\nM ") == thin.svg.count("\nM ")
    assert drawn.svg != thin.svg
    assert len(drawn.svg) < 20_000


def test_rungs_without_a_finite_bound_are_left_out():
    lost = Step(1e-9, math.nan, math.inf)
    unresolved = Step(1e-9, 2.0, 1e300)
    exact = Step(1.0, 2.0, 0.0)
    assert draw_steps(Evidence(steps=(lost, unresolved, exact)), "k") is None
    assert "8 steps were tried" in draw_steps(Evidence(steps=(*steps(), lost)), "k").caption


def test_rungs_at_the_ends_of_the_range_are_drawn():
    rungs = (Step(5e-324, -1e308, 1e99), Step(1e300, 1e308, 5e-324, chosen=True), Step(1.0, 0.0, 1e-9))
    assert draw_steps(Evidence(steps=rungs), "k").svg.startswith("<svg")


def test_ticks_within_a_decade_are_told_apart():
    rungs = tuple(Step(size, 1.0, size**2) for size in (6.2e-4, 1.2e-3, 2.5e-3))
    labels = re.findall(r">(\S+e-\d)</text>", draw_steps(Evidence(steps=rungs), "k").svg)
    assert len(labels) == len(set(labels)) >= 4


def test_steps_of_which_none_was_chosen_say_so():
    rungs = tuple(Step(step.size, step.estimate, step.bound) for step in steps())
    assert draw_steps(Evidence(steps=rungs), "k").caption == "8 steps were tried; none was chosen."
