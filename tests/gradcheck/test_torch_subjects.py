"""Every kind of PyTorch code is a subject: what is verified, under which name, and what is left untouched."""

from __future__ import annotations

import copy
import functools
import random
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck
from gradcheck import Report
from gradcheck.errors import TargetError, UsageError

DOUBLE = torch.float64


def _leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(5)


def _passes(*given: Any, **options: Any) -> Report:
    """Verify with default settings, and expect no complaint."""
    report = gradcheck.verify(*given, **options)
    assert report.ok, str(report)
    assert not [v for v in report.variations if v.verdict not in (None, "pass")]
    return report


def _fails(*given: Any, **options: Any) -> Report:
    report = gradcheck.verify(*given, **options)
    assert report.verdict == "fail", str(report)
    return report


class Scaled(torch.autograd.Function):
    """x * factor, for tests that need one that is right."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


class Doubled(torch.autograd.Function):
    """x**2 whose gradient is twice the true one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 4 * x * g


# Modules


class Tied(nn.Module):
    """Encoder and decoder share one weight; the bias of the second is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 4, bias=False)
        self.decoder = nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


def test_parameters_have_their_qualified_names_and_tied_ones_appear_once():
    report = _passes(Tied(), torch.randn(3, 4))
    assert list(report.parameters) == ["encoder.weight", "decoder.bias"]


def test_an_input_is_verified_beside_parameters_where_it_requires_grad():
    report = _passes(nn.Linear(4, 2).double(), _leaf(3, 4))
    assert list(report.parameters) == ["weight", "bias", "inputs[0]"]


def test_a_frozen_parameter_is_not_verified():
    layer = nn.Linear(4, 2).double()
    layer.weight.requires_grad_(False)
    assert list(_passes(layer, torch.randn(3, 4, dtype=DOUBLE)).parameters) == ["bias"]


class Restless(nn.Module):
    """Changes whatever a forward pass may change: a buffer, a counter, a mode, random states."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("average", torch.zeros(4))
        self.calls = 0
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        self.calls += 1
        self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        self.norm.running_mean.add_(1)
        noise = random.random() + float(np.random.rand())  # noqa: NPY002 - a user's forward pass may
        return self.drop(self.norm(x)) + noise


def test_everything_that_a_forward_pass_changes_is_put_back():
    model = Restless().train()
    model.norm.eval()
    model.norm.weight.grad = torch.full((4,), 3.0)
    state, gradient = copy.deepcopy(model.state_dict()), model.norm.weight.grad
    chance = (torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())  # noqa: NPY002
    x = torch.randn(5, 4)
    chance = (torch.random.get_rng_state(), *chance[1:])
    report = gradcheck.verify(model, x)
    assert report.ok, str(report)
    assert all(torch.equal(before, model.state_dict()[name]) for name, before in state.items())
    assert all(before.dtype == model.state_dict()[name].dtype for name, before in state.items())
    assert model.training
    assert not model.norm.training
    assert model.calls == 0
    assert model.norm.weight.grad is gradient
    assert torch.equal(gradient, torch.full((4,), 3.0))
    assert model.norm.bias.grad is None
    assert torch.equal(chance[0], torch.random.get_rng_state())
    assert chance[1] == random.getstate()
    assert np.array_equal(chance[2], np.random.get_state()[1])  # noqa: NPY002 - as above


class Hoarder(nn.Module):
    """Keeps what it has seen, and makes a table when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.seen: list[torch.Tensor] = []
        self.last: torch.Tensor | None = None

    def forward(self, x):
        if not hasattr(self, "table"):
            self.table = torch.arange(3, dtype=x.dtype)
            self.register_buffer("mask", torch.ones(3, dtype=x.dtype), persistent=False)
        self.seen.append(x)
        self.last = x
        return x * self.weight * self.table * self.mask * len(self.seen)


def test_what_a_forward_pass_adds_is_taken_away():
    model, x = Hoarder(), torch.randn(2, 3)
    report = _passes(model, x)
    assert report.parameters["weight"].digits > 6
    assert model.seen == []
    assert model.last is None
    assert not hasattr(model, "table")
    assert not list(model.buffers())
    assert model(x).dtype is torch.float32


def test_everything_is_put_back_after_a_failure_too():
    class Wrong(Restless):
        def forward(self, x):
            return super().forward(Doubled.apply(x * self.norm.weight))

    model = Wrong()
    state = copy.deepcopy(model.state_dict())
    report = _fails(model, torch.randn(5, 4))
    assert report.blame.operation == "Doubled.backward"
    assert all(torch.equal(before, model.state_dict()[name]) for name, before in state.items())
    assert model.calls == 0
    assert all(p.grad is None for p in model.parameters())


def test_parameter_objects_stay_the_same_and_keep_their_dtype():
    model = nn.Linear(3, 2)
    before = {name: (p, p.data_ptr(), p.dtype) for name, p in model.named_parameters()}
    _passes(model, torch.randn(2, 3))
    assert all(
        model.get_parameter(name) is p and p.data_ptr() == where and p.dtype is dtype
        for name, (p, where, dtype) in before.items()
    )


def test_a_forward_hook_is_part_of_the_function():
    layer = nn.Linear(3, 3).double()
    layer.register_forward_hook(lambda module, args, out: Scaled.apply(out, 3.0))
    _passes(layer, torch.randn(2, 3, dtype=DOUBLE))
    layer.register_forward_hook(lambda module, args, out: Doubled.apply(out))
    assert _fails(layer, torch.randn(2, 3, dtype=DOUBLE)).blame.operation == "Doubled.backward"


def test_a_hook_on_gradients_that_changes_them_is_a_fault():
    layer = nn.Linear(3, 3).double()
    layer.weight.register_hook(lambda g: g * 2)
    report = _fails(layer, torch.randn(2, 3, dtype=DOUBLE))
    assert report.parameters["weight"].verdict == "fail"
    assert report.parameters["bias"].verdict == "pass"


@pytest.mark.parametrize("wrap", ["weight_norm", "orthogonal"])
def test_parametrizations_are_respected(wrap):
    layer = getattr(nn.utils.parametrizations, wrap)(nn.Linear(3, 3))
    report = _passes(layer, torch.randn(2, 3))
    assert any(name.startswith("parametrizations.weight.original") for name in report.parameters)


# Callables


def test_partials_methods_and_callable_objects_are_functions():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, dtype=DOUBLE))

        def score(self, x, *, power):
            return (x * self.weight).abs() ** power

    class Functor:
        def __call__(self, x):
            return x.sin()

    model = Model()
    x = _leaf(2, 3)
    assert list(_passes(functools.partial(model.score, power=3), x).parameters) == ["weight", "inputs[0]"]
    assert list(_passes(functools.partial(torch.mul, x.detach()), x).parameters) == ["inputs[0]"]
    _passes(Functor(), x)


def test_a_module_in_a_closure_gives_its_parameters():
    first, second = nn.Linear(3, 3).double(), nn.Linear(3, 1).double()
    report = _passes(lambda x: second(torch.tanh(first(x))), torch.randn(2, 3, dtype=DOUBLE))
    assert set(report.parameters) == {"first.weight", "first.bias", "second.weight", "second.bias"}


def test_the_apply_of_a_function_is_a_function():
    report = _passes(Scaled.apply, _leaf(3), 2.5)
    assert report.name == "Scaled"
    assert _fails(Doubled.apply, _leaf(3)).blame.operation == "Doubled.backward"


def test_where_nothing_requires_grad_every_floating_point_input_is_verified():
    report = _passes(torch.mul, torch.randn(3, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE))
    assert list(report.parameters) == ["inputs[0]", "inputs[1]"]


# Nested arguments and results


@dataclass
class State:
    hidden: torch.Tensor
    steps: int
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Frozen:
    value: torch.Tensor


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


def test_inputs_and_outputs_nest():
    def step(state, pairs, nothing, *, options):
        assert nothing is None
        assert state.steps == 3
        assert state.mask is None
        left = pairs[0].left * state.hidden
        return {
            "new": State(left.tanh(), state.steps + 1),
            "list": [left.sum(), None, (pairs[0].right.exp(), "text")],
            "frozen": Frozen(options["scale"] * left),
        }

    report = _passes(
        step,
        State(_leaf(3), 3),
        [Pair(_leaf(3), _leaf(2))],
        None,
        kwargs={"options": {"scale": _leaf()}},
    )
    assert list(report.parameters) == [
        "inputs[0].hidden",
        "inputs[1][0][0]",
        "inputs[1][0][1]",
        'kwargs["options"]["scale"]',
    ]


def test_an_error_deep_in_a_nested_result_is_found():
    report = _fails(
        lambda x: {"a": x["p"].sin(), "b": [Frozen(Doubled.apply(x["q"]))]}, {"p": _leaf(3), "q": _leaf(3)}
    )
    assert report.parameters['inputs[0]["p"]'].verdict == "pass"
    assert report.parameters['inputs[0]["q"]'].verdict == "fail"


def test_integers_booleans_and_other_arguments_are_passed_through():
    def pick(x, index, keep, times, flag, label):
        assert flag is True
        assert label == "rows"
        assert index.dtype is torch.int64
        assert keep.dtype is torch.bool
        return torch.where(keep, x[index] * times, 0.0)

    index, keep = torch.tensor([2, 0, 2]), torch.tensor([True, False, True])
    report = _passes(pick, _leaf(4), index, keep, 3, True, "rows")
    assert list(report.parameters) == ["inputs[0]"]


def test_outputs_that_are_not_differentiable_are_left_alone():
    def both(x):
        values, index = x.sort()
        return values, index, (x > 0), x.detach(), 3, values.sum()

    _passes(both, _leaf(5))


class TwoOutputs(torch.autograd.Function):
    """The larger and its place; the place is marked as not differentiable."""

    @staticmethod
    def forward(ctx, x):
        value, place = x.max(dim=-1)
        ctx.save_for_backward(place)
        ctx.width = x.shape[-1]
        ctx.mark_non_differentiable(place)
        return value, place

    @staticmethod
    def backward(ctx, g, _):
        (place,) = ctx.saved_tensors
        result = g.new_zeros(*g.shape, ctx.width)
        return result.scatter(-1, place[..., None], g[..., None])


def test_a_function_with_a_non_differentiable_output_passes():
    _passes(TwoOutputs.apply, _leaf(3, 4))


# Numbers and shapes


def test_complex_inputs_and_outputs_are_verified_in_both_directions():
    class Conjugated(torch.autograd.Function):
        """a b, whose gradient lacks the conjugate: right for real numbers."""

        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a

    class ImaginaryLost(torch.autograd.Function):
        """a**2 whose gradient forgets the imaginary part."""

        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return a**2

        @staticmethod
        def backward(ctx, g):
            (a,) = ctx.saved_tensors
            return (2 * a.conj() * g).real.to(a.dtype)

    z = lambda: _leaf(3, dtype=torch.complex128)  # noqa: E731 - short
    _passes(torch.mul, z(), z())
    _passes(lambda a: a.abs() + a.angle(), z())
    _passes(lambda x: torch.fft.rfft(x), _leaf(6))
    _passes(Conjugated.apply, _leaf(3), _leaf(3))
    _fails(Conjugated.apply, z(), z())
    _fails(ImaginaryLost.apply, z())


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (1, 1, 1)])
def test_scalars_and_empty_tensors(shape):
    report = _passes(lambda x, w: (x * w).sin() + x.sum(), _leaf(*shape), _leaf())
    assert report.parameters["inputs[0]"].shape == shape


def test_a_wrong_gradient_of_a_scalar_is_found():
    _fails(Doubled.apply, _leaf())


def test_views_and_expanded_inputs():
    base = torch.randn(4, 6, dtype=DOUBLE)
    views = {
        "transposed": base.T,
        "sliced": base[:, ::2],
        "narrow": base[1:3],
        "expanded": base[:1].expand(4, 6),
    }
    for view in views.values():
        _passes(lambda x: x.sin() * x.sum(), view.detach().requires_grad_())
        _fails(Doubled.apply, view.detach().requires_grad_())


def test_two_views_of_one_tensor_are_two_inputs():
    base = torch.randn(6, dtype=DOUBLE)
    report = _passes(torch.mul, base[:4].requires_grad_(), base[2:].requires_grad_())
    assert list(report.parameters) == ["inputs[0]", "inputs[1]"]


def test_operations_in_place():
    def busy(x):
        y = x * 2
        y.add_(1).mul_(x)
        y[0] = y[1] * 3
        y[:, 1:].clamp_(max=5)
        z = torch.zeros_like(y)
        z[:, 0] = y[:, 1]
        z.index_add_(0, torch.tensor([0, 1]), y[:2])
        return z, y

    _passes(busy, _leaf(3, 4))


def test_mixed_dtypes_each_have_their_own():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow = nn.Parameter(torch.randn(3, dtype=torch.bfloat16))
            self.wide = nn.Parameter(torch.randn(3, dtype=DOUBLE))

        def forward(self, x):
            return (x * self.narrow.to(x.dtype)).double() * self.wide

    report = _passes(Mixed(), _leaf(2, 3, dtype=torch.float32))
    assert [p.dtype for p in report.parameters.values()] == ["bfloat16", "float64", "float32"]


# Chance


def test_dropout_is_repeatable():
    _passes(
        nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)).double(),
        torch.randn(3, 4, dtype=DOUBLE),
    )


def test_what_is_not_repeatable_is_named():
    chance = np.random.default_rng()  # of nobody's: it cannot be put back

    def noisy(x):
        return x * chance.uniform()

    report = _fails(noisy, _leaf(3))
    result = report.parameters["inputs[0]"]
    assert "gives another value each time" in result.message
    assert result.digits is None
    assert not result.comparisons
    assert "nan" not in str(report)


def test_a_backward_pass_that_is_not_repeatable_is_named():
    chance = np.random.default_rng()

    class Noisy(Scaled):
        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor * chance.uniform(), None

    report = _fails(Noisy.apply, _leaf(3), 2.0)
    assert "differs from one backward pass to the next" in report.parameters["inputs[0]"].message
    assert report.parameters["inputs[0]"].diagnoses[0].kind == "nondeterministic"


@pytest.mark.parametrize("given", [True, False])
def test_a_generator_of_ones_own_is_put_back(given):
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()

    def referring(x):
        return x * torch.rand(x.shape, generator=generator, dtype=x.dtype)

    def receiving(x, source):
        return x * torch.rand(x.shape, generator=source, dtype=x.dtype)

    _passes(receiving, _leaf(3), generator) if given else _passes(referring, _leaf(3))
    assert torch.equal(before, generator.get_state())


def test_randomness_of_three_libraries_is_put_back():
    def noisy(x):
        return x * (random.random() + float(np.random.rand()) + torch.rand(()))  # noqa: NPY002 - as users do

    _passes(noisy, _leaf(3))


# Transforms and checkpoints


def test_transforms_inside():
    def per_sample(w, x):
        return torch.func.vmap(torch.func.grad(lambda a: torch.tanh(w @ a).sum()))(x)

    _passes(per_sample, _leaf(3, 4), _leaf(2, 4))
    _passes(lambda x: torch.func.jacrev(lambda a: a.sin() * a.sum())(x), _leaf(3))


class Checkpointed(nn.Module):
    """Two layers with dropout, computed again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 2)
        self.drop, self.reentrant = nn.Dropout(0.3), reentrant

    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(self.both, x, use_reentrant=self.reentrant)

    def both(self, x):
        return self.second(self.drop(torch.tanh(self.first(x))))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_inside(reentrant):
    report = _passes(Checkpointed(reentrant).double(), _leaf(2, 3))
    assert len(report.parameters) == 5


class CheckpointedInTheMiddle(Checkpointed):
    """A layer comes after the checkpoint: its graph is freed before the checkpoint is reached."""

    def __init__(self, last) -> None:
        super().__init__(reentrant=True)
        self.last = last

    def forward(self, x):
        return self.last(super().forward(torch.tanh(x)))


def test_a_reentrant_checkpoint_in_the_middle_of_a_model():
    subject = CheckpointedInTheMiddle(nn.Linear(2, 2)).double(), _leaf(2, 3)
    _passes(*subject)
    report = _passes(*subject, variations={"repeated backward"})
    repeated = next(v for v in report.variations if v.name == "repeated backward")
    assert len(report.parameters) == 7
    assert repeated.verdict == "pass"


def test_a_fault_behind_a_reentrant_checkpoint_is_found():
    report = _fails(CheckpointedInTheMiddle(Doubled.apply).double(), _leaf(2, 3))
    assert [blame.operation for blame in report.blames] == ["Doubled.backward"], str(report)


def test_a_compiled_graph_is_not_gone_through_twice():
    report = _passes(
        torch.compile(nn.Sequential(nn.Linear(3, 4), nn.GELU()), backend="aot_eager"),
        _leaf(2, 3),
        variations={"repeated backward"},
    )
    repeated = next(v for v in report.variations if v.name == "repeated backward")
    assert repeated.verdict is None
    assert "compiled graph" in repeated.message


# Inference mode


def test_inference_mode_around_a_verification_is_left_for_its_time():
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    with torch.inference_mode():
        _passes(model, x)
        _passes(model, torch.randn(4, 3))
        _fails(Doubled.apply, torch.randn(3, dtype=DOUBLE))
        assert torch.is_inference_mode_enabled()


def test_parameters_made_in_inference_mode_are_refused():
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    with pytest.raises(UsageError, match=r"weight was made under torch.inference_mode"):
        gradcheck.verify(model, torch.randn(4, 3))


# Threads


def test_threads_verify_one_after_the_other():
    def model():
        return nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2))

    # made before: what other threads draw meanwhile moves the generator that dropout draws from
    work = [[(model(), torch.randn(3, 4)) for _ in range(3)] for _ in range(4)]
    reports = []

    def verify_all(pairs):
        reports.extend(gradcheck.verify(*pair, variations=False) for pair in pairs)

    threads = [threading.Thread(target=verify_all, args=(pairs,)) for pairs in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.verdict for report in reports] == ["pass"] * 12
    assert torch.get_default_dtype() is torch.float32


# The end of a domain


@pytest.mark.parametrize("distance", [1e-3, 1e-8, 1e-14])
def test_a_domain_that_ends_near_by_is_no_crash(distance):
    def only_positive(x):
        if bool((x <= 0).any()):
            raise ValueError("not positive")
        return x.log() + x.sqrt()

    x = torch.tensor([distance, 0.5, 2.0], dtype=DOUBLE).requires_grad_()
    _passes(only_positive, x)
    _passes(lambda x: x.log(), x)
    _passes(lambda p: torch.special.logit(p[:2]), x)


def test_probabilities_near_zero_and_one():
    p = torch.tensor([1e-10, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-10], dtype=DOUBLE)
    _passes(
        nn.functional.binary_cross_entropy, p.requires_grad_(), torch.tensor([0.0, 1, 0, 1, 1], dtype=DOUBLE)
    )


def test_a_barely_positive_definite_matrix():
    q, _ = torch.linalg.qr(torch.randn(4, 4, dtype=DOUBLE))
    a = q @ torch.diag(torch.tensor([1, 0.5, 0.1, 1e-7], dtype=DOUBLE)) @ q.T
    _passes(lambda a: torch.linalg.cholesky((a + a.mT) / 2), a.requires_grad_())


def test_a_forward_pass_that_never_runs_is_the_users_error():
    def broken(x):
        raise KeyError("missing table")

    with pytest.raises(TargetError, match="KeyError"):
        gradcheck.verify(broken, _leaf(3))


def _only_with_grad(x):
    return x.sin() if torch.is_grad_enabled() else x.cos()


def _differentiates_inside(x):
    y = x if x.requires_grad else x.detach().requires_grad_()
    (slope,) = torch.autograd.grad((y**3).sum(), y, create_graph=True)
    return slope * x


def _nearly_the_same(x):
    return x.sin() if torch.is_grad_enabled() else x.sin() * (1 + 1e-7)


@pytest.mark.parametrize("function", [_only_with_grad, _differentiates_inside, _nearly_the_same])
def test_what_only_grad_mode_gives_is_evaluated_in_it(function):
    x = torch.linspace(0.3, 1.7, 12, dtype=DOUBLE).reshape(3, 4).requires_grad_()
    report = gradcheck.verify(function, x)
    assert report.ok, report
    assert report.parameters["inputs[0]"].comparisons["finite differences"].rel_error < 1e-9


def test_what_was_estimated_without_grad_is_kept_where_grad_changes_nothing():
    calls = []

    def steps(x: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return torch.floor(x)

    _passes(steps, torch.linspace(-8.9, 8.9, 50, dtype=DOUBLE).requires_grad_(), variations=False)
    assert calls.count(True) == 1
    assert len(calls) < 30  # once more the way along the line would take as many again


def test_an_operator_of_torch_library_has_its_qualified_name():
    @torch.library.custom_op("gradcheck_tests::doubled", mutates_args=())
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    doubled.register_autograd(lambda ctx, grad: 2 * grad)
    assert _passes(doubled, _leaf(3)).name == "gradcheck_tests::doubled"


def test_pytorchs_own_operations_are_asked_by_name_only_what_is_right_by_construction():
    needless = ("linearity", "repeated backward")
    report = _passes(nn.Linear(3, 2).double(), _leaf(4, 3))
    found = {v.name: v for v in report.variations}
    assert all("only PyTorch's own operations" in found[name].message for name in needless)
    assert found["nothing changed in place"].verdict == "pass"
    asked = _passes(nn.Linear(3, 2).double(), _leaf(4, 3), variations=set(needless))
    assert {v.name: v.verdict for v in asked.variations} == dict.fromkeys(needless, "pass")
