"""Gradients that are right along what an input may be: symmetric matrices, log-probabilities, samples."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import gradcheck

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(4)


def _symmetric(dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    a = torch.randn(4, 4, dtype=dtype)
    return (a @ a.mH + torch.eye(4, dtype=dtype)).requires_grad_()


READERS = {
    "cholesky": torch.linalg.cholesky,
    "eigenvalues": torch.linalg.eigvalsh,
    "eigenvectors": lambda a: torch.linalg.eigh(a).eigenvectors.abs(),
    "normal density": lambda a: torch.distributions.MultivariateNormal(
        torch.zeros(4, dtype=a.dtype), a, validate_args=False
    ).log_prob(torch.ones(4, dtype=a.dtype)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
def test_what_reads_one_triangle_passes_with_a_note(name, dtype):
    report = gradcheck.verify(READERS[name], _symmetric(dtype))
    assert report.ok, str(report)
    assert "a symmetric matrix" in str(report)


def test_complex_ones_are_hermitian():
    report = gradcheck.verify(torch.linalg.cholesky, _symmetric(torch.complex128))
    assert report.ok, str(report)


def _log_determinant(change):
    class LogDeterminant(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return 2 * torch.linalg.cholesky(a).diagonal().log().sum()

        @staticmethod
        def backward(ctx, g):
            return change(g * torch.linalg.inv(ctx.saved_tensors[0]))

    return LogDeterminant.apply


def test_a_hand_written_gradient_may_be_symmetric_where_one_triangle_is_read():
    assert gradcheck.verify(_log_determinant(lambda g: g), _symmetric()).ok


@pytest.mark.parametrize("change", [lambda g: 2 * g, lambda g: g + g.trace() * 0.01, lambda g: g.triu()])
def test_and_is_wrong_where_it_is_wrong_along_symmetric_changes_or_not_symmetric(change):
    assert gradcheck.verify(_log_determinant(change), _symmetric()).verdict == "fail"


def _solved(factor):
    class Solved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            root = torch.linalg.cholesky(a)
            x = torch.cholesky_solve(b, root)
            ctx.save_for_backward(root, x)
            return x

        @staticmethod
        def backward(ctx, g):
            root, x = ctx.saved_tensors
            d = torch.cholesky_solve(g, root)
            return -factor * x @ d.mT, d

    return Solved.apply


def test_a_hand_written_gradient_may_fill_both_triangles_where_one_is_read():
    b = torch.randn(4, 2, dtype=DOUBLE, requires_grad=True)
    assert gradcheck.verify(_solved(1.0), _symmetric(), b).ok
    assert gradcheck.verify(_solved(1.01), _symmetric(), b).parameters["inputs[0]"].verdict == "fail"


def _quadratic(factor):
    class Quadratic(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, x):
            ctx.save_for_backward(a, x)
            return x @ a @ x.cos()

        @staticmethod
        def backward(ctx, g):
            a, x = ctx.saved_tensors
            outer = torch.outer(x, x.cos())
            return factor * g * (outer + outer.mT) / 2, g * (a @ x.cos() - (x @ a) * x.sin())

    return Quadratic.apply


def test_a_hand_written_gradient_may_be_symmetric_as_the_matrix_is():
    x = torch.randn(4, dtype=DOUBLE, requires_grad=True)
    assert gradcheck.verify(_quadratic(1.0), _symmetric(), x).ok
    assert gradcheck.verify(_quadratic(1.01), _symmetric(), x).parameters["inputs[0]"].verdict == "fail"


def test_a_transposed_gradient_is_no_convention():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return (g @ b.mT).mT, a.mT @ g

    b = torch.randn(4, 4, dtype=DOUBLE, requires_grad=True)
    assert gradcheck.verify(Product.apply, _symmetric(), b).parameters["inputs[0]"].verdict == "fail"


def test_numpy_gradients_of_symmetric_matrices():
    a = _symmetric().detach().numpy()

    def loss(s):
        return 2 * np.log(np.diag(np.linalg.cholesky(s))).sum()

    assert gradcheck.verify(loss, a, gradient=lambda s: np.linalg.inv(s)).ok
    assert gradcheck.verify(loss, a, gradient=lambda s: np.triu(np.linalg.inv(s))).verdict == "fail"


def _ctc(x):
    return functional.ctc_loss(x, torch.tensor([[1, 2]]), torch.tensor([5]), torch.tensor([2]))


def test_ctc_loss_of_log_probabilities_passes_with_a_note_and_of_others_fails():
    x = torch.randn(5, 1, 4, dtype=DOUBLE)
    report = gradcheck.verify(_ctc, x.log_softmax(-1).requires_grad_())
    assert report.ok, str(report)
    assert "log-probabilities" in str(report)
    assert gradcheck.verify(_ctc, x.requires_grad_()).verdict == "fail"


def test_samples_have_the_gradient_of_their_distribution():
    def sampled(a, b):
        return torch.distributions.Gamma(a, b).rsample()

    def scaled(a, b):
        return sampled(a, b) + (a.detach() - a) * 0.1

    a, b = (torch.tensor(v, dtype=DOUBLE, requires_grad=True) for v in ([0.5, 2.0, 9.0], [1.0, 2.0, 3.0]))
    report = gradcheck.verify(sampled, a, b)
    assert report.ok, str(report)
    assert "torch._standard_gamma" in str(report)
    assert gradcheck.verify(scaled, a, b).verdict == "fail"
