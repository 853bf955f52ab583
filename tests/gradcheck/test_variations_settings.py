"""Settings that may be changed without a fault: what a backward pass has to know, and from whom."""

import pytest
import torch
from torch.autograd import Function

import gradcheck
from gradcheck.variations import alternatives

X = torch.linspace(-1.3, 1.7, 12, dtype=torch.float64).reshape(3, 4)


def _settings(function, *given):
    torch.manual_seed(3)
    report = gradcheck.verify(function, X.clone().requires_grad_(), *given, variations={"other settings"})
    return report.variations[0]


class Scaled(Function):
    """Scales forward by one argument, and backward by the inverse of another: a right pair."""

    @staticmethod
    def forward(ctx, x, factor, inverse):
        ctx.inverse = inverse
        return factor * x

    @staticmethod
    def backward(ctx, g):
        return g / ctx.inverse, None, None


class Tabulated(Function):
    """A cubic whose slope comes in a table of coefficients."""

    @staticmethod
    def forward(ctx, x, factor, slope):
        ctx.save_for_backward(x, slope)
        return factor * x**3

    @staticmethod
    def backward(ctx, g):
        x, slope = ctx.saved_tensors
        return g * slope * x**2, None, None


class Chosen(Function):
    """Soft weights, or where ``hard`` the largest alone, with the gradient of the soft ones."""

    @staticmethod
    def forward(ctx, x, hard):
        p = x.softmax(-1)
        ctx.save_for_backward(p)
        return torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).to(p) if hard else p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        return p * (g - (p * g).sum(-1, keepdim=True)), None


class Root(Function):
    """Cube roots by Newton's method, and the slope of what it converges to."""

    @staticmethod
    def forward(ctx, x, steps):
        a = x.abs() / 8 + 1
        y = torch.ones_like(x)
        for _ in range(steps):
            y = y - (y**3 - a) / (3 * y**2)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * x.sign() / 8 / (3 * y**2), None


class Cut(Function):
    """The first rows, up to a limit that is not reached; a limit in the way is not asked for."""

    @staticmethod
    def forward(ctx, x, limit):
        ctx.shape = x.shape
        return 2 * x[:limit]

    @staticmethod
    def backward(ctx, g):
        return 2 * g[:1].expand(ctx.shape) if len(g) < 3 else 2 * g, None


class Dropout(Function):
    @staticmethod
    def forward(ctx, x, p, training):
        ctx.factor = (torch.rand_like(x) >= p) / (1 - p) if training else 1.0
        return x * ctx.factor

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None, None


class Squared(Function):
    """Squares without a loop over blocks, whose number changes nothing."""

    @staticmethod
    def forward(ctx, x, blocks, slack):
        ctx.save_for_backward(x)
        return torch.cat([part**2 for part in x.chunk(blocks, -1)], -1) + 1e-9 * slack

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * x, None, None


class Summed(Function):
    @staticmethod
    def forward(ctx, x, dims, keep):
        ctx.shape, ctx.dims, ctx.keep = x.shape, dims, keep
        return x.sum(dims, keepdim=keep)

    @staticmethod
    def backward(ctx, g):
        for dim in sorted(d % len(ctx.shape) for d in ctx.dims if not ctx.keep):
            g = g.unsqueeze(dim)
        return g.expand(ctx.shape), None, None


class Segments(Function):
    """Sums of segments; of sorted ones the forward pass is faster."""

    @staticmethod
    def forward(ctx, x, segments, is_sorted):
        ctx.save_for_backward(segments)
        if is_sorted:
            ends = torch.searchsorted(segments, torch.arange(3), right=True)
            sums = torch.cat([torch.zeros_like(x[:1]), x.cumsum(0)])[ends]
            return sums.diff(dim=0, prepend=torch.zeros_like(x[:1]))
        return x.new_zeros(3, x.shape[1]).index_add(0, segments, x)

    @staticmethod
    def backward(ctx, g):
        (segments,) = ctx.saved_tensors
        return g[segments], None, None


RIGHT = {
    "a promise": (Segments, torch.tensor([2, 0, 1]), False, "no setting counts"),
    "a pair": (Scaled, 0.5, 2.0, "not judged"),
    "a table": (Tabulated, 0.5, torch.tensor(1.5, dtype=torch.float64), "not judged"),
    "a hard choice": (Chosen, False, "not judged"),
    "steps of an iteration": (Root, 4, "no setting counts"),
    "a limit": (Cut, 4, ""),
    "dropout": (Dropout, 0.3, True, "inputs[1] made 0.27"),
    "no dropout": (Dropout, 0.3, False, "inputs[2] made True"),
    "blocks": (Squared, 1, 0.5, "no setting counts"),
    "axes": (Summed, (-1,), False, "made (0,)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_it_passes(name):
    function, *given, said = RIGHT[name]
    result = _settings(function.apply, *given)
    assert result.verdict in ("pass", None), result.message
    assert said in result.message


def test_a_forgotten_factor_is_wrong_where_no_other_argument_tells():
    class Halved(Scaled):
        @staticmethod
        def backward(ctx, g):
            return g / 2, None, None

    result = _settings(Halved.apply, 0.5, 2.0)
    assert result.verdict == "fail"
    assert result.message.startswith("with inputs[1] made 0.45, the gradient of inputs[0] is wrong")
    assert "forgotten in the backward pass, or a constant in its place?" in result.message


def test_only_the_wrong_one_of_several_numbers_is_named():
    class Affine(Function):
        @staticmethod
        def forward(ctx, x, a, b, c):
            ctx.save_for_backward(x)
            ctx.a, ctx.b, ctx.c = a, b, c
            return (a * x).sin() * b + (x + c).cos()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (ctx.a * (ctx.a * x).cos() * ctx.b - (x + 0.3).sin()), None, None, None

    result = _settings(Affine.apply, 0.5, 2.0, 0.3)
    assert result.message.startswith("with inputs[3] made 0.27, the gradient of inputs[0] is wrong")


def test_a_function_under_vmap_is_given_other_settings():
    class Leaky(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, slope):
            return torch.where(x > 0, x, slope * x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return torch.where(x > 0, g, 0.01 * g), None

    result = _settings(lambda x: torch.func.vmap(Leaky.apply, in_dims=(0, None))(x, 0.01))
    assert result.message.startswith(
        "with argument 1 of Leaky made 0.009, the gradient of inputs[0] is wrong"
    )
    assert ", Leaky.backward; is it forgotten" in result.message


@pytest.mark.parametrize(
    ("value", "moved"), [(1.0, 0.7), (0.0, 0.7), (0.5, 0.45), (-0.5, -0.45), (1.5, 1.45), (-11.0, -10.0)]
)
def test_numbers_are_moved_towards_the_next_of_minus_one_zero_and_one(value, moved):
    assert alternatives.near(value) == pytest.approx(moved)


@pytest.mark.parametrize(
    ("value", "others"),
    [
        (True, [False]),
        (-1, [0, -2]),
        (3, []),
        (8, []),
        ((1, 2), [(2, 3), (0, 1)]),
        ("sum", ["mean", "none"]),
        ("eins", []),
        (None, []),
    ],
)
def test_flags_small_integers_and_words_have_others(value, others):
    assert list(alternatives.others(value, frozenset({3}))) == others
