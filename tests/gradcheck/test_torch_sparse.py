"""Sparse leaves: the entries that they store are variables, the others are not."""

import pytest
import torch

import gradcheck


class Scaled(torch.autograd.Function):
    """sparse @ dense with a factor in the gradient of the sparse matrix."""

    @staticmethod
    def forward(ctx, sparse, dense, factor):
        ctx.save_for_backward(sparse.detach(), dense)
        ctx.factor = factor
        return torch.sparse.mm(sparse, dense)

    @staticmethod
    def backward(ctx, u):
        sparse, dense = ctx.saved_tensors
        pattern = sparse.coalesce()
        wanted = (u @ dense.T)[tuple(pattern.indices())] * ctx.factor
        return torch.sparse_coo_tensor(pattern.indices(), wanted, sparse.shape), sparse.t() @ u, None


def _matrix() -> torch.Tensor:
    dense = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.where(dense.abs() < 0.6, 0.0, dense)


def _weights() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(5, 3, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_right_gradients_of_sparse_leaves_pass(layout):
    sparse = _matrix().to_sparse(layout=layout).requires_grad_()
    report = gradcheck.verify(torch.matmul, sparse, _weights())
    assert report.ok, str(report)


def test_only_stored_entries_are_moved():
    report = gradcheck.verify(torch.sparse.mm, _matrix().to_sparse().requires_grad_(), _weights())
    assert report.ok, str(report)
    assert report.cost.forward_evaluations < 40


@pytest.mark.filterwarnings("ignore:Sparse")  # of the sparse tensor that the backward pass makes itself
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (2.0, "fail")])
def test_a_factor_in_a_sparse_gradient_is_seen(factor, verdict):
    sparse = _matrix().to_sparse().requires_grad_()
    report = gradcheck.verify(Scaled.apply, sparse, _weights(), factor, variations=False)
    assert report.verdict == verdict, str(report)
    if verdict == "fail":
        assert report.parameters["inputs[0]"].verdict == "fail"
        assert report.parameters["inputs[1]"].verdict == "pass"
