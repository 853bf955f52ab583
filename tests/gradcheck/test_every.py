"""Every entry: found where directions miss it, the same in batches as one by one, and nothing left behind."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject
from gradcheck.subjects.torch import Opened
from gradcheck.subjects.torch.batched import Batched, Refused


class Unmapped(torch.autograd.Function):
    """A Function in the old style, which vmap refuses."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, cotangent):
        return 3 * ctx.saved_tensors[0] ** 2 * cotangent


class Counting(nn.Module):
    """Writes what it has seen into a buffer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, 12, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(12, dtype=torch.float64))

    def forward(self, x):
        self.seen += (x * self.weight).detach()
        return (x * self.weight).sin()


def in_place(x, y):
    y.mul_(x)
    x = x * 1
    x.add_(1).sin_()
    return x * y


def only_single(x, w):
    if x.dtype is not torch.float32:
        raise TypeError("float32 only")
    return torch.tanh(x @ w)


def draws(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(3))


def leaf(*shape, dtype=torch.float64):
    return draws(*shape, dtype=dtype).requires_grad_()


def tied():
    outer, inner = nn.Linear(4, 4), nn.Linear(4, 4)
    outer.weight = inner.weight
    return nn.Sequential(inner, nn.Tanh(), outer).double()


BATCHED = {
    "module": lambda: (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double(), draws(3, 4)),
    "float32 module": lambda: (nn.Sequential(nn.Linear(4, 5), nn.Tanh()), draws(3, 4, dtype=torch.float32)),
    "tied": lambda: (tied(), draws(3, 4)),
    "convolution": lambda: (nn.Conv2d(2, 3, 3).double(), draws(2, 2, 5, 5)),
    "dropout": lambda: (nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.4), nn.Tanh()).double(), draws(3, 4)),
    "batch norm": lambda: (
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh()).double(),
        draws(6, 4),
    ),
    "batch norm, eval": lambda: (
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)).double().eval(),
        draws(6, 4),
    ),
    "layer norm": lambda: (nn.LayerNorm(8).double(), leaf(3, 8)),
    "relu": lambda: (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).double(), draws(5, 4)),
    "function": lambda: (lambda x, y: torch.softmax(x @ y, -1), leaf(4, 5), leaf(5, 3)),
    "bound method": lambda: (nn.Linear(4, 3).double().forward, draws(3, 4)),
    "complex": lambda: (lambda x: x * x.conj() + torch.exp(x), leaf(9, dtype=torch.complex128)),
    "complex to real": lambda: (lambda x: x.abs() ** 2, leaf(9, dtype=torch.complex128)),
    "buffer in place": lambda: (Counting(), draws(12)),
    "input in place": lambda: (in_place, leaf(9), draws(9)),
    "float32 only": lambda: (only_single, leaf(3, 4, dtype=torch.float32), leaf(4, 3, dtype=torch.float32)),
    "several outputs": lambda: (lambda x: {"a": x.sin(), "b": [x.sum(), x.detach()]}, leaf(3, 4)),
}
ALONE = {
    "custom Function": lambda: (Unmapped.apply, leaf(10)),
    "item": lambda: (lambda x: x * float(x.detach().sum() > 100) + x**2, leaf(10)),
    "numpy": lambda: (
        lambda x: x * torch.from_numpy(np.ones(10)) + 0 * float(x.detach().numpy()[0]),
        leaf(10),
    ),
    "lstm": lambda: (nn.LSTM(2, 2).double(), draws(3, 1, 2)),
}


def examined(make, together):
    torch.manual_seed(1)
    function, *args = make()
    with Opened(function, args, {}, None) as subject:
        if not together:
            subject.together = lambda name: None
        dtypes = {name: str(t.dtype).removeprefix("torch.") for name, t in subject.variables.items()}
        return examine_subject(subject, Options.of(effort="every"), dtypes)


@pytest.mark.parametrize("name", BATCHED)
def test_batched_and_unbatched_entries_agree_within_their_bars(name):
    batched, alone = examined(BATCHED[name], True), examined(BATCHED[name], False)
    assert "batched by" in batched.notes[-1]
    assert "one by one" in alone.notes[-1]
    for leaf_name, finding in batched.findings.items():
        other = alone.findings[leaf_name]
        mine, theirs = finding.entries, other.entries
        assert (finding.verdict, other.verdict) == ("pass", "pass"), (finding.message, other.message)
        assert mine.exact
        assert mine.flat.tolist() == theirs.flat.tolist() == list(range(mine.flat.size))
        assert (mine.claimed == theirs.claimed).all()
        apart = abs(mine.expected - theirs.expected)
        assert (apart <= mine.uncertainty + theirs.uncertainty)[~mine.kink].all()
        assert np.median(mine.uncertainty) <= 4 * np.median(theirs.uncertainty) + 1e-300
    assert len(batched.notes) == 1


@pytest.mark.parametrize("name", ALONE)
def test_what_vmap_refuses_is_examined_one_by_one(name):
    found = examined(ALONE[name], True)
    assert "one by one" in found.notes[-1]
    assert all(f.verdict == "pass" and f.entries.exact for f in found.findings.values())


def test_a_batch_that_computes_something_else_is_refused():
    hidden = leaf(9)

    def batch_sensitive(x):
        return x * (1.0 if torch._C._functorch.is_batchedtensor(x) else 2.0)

    refused = pytest.raises(Refused, match="others than those of one evaluation")
    with Opened(batch_sensitive, (hidden,), {}, None) as subject, refused:
        Batched(subject, "inputs[0]")
    assert gradcheck.verify(batch_sensitive, hidden, effort="every", variations=False).ok


class Entry(torch.autograd.Function):
    """y = s (x - 1) with sizes s; the gradient of one entry is times ``factor``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, sizes, factor):
        return sizes * (x - 1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.sizes, ctx.factor = inputs[1:]

    @staticmethod
    def backward(ctx, cotangent):
        gradient = cotangent * ctx.sizes
        mask = torch.zeros_like(gradient)
        mask[7] = 1
        return gradient * (1 + (ctx.factor - 1) * mask), None, None


def entry(factor):
    sizes = torch.ones(40, dtype=torch.float64)
    sizes[7] = 1e-14
    return (lambda x: Entry.apply(x, sizes, factor)), torch.ones(40, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("factor", [2.0, 0.0, -1.0])
def test_an_entry_that_directions_miss_is_found_among_all(factor):
    # of_largest would forgive it: an error of 1e-14 of the largest entry; rtol alone does not
    wrong, right = entry(factor), entry(1.0)
    options = {"rtol": 1e-6, "variations": False}
    probed = gradcheck.verify(*wrong, effort="probe", **options)
    least = probed.parameters["inputs[0]"].coverage.detectable
    assert probed.ok
    assert least is not None
    assert least > 1e-14  # and it says so
    found = gradcheck.verify(*wrong, effort="every", **options).parameters["inputs[0]"]
    assert found.verdict == "fail"
    assert found.wrong is not None
    assert (found.wrong.count, found.wrong.exact, found.wrong.indices) == (1, True, ((7,),))
    twin = gradcheck.verify(*right, effort="every", **options)
    assert twin.ok
    assert twin.parameters["inputs[0]"].coverage.entries == 40


class Halved(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, cotangent):
        gradient = ctx.saved_tensors[0].cos() * cotangent
        return torch.cat([gradient[:3] / 2, gradient[3:]])


def test_wrong_entries_are_counted_exactly_and_shown_with_their_steps():
    report = gradcheck.verify(Halved.apply, leaf(600), effort="every", variations=False)
    found = report.parameters["inputs[0]"]
    assert found.verdict == "fail"
    assert (found.wrong.count, found.wrong.examined, found.wrong.exact) == (3, 600, True)
    assert found.evidence.steps
    assert any("batched by" in note for note in report.notes)


def test_the_report_says_how_many_entries_in_what_time_and_how():
    model = nn.Sequential(nn.Linear(10, 30), nn.Tanh(), nn.Linear(30, 4)).double()
    report = gradcheck.verify(model, draws(5, 10), effort="every", variations=False)
    (note,) = [note for note in report.notes if note.startswith("every entry")]
    assert note.startswith("every entry: 454 entries in ")
    assert "batched by 300" in note
    assert report.to_dict()["options"]["effort"] == "every"
    for result in report.parameters.values():
        assert result.coverage.entries == result.coverage.total


def test_an_interrupt_leaves_the_users_state_as_it_was():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    calls = []

    def stop(module, args):
        calls.append(torch._C._functorch.is_batchedtensor(module.weight))
        if sum(calls) >= 4:  # in the middle of a batch
            raise KeyboardInterrupt

    model[0].register_forward_pre_hook(stop)
    torch.manual_seed(5)
    random.seed(5)
    state, python = torch.get_rng_state(), random.getstate()
    with pytest.raises(KeyboardInterrupt):
        gradcheck.verify(model, torch.ones(3, 4), effort="every")
    assert sum(calls) >= 4
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert torch.get_default_dtype() is torch.float32
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert value.dtype is before[name].dtype
    now = dict(model.named_parameters()) | dict(model.named_buffers())
    assert all(now[name] is tensor for name, tensor in tensors.items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.vmap(torch.sin)(torch.ones(3)).shape == (3,)  # no level of vmap is left open


def test_buffers_and_modules_are_as_before_after_batches():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert gradcheck.verify(model, draws(5, 4), effort="every", variations=False).ok
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_hand_written_gradient_is_examined_one_by_one():
    x = np.linspace(1, 2, 20)
    report = gradcheck.verify(
        lambda p: float((p**2).sum()), x, gradient=lambda p: 2 * p, effort="every", variations=False
    )
    assert report.ok
    assert any(note.startswith("every entry: 20 entries") and "one by one" in note for note in report.notes)


def test_second_order_is_examined_one_by_one():
    report = gradcheck.verify(torch.sin, leaf(9), order=2, effort="every", variations=False)
    assert report.ok
    assert any(note.startswith("second order: every entry") and "one by one" in note for note in report.notes)
