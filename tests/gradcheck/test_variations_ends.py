"""The last index of a table, and lengths that are equal by chance."""

from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.autograd import Function

import gradcheck
from cases.faults.torch import corners


@pytest.fixture(autouse=True)
def _chance():
    torch.manual_seed(3)


def _only(name, function, *args):
    (result,) = gradcheck.verify(function, *args, variations={name}).variations
    return result


def _leaf(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


class Table(Function):
    """Rows of a table by index; ``seen`` collects the indices asked for."""

    seen: ClassVar[set[int]] = set()

    @staticmethod
    def forward(ctx, table, index, axis):
        Table.seen |= set(index.tolist())
        ctx.shape, ctx.axis = table.shape, axis
        ctx.save_for_backward(index)
        return table.index_select(axis, index)

    @staticmethod
    def backward(ctx, g):
        (index,) = ctx.saved_tensors
        return g.new_zeros(ctx.shape).index_add(ctx.axis, index, g), None, None


@pytest.mark.parametrize("axis", [0, 1])
def test_the_last_row_of_a_table_is_looked_up_and_none_beyond(axis):
    Table.seen = set()
    result = _only("zero indices", lambda t, i: Table.apply(t, i, axis), _leaf(6, 9), torch.tensor([1, 3]))
    last = (5, 8)[axis]
    assert f"an index of inputs[1] made {last}, the last" in result.message
    assert max(Table.seen) == last


def test_where_the_gradient_does_not_tell_the_table_no_index_is_made_up():
    class Squares(Function):
        @staticmethod
        def forward(ctx, x, lengths):
            ctx.save_for_backward(x)
            return x**2 * lengths

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x * torch.tensor([1, 3]), None

    result = _only("zero indices", Squares.apply, _leaf(6, 2), torch.tensor([1, 3]))
    assert "the last" not in result.message


def test_parts_that_are_concatenated_are_grown_apart():
    program = corners.concatenation()
    result = _only("other sizes", program.function, *program.args)
    assert "axis 1 of inputs[0] alone made 5" in result.message
    assert "axis 1 of inputs[1] alone made 5" in result.message


class Loss(Function):
    """Cross entropy that would take fewer labels than rows, whose backward pass would not."""

    @staticmethod
    def forward(ctx, logits, labels):
        p = logits.softmax(-1)
        ctx.save_for_backward(p, labels)
        return -p.gather(1, labels[:, None]).log().mean()

    @staticmethod
    def backward(ctx, g):
        p, labels = ctx.saved_tensors
        grad = p.clone()
        grad[torch.arange(len(labels)), labels] -= 1
        return g * grad / len(labels), None


class First(Function):
    """The product of two, of which the second may be longer; nobody says what its rest is for."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b[: len(a)]

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b[: len(a)], g * a


class Attended(Function):
    """Scores of queries and keys, of as many rows by chance."""

    @staticmethod
    def forward(ctx, q, k):
        ctx.save_for_backward(q, k)
        return q @ k.mT

    @staticmethod
    def backward(ctx, g):
        q, k = ctx.saved_tensors
        return g @ k, g.mT @ q


class Biased(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4).double()

    def forward(self, a, b):
        return Attended.apply(self.layer(a), b)


class Square(Function):
    """Scores that the backward pass takes for those of a sequence with itself, and says so."""

    @staticmethod
    def forward(ctx, q, k):
        ctx.save_for_backward(q, k)
        return q @ k.mT

    @staticmethod
    def backward(ctx, g):
        q, k = ctx.saved_tensors
        if g.shape[0] != g.shape[1]:
            raise NotImplementedError("of a sequence with itself only")
        return g @ k, g.mT @ q


RIGHT = {
    "labels": lambda: (Loss.apply, _leaf(3, 5), torch.tensor([0, 2, 4])),
    "a lenient forward pass": lambda: (First.apply, _leaf(3), _leaf(3)),
    "queries and keys of a backward pass that refuses": lambda: (Square.apply, _leaf(5, 3), _leaf(5, 3)),
    "queries and keys": lambda: (Attended.apply, _leaf(5, 3), _leaf(5, 3)),
    "queries and keys behind a layer": lambda: (Biased(), _leaf(5, 4), _leaf(5, 4)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_lengths_that_belong_together_stay_so(name):
    report = gradcheck.verify(*RIGHT[name]())
    assert report.ok, str(report)
    (sizes,) = [v for v in report.variations if v.name == "other sizes"]
    assert ("alone made 6" in sizes.message) is name.startswith("queries")


def test_memory_that_is_handed_out_is_not_run_beyond():
    class Pointed(Attended):
        @staticmethod
        def forward(ctx, q, k):
            q.data_ptr()
            return Attended.forward(ctx, q, k)

    result = _only("other sizes", Pointed.apply, _leaf(5, 3), _leaf(5, 3))
    assert "alone" not in result.message
