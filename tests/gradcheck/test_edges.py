"""At the ends of domains: outputs that are no numbers, slopes without end, and what passes there."""

import numpy as np
import pytest
import torch

import gradcheck

NAN, INF = float("nan"), float("inf")


def _vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def _verify(function, claimed, point, **options):
    return gradcheck.verify(
        lambda p: np.sum(function(p["x"])),
        {"x": np.array(point)},
        gradient=lambda p: {"x": np.array(claimed)},
        **options,
    )


@pytest.mark.parametrize("effort", ["auto", "every"])
@pytest.mark.parametrize("claimed", [3.0, -5.0, 1e9])
def test_no_finite_number_passes_where_a_slope_has_no_end(claimed, effort):
    report = _verify(np.sqrt, [claimed, 0.5], [0.0, 1.0], effort=effort)
    assert report.verdict == "inconclusive"
    assert report.parameters["x"].message.startswith("at [0] the slope grows with every smaller step")
    assert f"{claimed:.6g} is claimed" in report.parameters["x"].message


def test_beside_the_end_of_a_logarithm_that_a_clamp_holds_any_claim_is_left_open():
    def bent(x):
        inside = np.clip(x, -1 + 1e-15, 1 - 1e-15)
        return np.log1p(inside) - np.log1p(-inside)

    slopes = [2 / (1 - (1 - 1e-15) ** 2), 8 / 3, 2.0]
    report = _verify(bent, slopes, [1.0, 0.5, 0.0])
    assert report.verdict != "fail", str(report)
    assert "could not be resolved: [0]" in str(report)
    assert _verify(bent, [slopes[0], 8 / 3, 2.01], [1.0, 0.5, 0.0]).verdict == "fail"


@pytest.mark.parametrize("function", [np.cbrt, lambda x: np.sign(x) * np.sqrt(np.abs(x))])
def test_nor_where_it_has_none_on_either_side(function):
    slope = 1 / 3 if function is np.cbrt else 0.5
    assert _verify(function, [3.0, slope], [0.0, 1.0]).verdict == "inconclusive"
    assert _verify(function, [3.0], [0.0]).verdict == "inconclusive"


def test_alone_it_is_said_as_well():
    report = _verify(np.sqrt, [3.0], [0.0])
    assert report.verdict == "inconclusive"
    assert "no finite number is a derivative there" in str(report)


@pytest.mark.parametrize("claimed", [INF, 0.0])
def test_infinity_is_right_there_and_zero_is_a_convention(claimed):
    report = _verify(np.sqrt, [claimed, 0.5], [0.0, 1.0])
    assert report.ok
    assert claimed or any("could not be resolved: [0]" in note for note in report.parameters["x"].notes)


def test_a_slope_that_ends_is_no_matter_how_steep_judged():
    assert _verify(np.sqrt, [500.0, 0.5], [1e-6, 1.0]).ok
    for wrong in (-5.0, 400.0):
        report = _verify(np.sqrt, [wrong, 0.5], [1e-6, 1.0])
        assert report.verdict == "fail"
        assert "kink" not in str(report)
        assert report.parameters["x"].comparisons["finite differences"].expected == pytest.approx(500)


def test_powers_above_one_have_a_slope_at_the_end_of_their_domain():
    assert _verify(lambda x: x**1.5, [0.0, 1.5], [0.0, 1.0]).ok


def test_of_right_operations_any_number_passes():
    def safe(x):
        positive = x > 0
        return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0) + x

    report = gradcheck.verify(safe, _vector(0.0, 1.0, -1.0))
    assert report.ok
    reasons = ("every operation alone is right", "lie between the derivatives nearby")
    assert any(reason in note for reason in reasons for note in report.parameters["inputs[0]"].notes)


class Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sqrt()

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return u * torch.where(x > 0, 0.5 / x.sqrt(), 3.0)


def test_of_a_hand_written_operation_it_does_not():
    report = gradcheck.verify(Root.apply, _vector(0.0, 1.0), variations=False)
    assert report.verdict == "inconclusive"
    assert gradcheck.verify(torch.sqrt, _vector(0.0, 1.0)).ok


def test_where_no_output_is_a_number_nothing_was_verified():
    report = gradcheck.verify(torch.log, _vector(-1.0, -2.0))
    assert report.verdict == "inconclusive"
    assert "no output is finite here" in str(report)


def test_where_some_are_the_others_are_verified():
    report = gradcheck.verify(torch.log, _vector(-1.0, 2.0))
    assert report.ok
    assert "1 of 2 outputs are NaN: nothing was verified of them" in report.notes


def test_masked_scores_pass_without_a_word():
    hidden = torch.tensor([True, False, False])
    report = gradcheck.verify(lambda x: x.masked_fill(hidden, -INF), _vector(1.0, 2.0, 3.0))
    assert report.ok
    assert not report.notes


def test_what_has_no_entries_and_what_nothing_depends_on_say_so():
    empty = torch.randn(0, 3, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(torch.tanh, empty)
    assert report.ok
    assert report.parameters["inputs[0]"].notes == ("no entries: there is nothing to verify",)
    report = gradcheck.verify(lambda x: torch.ones(2), _vector(1.0))
    assert report.ok
    assert report.parameters["inputs[0]"].notes == ("the outputs do not depend on it",)
