"""What the search costs, counted in evaluations."""

from collections.abc import Iterator

import pytest
import torch
from blame_lines import line
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradcheck.blame import find_blame


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def test_a_correct_model_costs_two_runs_and_a_handful_of_evaluations_per_call():
    model, x = transformer(), torch.randn(2, 3, 8)
    cost = find_blame(lambda: [model(x)], dict(model.named_parameters())).cost
    assert (cost.runs, cost.backwards) == (2, 1)
    assert cost.pullbacks == cost.calls
    # each call: once with grad, four values; a kink nearby costs a longer ladder
    assert cost.evaluations <= 6 * cost.calls
    assert cost.forward_evaluations + 2 * cost.backward_evaluations <= 3 * 5


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):  # wrong
        return 2 * g


def test_a_fault_costs_a_few_runs_more():
    model, x = transformer(), torch.randn(2, 3, 8)
    result = find_blame(lambda: [Wrong.apply(model(x))], dict(model.named_parameters()))
    assert [blame.location for blame in result.blames] == [line("wrong")]
    assert result.cost.runs <= 7
    assert result.cost.backwards <= 2
    entries = 10 * x.numel()  # of the guilty operation, so that its mistake can be named
    assert result.cost.evaluations <= 8 * result.cost.calls + entries


def test_only_calls_on_the_way_to_wrong_parameters_are_examined():
    model, x = transformer(), torch.randn(2, 3, 8)
    parameters = dict(model.named_parameters())
    whole = find_blame(lambda: [model(x)], parameters).cost.calls
    last = find_blame(lambda: [model(x)], parameters, wrong=["layers.2.norm2.weight"]).cost.calls
    assert last < whole / 5


def test_examining_keeps_no_activations():
    """The tensors alive at one call, beyond those of the run itself, do not grow with the number of calls."""
    import gc
    import weakref

    x = torch.randn(64, requires_grad=True)
    alive: list[weakref.ref[torch.Tensor]] = []

    class Spy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            alive.append(weakref.ref(x))
            return x * 1.5

        @staticmethod
        def backward(ctx, g):
            return g * 1.5

    def run():
        y = x
        for _ in range(20):
            y = Spy.apply(y)
        gc.collect()
        counts.append(sum(reference() is not None for reference in alive))
        return [y]

    counts: list[int] = []
    find_blame(run, {"x": x})
    assert max(counts) <= 4


def recomputed(x):
    state["calls"] += 1
    return (x * state["calls"]).cos()


state = {"calls": 0}


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_whose_recomputation_differs_is_blamed(reentrant):
    x = torch.randn(4, requires_grad=True)

    def run():
        state["calls"] = 0
        hidden = checkpoint(recomputed, x.exp(), use_reentrant=reentrant)  # recomputed
        return [hidden.sin()]

    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.operation == "torch.utils.checkpoint"
    assert blame.location == line("recomputed")
