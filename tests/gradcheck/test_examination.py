"""What the examination says of the rounding of a gradient under test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_subject import examined, squares

from gradcheck.examination import Examination
from gradcheck.subjects.torch import Opened


class Rounded(torch.autograd.Function):
    """|z|^2, with a backward pass that keeps single precision only."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.real**2 + z.imag**2

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return (2 * g * z).to(torch.complex64).to(z.dtype)


class Exact(Rounded):
    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return 2 * g * z


def noise(function: type[torch.autograd.Function], unit: complex) -> float:
    z = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 50))).T.contiguous()
    with Opened(function.apply, [torch.view_as_complex(z).requires_grad_()], {}, None) as subject:
        exam = Examination(subject, seed=0)
        pulled = exam.pull()
        exam.rounding.check_linearity(pulled)
        direction = {"inputs[0]": torch.full((50,), unit, dtype=torch.complex128)}
        return exam.along(pulled, direction).noise


@pytest.mark.parametrize("unit", [1.0, 1.0j, 0.6 - 0.8j])
def test_measured_rounding_counts_along_every_direction_of_a_complex_leaf(unit):
    assert noise(Rounded, unit) > 1e-8
    assert noise(Exact, unit) < 1e-12


def test_the_direction_of_a_suspect_probe_can_be_drawn_again():
    exam, pulled = examined(squares({"a": np.array([1.0, 2.0]), "b": np.array([[3.0]])}, {"a": 0.5}))
    probe = exam.probe(pulled, ["a", "b"])
    exam.probe(pulled, ["b"])
    again = exam.along(pulled, probe.direction())
    assert (again.claimed, again.estimate.value) == (probe.claimed, probe.estimate.value)
    assert exam.probe(pulled, ["b"]).direction is None


def test_a_ramp_grows_with_the_index_in_units_of_each_leaf():
    exam, _ = examined(squares({"a": np.full((2, 2), 3.0), "b": np.array([1.0])}))
    ramp = exam.ramp({"a": 2.0})
    assert list(ramp) == ["a"]
    assert ramp["a"].reshape(-1) == pytest.approx([-2, -2 / 3, 2 / 3, 2])
    assert set(exam.ramp()) == {"a", "b"}
