"""Paths that autograd does not see: the cut is blamed at its line, and harmless cuts are not."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from blame_lines import line
from torch import nn

from gradcheck.blame import find_blame


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def detach(x, w):
    return x * w.detach()  # detach


def data(x, w):
    return x * w.data  # data


def item(x, w):
    return x * w.sum().item()  # item


def as_float(x, w):
    return x * float(w[0])  # as_float


def tolist(x, w):
    return x * torch.tensor(w.tolist())  # tolist


def round_trip(x, w):
    scaled = np.sin(w.detach().numpy())  # round_trip
    return x * torch.from_numpy(scaled)


def without_grad(x, w):
    with torch.no_grad():
        scale = w.exp()  # without_grad
    return x * scale


def inference(x, w):
    with torch.inference_mode():
        scale = w.exp()  # inference
    return x * scale.clone()


def retold(x, w):
    return x * torch.tensor([w[0], w[1], w[2]])  # retold


def data_written(x, w):
    y = x * w
    y.data.mul_(2.0)  # data_written
    return y


def written_without_grad(x, w):
    y = x * w
    with torch.no_grad():
        y *= w  # written_without_grad
    return y


def into_buffer(x, w):
    buffer = torch.zeros(3)
    with torch.no_grad():
        buffer.add_(w)  # into_buffer
    return x * buffer


def new_leaf(x, w):
    return x * nn.Parameter(w)  # new_leaf


def new_leaf_of_a_result(x, w):
    return x * nn.Parameter(w * 2)  # new_leaf_of_a_result


CUTS = [
    detach, data, item, as_float, tolist, round_trip, without_grad, inference, data_written,
    written_without_grad, into_buffer, new_leaf, new_leaf_of_a_result,
]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_the_line_that_cuts_the_path_is_blamed_and_names_the_parameter(cut):
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    result = find_blame(lambda: [cut(x, w).sin()], {"x": x, "w": w})
    (blame,) = result.blames
    assert blame.location == line(cut.__name__)
    assert "to w" in blame.message or "to x, w" in blame.message or "to w, x" in blame.message
    assert not result.all_calls_right


def test_a_tensor_made_of_tensors_has_no_history():
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [retold(x, w).sin()], {"x": x, "w": w}).blames
    assert (blame.operation, blame.location) == ("torch.tensor", line("retold"))


def softmax(x, w):
    scores = x * w
    shifted = scores - scores.max().detach()
    return shifted.exp() / shifted.exp().sum()


def logsumexp(x, w):
    scores = x * w
    largest, other = scores.max().item(), scores.detach().max()
    return largest / 2 + other / 2 + (scores - largest / 2 - other / 2).exp().sum().log()


def running_statistics(x, w):
    norm = nn.BatchNorm1d(3)
    return norm((x * w).expand(4, 3) * torch.arange(12.0).reshape(4, 3))


def logged(x, w):
    y = x * w
    assert float(y.sum()) == y.sum().item()
    np.asarray(y.detach())
    return y


@pytest.mark.parametrize(
    "harmless", [softmax, logsumexp, running_statistics, logged], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("seed", range(4))
def test_a_cut_that_changes_no_derivative_is_innocent(harmless, seed):
    torch.manual_seed(seed)
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    result = find_blame(lambda: [harmless(x, w)], {"x": x, "w": w})
    assert result.blames == ()
    assert result.all_calls_right


def test_two_cuts_among_harmless_ones_are_both_found():
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)

    def run():
        y = softmax(softmax(x, w), w.detach())  # first of two
        for _ in range(4):
            y = softmax(y, w)
        return [y * w.sum().item()]  # second of two

    result = find_blame(run, {"x": x, "w": w})
    assert {blame.location for blame in result.blames} == {line("first of two"), line("second of two")}


def test_cuts_in_series_are_both_found():
    w, v = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)

    def run():
        scale = w.detach().exp()  # upstream
        mixed = (scale + v).detach()  # downstream
        return [mixed * v]

    result = find_blame(run, {"w": w, "v": v})
    assert {blame.location for blame in result.blames} == {line("upstream"), line("downstream")}


def test_only_paths_to_wrong_parameters_are_blamed():
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    assert find_blame(lambda: [x * w.detach()], {"x": x, "w": w}, wrong=["x"]).blames == ()


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))

    def forward(self, x):
        weight = self.weight

        class Multiply(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(weight)
                return x * weight  # closure

            @staticmethod
            def backward(ctx, g):
                return g * ctx.saved_tensors[0]

        return Multiply.apply(x)


def test_a_parameter_that_a_function_reads_behind_autograds_back_is_found():
    model, x = Closure(), torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [model(x)], {"x": x, "weight": model.weight}).blames
    assert blame.operation == "Multiply.forward"
    assert blame.location == line("closure")
    assert "reads weight" in blame.message


class Unmarked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        first, second = x * 2, x * 3
        ctx.mark_non_differentiable(second)
        return first, second

    @staticmethod
    def backward(ctx, g, _):  # unmarked
        return 2 * g


def test_a_result_marked_non_differentiable_is_found():
    x = torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [sum(Unmarked.apply(x))], {"x": x}).blames
    assert (blame.operation, blame.location) == ("Unmarked.backward", line("unmarked"))


def test_a_cut_beside_a_wrong_backward_are_two_faults():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, g):  # half
            return g / 2

    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    result = find_blame(lambda: [Half.apply(x) * w.detach()], {"x": x, "w": w})  # beside
    assert {blame.location for blame in result.blames} == {line("half"), line("beside")}


def test_leaves_and_random_state_are_put_back():
    x = torch.randn(3, requires_grad=True)
    before, state = x.detach().clone(), torch.random.get_rng_state()
    find_blame(lambda: [torch.dropout(x * x.detach(), 0.5, True)], {"x": x})
    assert torch.equal(x, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert x.grad is None


def test_the_search_among_many_cuts_is_cheap():
    x, w = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)

    def run():
        y = x
        for _ in range(24):
            y = softmax(y, w)
        return [y * w.detach()]

    result = find_blame(run, {"x": x, "w": w})
    assert len(result.blames) == 1
    assert result.cost.runs <= 30
