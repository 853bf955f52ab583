"""Which part of an output a wrong gradient has something wrong from, and which cotangent it suits."""

import pytest
import torch

import gradcheck

DOUBLE = torch.float64


def _leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


def _squares(backward):
    """Return the squares of a matrix's entries, with a backward pass made of x and g."""

    class Squares(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return backward(ctx.saved_tensors[0], g)

    return Squares.apply


def _weights(backward):
    """Return x @ w, whose gradient of w gathers contributions of all rows."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g @ w.mT, backward(x, g)

    return Product.apply


def _first(function, *leaves, name="inputs[0]"):
    report = gradcheck.verify(function, *leaves, variations=False)
    assert report.verdict == "fail", str(report)
    return report.parameters[name].diagnoses[0]


@pytest.mark.parametrize(
    ("backward", "kind", "words"),
    [
        (lambda x, g: 2 * x * g.flip(0), "permuted", "read in reverse order along axis 0"),
        (lambda x, g: 2 * x * g.roll(1, 1), "permuted", "shifted by 1 along axis 1"),
        (lambda x, g: 2 * x * g.mean(), "cotangent", "replaced by its mean"),
        (lambda x, g: 2 * x * g.sum(0), "cotangent", "replaced by its sum along axis 0"),
        (lambda x, g: 2 * x * g[:, :1], "cotangent", "replaced by its first entry along axis 1"),
        (lambda x, g: 2 * x * g.mT, "transposed", "is transposed"),
    ],
)
def test_a_cotangent_that_is_mistaken_is_named(backward, kind, words):
    diagnosis = _first(_squares(backward), _leaf(4, 4))
    assert diagnosis.kind == kind
    assert (
        f"right for another cotangent: the cotangent is {words}".replace("is is", "is") in diagnosis.message
    )


@pytest.mark.parametrize(
    ("backward", "where", "what"),
    [
        (lambda x, g: x[:4].mT @ g[:4], "output[4:]", "nothing arrives from there"),
        (lambda x, g: x[1:].mT @ g[1:], "output[0]", "nothing arrives from there"),
        (lambda x, g: x.mT @ (g * (1 + (torch.arange(6) > 3))[:, None]), "output[4:]", "it arrives times 2"),
        (lambda x, g: x.mT @ (g * (1 - 2 * (torch.arange(6) == 5))[:, None]), "output[-1]", "the wrong sign"),
    ],
)
def test_the_part_of_an_output_that_something_wrong_arrives_from_is_named(backward, where, what):
    found = _first(_weights(backward), _leaf(6, 2), _leaf(2, 2), name="inputs[1]")
    assert f"wrong only in what it gets from {where}: " in found.message
    assert what in found.message


def test_an_output_whose_cotangent_is_ignored_is_named_before_what_that_looks_like():
    class SumAndSquares(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2, x.sum(-1)

        @staticmethod
        def backward(ctx, g, ignored):
            return 2 * ctx.saved_tensors[0] * g

    diagnosis = _first(SumAndSquares.apply, _leaf(4, 5))
    assert diagnosis.message.startswith(
        "inputs[0]'s gradient is wrong only in what it gets from output[1]: nothing arrives from there"
    )


def test_exchanged_cotangents_are_named():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return h * x.cos() - g * x.sin()

    diagnosis = _first(Both.apply, _leaf(4, 5))
    assert diagnosis.kind == "swapped"
    assert "of output[0] is taken for that of output[1]" in diagnosis.message


def test_a_factor_that_is_a_function_of_a_scaled_input_is_named():
    class Capped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, cap):
            return cap * (x / cap).tanh()

        @staticmethod
        def backward(ctx, g):
            return g, None

    diagnosis = _first(Capped.apply, _leaf(4, 5), 1.5)
    assert "1 - tanh((inputs[0]/1.5))²" in diagnosis.message


def test_a_right_gradient_pays_nothing_for_it(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("gradcheck.contributions.slopes", refuse)
    assert gradcheck.verify(_squares(lambda x, g: 2 * x * g), _leaf(4, 4)).ok
