"""The numbers that courses teach, as they define them."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.metrics import elementwise_error, norm_error, taught, taught_errors

TRUE = np.array([1.0, -2.0, 0.0])


def test_elementwise_error_is_the_largest_of_the_entries():
    assert elementwise_error(np.array([1.0, -2.2, 0.0]), TRUE) == pytest.approx(0.2 / 4.2)


def test_elementwise_error_has_a_floor():
    assert elementwise_error(np.array([1e-10]), np.array([0.0])) == pytest.approx(1e-2)


def test_norm_error_is_one_number_for_all():
    claimed = np.array([1.0, -2.0, 0.3])
    expected = 0.3 / (np.linalg.norm(claimed) + np.linalg.norm(TRUE))
    assert norm_error(claimed, TRUE) == pytest.approx(expected)


def test_empty_and_zero_gradients_have_no_error():
    assert elementwise_error(np.zeros(0), np.zeros(0)) == 0.0
    assert norm_error(np.zeros(3), np.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("factor", "cs231n", "deeplearning"),
    [
        (1.0, "happy", "great"),
        (1 + 2e-6, "kinks", "maybe okay"),
        (1 + 1e-3, "uncomfortable", "look closely"),
        (1.1, "probably wrong", "worry"),
    ],
)
def test_readings_are_those_of_the_courses(factor, cs231n, deeplearning):
    each, together = taught_errors({"W": factor * TRUE}, {"W": TRUE})
    assert (each.course, each.parameter) == ("CS231n", "W")
    assert cs231n in each.reading
    assert together.parameter == "all parameters"
    assert deeplearning in together.reading
    assert str(each).startswith("CS231n, W: ")


def test_entries_not_examined_are_left_out():
    numerical = np.array([1.0, np.nan, 0.0])
    each, _ = taught_errors({"W": TRUE}, {"W": numerical})
    assert each.value == 0.0


def test_what_cannot_be_compared_is_left_out():
    assert taught_errors({"W": TRUE[:2]}, {"W": TRUE}) == ()
    assert taught_errors({}, {"W": TRUE}) == ()


def test_nan_reads_as_such():
    each, _ = taught_errors({"W": np.array([np.nan, 0.0, 0.0])}, {"W": TRUE})
    assert each.reading == "not a number"


def test_a_hand_written_gradient_is_read_as_courses_do():
    start = {"w": np.array([0.5, -1.0]), "b": 2.0}

    def loss(p):
        return np.sum(np.sin(p["w"])) * p["b"]

    def gradient(p):
        return {"w": np.cos(p["w"]) * p["b"], "b": -np.sum(np.sin(p["w"]))}

    w, b, together = taught(loss, start, gradient=gradient)
    assert w.value < 1e-9
    assert b.value == pytest.approx(1.0)
    assert "worry" in together.reading


def test_a_missing_gradient_is_left_out():
    readings = taught(lambda p: p["a"] * p["b"], {"a": 1.5, "b": 2.0}, gradient=lambda p: {"a": 2.0})
    assert [reading.parameter for reading in readings] == ["a", "all parameters"]
