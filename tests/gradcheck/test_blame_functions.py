"""Wrong backward passes that somebody wrote: the backward's own line is blamed, and nothing else."""

from collections.abc import Iterator

import pytest
import torch
from blame_lines import line
from torch import nn
from torch.autograd.function import once_differentiable

from gradcheck.blame import find_blame


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Right(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        return g @ weight.T, x.mT @ g if x.ndim == 2 else None


class Doubled(Right):
    @staticmethod
    def backward(ctx, g):  # doubled
        x, weight = ctx.saved_tensors
        return g @ weight.T, 2 * x.T @ g


class Negated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):  # negated
        (x,) = ctx.saved_tensors
        return -g * x.cos()


captured = Negated.apply


def leaves_of(module, **others):
    return {**dict(module.named_parameters()), **others}


def test_the_backward_in_the_middle_of_a_model_is_blamed_with_its_line_and_argument():
    first, last = nn.Linear(4, 5), nn.Linear(3, 2)
    weight = torch.randn(5, 3, requires_grad=True)
    x = torch.randn(6, 4)

    def run():
        hidden = torch.relu(first(x))
        return [last(Doubled.apply(hidden, weight)).tanh()]  # calls doubled

    result = find_blame(run, leaves_of(first, weight=weight), wrong=["weight"])
    (blame,) = result.blames
    assert blame.operation == "Doubled.backward"
    assert blame.location == line("doubled")
    assert blame.source is not None
    assert blame.source.startswith("def backward(ctx, g):")
    assert "for weight" in blame.message
    assert line("calls doubled") in blame.message
    assert not result.all_calls_right


def test_two_independent_faults_are_both_blamed_the_later_one_first():
    weight = torch.randn(4, 4, requires_grad=True)
    x = torch.randn(3, 4, requires_grad=True)
    result = find_blame(lambda: [Doubled.apply(captured(x), weight)], {"x": x, "weight": weight})
    assert [blame.operation for blame in result.blames] == ["Doubled.backward", "Negated.backward"]
    assert [blame.location for blame in result.blames] == [line("doubled"), line("negated")]


def test_a_function_called_in_many_places_is_blamed_once():
    x = torch.randn(3, requires_grad=True)

    def run():
        y = x
        for _ in range(5):
            y = Negated.apply(y)
        return [y]

    (blame,) = find_blame(run, {"x": x}).blames
    assert "5 calls" in blame.message


def test_a_fault_that_touches_no_wrong_leaf_is_not_blamed():
    a, b = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    result = find_blame(lambda: [Negated.apply(a), b.exp()], {"a": a, "b": b}, wrong=["b"])
    assert result.blames == ()
    assert result.all_calls_right


def test_a_fault_that_the_outputs_do_not_depend_on_is_not_blamed():
    x = torch.randn(3, requires_grad=True)

    def run():
        Negated.apply(x)
        return [x.exp()]

    assert find_blame(run, {"x": x}).blames == ()


def test_apply_is_put_back_even_where_the_run_raises():
    def run():
        raise KeyError("mine")

    before = Right.apply, torch.autograd.function._SingleLevelFunction.__dict__.get("apply")
    with pytest.raises(KeyError, match="mine"):
        find_blame(run, {"x": torch.randn(2, requires_grad=True)})
    assert (Right.apply, torch.autograd.function._SingleLevelFunction.__dict__.get("apply")) == before


class NoneForWeight(Right):
    @staticmethod
    def backward(ctx, g):  # none for weight
        return g @ ctx.saved_tensors[1].T, None


def test_a_missing_gradient_is_named():
    weight, x = torch.randn(4, 4, requires_grad=True), torch.randn(3, 4)
    (blame,) = find_blame(lambda: [NoneForWeight.apply(x, weight)], {"weight": weight}).blames
    assert blame.location == line("none for weight")
    assert "no gradient for weight" in blame.message


class OnlyWhenBoth(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, g):  # only when both
        x, weight = ctx.saved_tensors
        right = all(ctx.needs_input_grad)
        return g * weight, g * x if right else g


def test_a_fault_under_one_pattern_of_required_gradients_is_met_in_that_pattern():
    x, weight = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    assert find_blame(lambda: [OnlyWhenBoth.apply(x, weight)], {"x": x, "weight": weight}).all_calls_right
    (blame,) = find_blame(lambda: [OnlyWhenBoth.apply(x.detach(), weight)], {"weight": weight}).blames
    assert blame.location == line("only when both")


class ContiguousOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):  # contiguous only
        return 2 * g if g.is_contiguous() else torch.zeros_like(g)


def test_the_cotangent_has_the_layout_that_really_arrives():
    x = torch.randn(3, 4, requires_grad=True)
    assert find_blame(lambda: [ContiguousOnly.apply(x)], {"x": x}).all_calls_right
    for run in (lambda: [ContiguousOnly.apply(x).sum(0)], lambda: [ContiguousOnly.apply(x).T.reshape(-1)]):
        (blame,) = find_blame(run, {"x": x}).blames
        assert blame.location == line("contiguous only")


class TwoOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g, h):  # two outputs
        if h is None:
            return g
        return 3 * h if g is None else 2 * g + 3 * h


def test_outputs_that_are_not_used_have_no_cotangent():
    x = torch.randn(3, requires_grad=True)
    assert find_blame(lambda: list(TwoOutputs.apply(x)), {"x": x}).all_calls_right
    (blame,) = find_blame(lambda: [TwoOutputs.apply(x)[0]], {"x": x}).blames
    assert blame.location == line("two outputs")


class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):  # raises
        raise IndexError("out of range")


def test_a_backward_that_raises_is_blamed_with_its_error():
    x = torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [Raises.apply(x).exp()], {"x": x}).blames
    assert blame.location == line("raises")
    assert "IndexError: out of range" in blame.message


class IgnoresCotangent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square().sum()

    @staticmethod
    def backward(ctx, g):  # ignores cotangent
        return 2 * ctx.saved_tensors[0]


def test_a_fault_that_the_arriving_cotangent_hides_is_not_blamed():
    x = torch.randn(3, requires_grad=True)
    run = lambda: [IgnoresCotangent.apply(x)]  # noqa: E731 - the same run twice
    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.location == line("ignores cotangent")
    assert find_blame(run, {"x": x}, cotangents=[torch.ones(())]).blames == ()


class Imprecise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * (2 / 3)

    @staticmethod
    def backward(ctx, g):  # imprecise
        return g * torch.tensor(2 / 3, dtype=torch.float32).double()


def test_a_constant_in_single_precision_is_called_imprecise():
    x = torch.randn(50, requires_grad=True)
    (blame,) = find_blame(lambda: [Imprecise.apply(x)], {"x": x}).blames
    assert blame.location == line("imprecise")
    assert "imprecise" in blame.message


class SetupContext(torch.autograd.Function):
    @staticmethod
    def forward(x, factor):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, g):  # setup context
        return g, None


def test_functions_with_setup_context_and_plain_arguments_are_traced():
    x = torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [SetupContext.apply(x, 3.0)], {"x": x}).blames
    assert blame.location == line("setup context")
    assert "for x" in blame.message


@torch.library.custom_op("gradcheck_blame::cube", mutates_args=())
def cube(x: torch.Tensor) -> torch.Tensor:
    return x**3


def cube_backward(ctx, g):  # cube
    return g * ctx.x**2


cube.register_autograd(cube_backward, setup_context=lambda ctx, inputs, output: setattr(ctx, "x", inputs[0]))


@pytest.mark.parametrize(
    "call",
    [cube, lambda x: torch.ops.gradcheck_blame.cube(x), lambda x: torch.ops.gradcheck_blame.cube.default(x)],
)
def test_a_registered_operator_is_blamed_at_its_registered_backward(call):
    x = torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [call(x.exp()).sum()], {"x": x}).blames
    assert blame.operation == "gradcheck_blame::cube.backward"
    assert blame.location == line("cube")


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_fault_inside_a_checkpoint_is_found(reentrant):
    from torch.utils.checkpoint import checkpoint

    x = torch.randn(3, requires_grad=True)
    run = lambda: [checkpoint(lambda t: Negated.apply(t.exp()), x, use_reentrant=reentrant)]  # noqa: E731 - as above
    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.location == line("negated")


class Inplace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(3)

    @staticmethod
    def backward(ctx, g):  # inplace
        return g


def test_a_function_that_works_in_place_is_verified_on_copies():
    x = torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [Inplace.apply(x * 1).exp()], {"x": x}).blames
    assert blame.location == line("inplace")


class ListArgument(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, others):
        return x + sum(others)

    @staticmethod
    def backward(ctx, g):  # list argument
        return g, None


def test_tensors_inside_a_list_get_no_gradient_from_a_function():
    x, y = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    (blame,) = find_blame(lambda: [ListArgument.apply(x, [y])], {"x": x, "y": y}).blames
    assert blame.operation == "ListArgument.backward"
    assert "no gradient for others[0]" in blame.message


def test_pytorch_operations_are_blamed_at_the_line_of_their_call():
    table = torch.randn(5, 3, requires_grad=True)

    def run():
        return [torch.nn.functional.embedding(torch.tensor([0, 1]), table, padding_idx=1)]  # embedding

    (blame,) = find_blame(run, {"table": table}).blames
    assert blame.operation == "torch.nn.functional.embedding"
    assert blame.location == line("embedding")


class Float32Only(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        if x.dtype is not torch.float32:
            raise TypeError("float32 only")
        return x * 3

    @staticmethod
    def backward(ctx, g):  # float32 only
        return g * 2


def test_a_function_that_only_runs_in_single_precision_is_verified_there():
    x = torch.randn(20, dtype=torch.float32, requires_grad=True)
    (blame,) = find_blame(lambda: [Float32Only.apply(x)], {"x": x}).blames
    assert blame.location == line("float32 only")


class RaisesAlone(torch.autograd.Function):
    known: torch.Tensor | None = None

    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return x * 2

    @staticmethod
    def backward(ctx, g):
        assert ctx.x is RaisesAlone.known
        return 2 * g


def test_a_backward_that_raises_only_when_it_is_run_alone_is_no_proof():
    x = torch.randn(3, requires_grad=True)
    RaisesAlone.known = x
    result = find_blame(lambda: [RaisesAlone.apply(x)], {"x": x})
    assert result.blames == ()
    assert not result.all_calls_right
    assert any("AssertionError" in note for note in result.unverified)


class Batched(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, factor):
        return (factor * x).sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x, ctx.factor) = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):  # batched
        (x,) = ctx.saved_tensors
        return g * (ctx.factor * x).cos(), None


@pytest.mark.parametrize("deep", [1, 2])
def test_a_function_that_vmap_makes_its_own_of_is_blamed_under_its_own_name(deep):
    def run():
        function = Batched.apply
        for _ in range(deep):
            function = torch.func.vmap(function, in_dims=(0, None))
        return [function(x, 2.0)]

    x = torch.randn(3, 2).requires_grad_()
    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.operation == "Batched.backward"
    assert blame.location == line("batched")
