"""What a newcomer's mistakes and circumstances are told as, for hand-written NumPy gradients."""

import numpy as np
import pytest

import gradcheck
from gradcheck.diagnose import Discrepancy, Facts, diagnose
from gradcheck.diagnose import explain as explaining
from gradcheck.diagnose.numbers import collect, name_factor


def softmax_bias(axis):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)), np.eye(4)

    def errors(p):
        z = x @ p["W"] + p["b"]
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def loss(p):
        return -np.sum(y * np.log(errors(p)))

    def gradient(p):
        d = errors(p) - y
        return {"W": x.T @ d, "b": d.sum(axis=axis)}

    params = {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}
    return gradcheck.verify(loss, params, gradient=gradient)


def test_a_sum_over_the_wrong_axis_may_leave_nothing_but_rounding():
    (found, *_) = softmax_bias(1).parameters["b"].diagnoses
    assert found.kind == "severed"
    assert "zero up to rounding" in found.message
    assert softmax_bias(0).ok


def test_a_loss_that_is_another_one_each_time_is_said_once_and_early():
    calls = []

    def loss(p):
        calls.append(1)
        return float((p["x"] ** 2).sum() + np.random.default_rng().normal())

    params = {"x": np.array([1.0, 2.0]), "y": np.ones(1)}
    report = gradcheck.verify(loss, params, gradient=lambda p: {"x": 2 * p["x"], "y": 0 * p["y"]})
    assert report.verdict == "fail"
    assert str(report).count("differs between two calls") == 1
    assert "nan" not in str(report)
    assert len(calls) < 10


def test_an_array_of_objects_is_refused_as_one():
    params = {"x": np.array([1.0, 2.0], dtype=object)}
    with pytest.raises(gradcheck.UsageError, match="x has the dtype object"):
        gradcheck.verify(lambda p: float(p["x"][0]), params, gradient=lambda p: p)


def test_a_gradient_that_is_nearly_right_is_asked_whether_it_is_meant_so():
    def verify(error):
        params = {"x": np.array([1.0, 2.0, 0.5, 1.5])}
        return gradcheck.verify(
            lambda p: np.sum(np.sin(p["x"])),
            params,
            gradient=lambda p: {"x": np.cos(p["x"]) + error * np.cos(9 * p["x"] ** 2)},
        )

    (found, *_) = verify(1e-5).parameters["x"].diagnoses
    assert "approximate by design" in found.message
    assert "give rtol=1e-" in found.message
    assert "approximate by design" not in str(verify(0.1))


def test_a_round_coefficient_is_no_product_of_lengths():
    known = collect({"the batch size": 5.0, "the length of y": 4.0}, {})
    assert name_factor(0.1, 1e-9, known, constants=False) is None
    assert name_factor(0.5, 1e-9, known, constants=False) is None
    assert name_factor(0.2, 1e-9, known, constants=False).formula == "1/5"
    assert name_factor(0.2, 1e-9, collect({"decay": 0.1}, {}), constants=False).formula == "2·0.1"
    assert name_factor(5**-0.5, 1e-9, known, constants=False).formula == "1/√5"
    assert name_factor(1 / (2 * 7 * 5), 1e-9, collect({}, {"X": (14, 5)})) is not None


def test_an_explanation_that_crashes_explains_nothing(monkeypatch):
    def crash(sample, scene):
        raise np.linalg.LinAlgError("SVD did not converge")
        yield

    monkeypatch.setattr(explaining, "FITTED", (crash, *explaining.FITTED))
    true = np.arange(1.0, 9.0)
    found = diagnose({"w": Discrepancy("w", 2 * true, true)}, Facts())
    assert found.of("w")[0].kind == "scale"


def test_numbers_that_are_none_crash_no_explanation():
    value = np.array([1.0, np.nan, 2.0, 3.0, 4.0])
    found = diagnose({"w": Discrepancy("w", np.full(5, 0.3), np.arange(1.0, 6.0), value=value)}, Facts())
    assert found.of("w")
