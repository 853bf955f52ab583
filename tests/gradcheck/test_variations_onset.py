"""Far away, what rounding and limits leave out is no fault; what a backward pass forgets is."""

import numpy as np
import pytest
import torch

import gradcheck
from gradcheck.variations import onset

FAR = "large magnitudes"


def function(forward, backward):
    """Return a Function whose ``backward(*inputs, output, cotangent)`` is written by hand."""

    class Written(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            out = forward(*inputs)
            ctx.save_for_backward(*inputs, out.detach())
            return out

        @staticmethod
        def backward(ctx, g):
            return backward(*ctx.saved_tensors, g)

    return Written.apply


def repeated(step, times, start):
    for _ in range(times):
        start = step(start)
    return start


# Right where their authors use them, and no further.


def focal():
    y = torch.arange(15).reshape(5, 3) % 2 == 0

    def forward(x):
        p = x.sigmoid()
        return torch.where(y, -((1 - p) ** 2) * p.log(), -(p**2) * (1 - p).log())

    def backward(x, _, g):
        p = x.sigmoid()
        ones = 2 * (1 - p) * p.log() - (1 - p) ** 2 / p
        zeros = -2 * p * (1 - p).log() + p**2 / (1 - p)
        return g * p * (1 - p) * torch.where(y, ones, zeros)

    return forward, backward, [(5, 3)]


def cross_entropy():
    def forward(x):
        p = x.sigmoid()
        return -(p.log() + (1 - p).log()).mean()

    return forward, lambda x, _, g: g * (2 * x.sigmoid() - 1) / x.numel(), [(6,)]


def settled(bend, slope):
    """Return the fixed point z = W bend(z) + b, differentiated as such."""

    def forward(w, b):
        return repeated(lambda z: w @ bend(z) + b, 60, torch.zeros_like(b))

    def backward(w, b, z, g):
        jacobian = torch.eye(len(b), dtype=b.dtype) - w * slope(z)
        v = torch.linalg.solve(jacobian.T, g)
        return torch.outer(v, bend(z)), v

    return forward, backward, [(4, 4), (4,)]


def fixed_point_of_tanh():
    return settled(torch.tanh, lambda z: 1 - z.tanh() ** 2)


def fixed_point_of_sine():
    return settled(torch.sin, torch.cos)


def fixed_point_of_a_linear_map():
    return settled(lambda z: z, torch.ones_like)


def transport():
    """Return the cost of a regularised transport plan, by Sinkhorn's iteration; its slope is the plan."""

    def potentials(c):
        share, u = -np.log(4), torch.zeros(4, dtype=c.dtype)
        for _ in range(60):
            v = share - torch.logsumexp(u[:, None] - c, 0)
            u = share - torch.logsumexp(v - c, 1)
        return u, v

    def forward(c):
        u, v = potentials(c)
        return (u.sum() + v.sum()) / 4

    def backward(c, _, g):
        u, v = potentials(c)
        return g * (u[:, None] + v - c).exp()

    return forward, backward, [(4, 4)]


def series():
    def forward(x):
        term, total = x, x
        for k in range(1, 14):
            term = -term * x * x / (2 * k * (2 * k + 1))
            total = total + term
        return total

    return forward, lambda x, _, g: g * x.cos(), [(6,)]


def continued_fraction():
    def forward(x):
        below = torch.full_like(x, 41)
        for k in range(39, 0, -2):
            below = k + x * x / below
        return x / below

    return forward, lambda x, _, g: g * (1 - x.tanh() ** 2), [(6,)]


def quadrature():
    nodes, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(20))

    def forward(x):
        t = x[:, None] * (nodes.to(x.dtype) + 1) / 2
        return (-t * t).exp() @ weights.to(x.dtype) * x / 2

    return forward, lambda x, _, g: g * (-x * x).exp(), [(6,)]


LIMITED = (
    focal,
    cross_entropy,
    fixed_point_of_tanh,
    fixed_point_of_sine,
    fixed_point_of_a_linear_map,
    transport,
    series,
    continued_fraction,
    quadrature,
)


def arguments(shapes, scale, dtype=torch.float64):
    drawn = [torch.randn(shape, dtype=dtype) * scale for shape in shapes]
    contracting = [
        t / (2 * torch.linalg.matrix_norm(t, 2)) if t.ndim == 2 and len(drawn) == 2 else t for t in drawn
    ]
    return [t.requires_grad_() for t in contracting]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("scale", [0.1, 1.0])
@pytest.mark.parametrize("program", LIMITED, ids=lambda program: program.__name__)
def test_what_holds_near_the_given_point_is_not_judged_far_from_it(program, scale, dtype):
    torch.manual_seed(1)
    forward, backward, shapes = program()
    given = arguments(shapes, scale, dtype)
    report = gradcheck.verify(function(forward, backward), *given, variations={FAR})
    assert report.ok, str(report)


# Wrong beyond a threshold, at once or from there on.

WRONG = {
    "the outer branch of Huber's loss is forgotten": (
        lambda x: torch.where(x.abs() < 3, x * x / 2, 3 * (x.abs() - 1.5)),
        lambda x, y, g: g * x,
    ),
    "a clamp before a cube is forgotten": (
        lambda x: (x.clamp(max=3) - 3) ** 3,
        lambda x, y, g: g * 3 * (x - 3) ** 2,
    ),
    "the slope beyond 50 is another one": (
        lambda x: torch.where(x > 50, 2 * x - 50, x),
        lambda x, y, g: g.clone(),
    ),
    "beyond 20 a sigmoid is taken for a line": (
        torch.sigmoid,
        lambda x, y, g: g * torch.where(x > 20, torch.ones_like(y), y * (1 - y)),
    ),
    "the function jumps, and has another slope there": (
        lambda x: torch.where(x.abs() > 10, 2 * x, x),
        lambda x, y, g: g.clone(),
    ),
    "a branch grows with the eighth power": (
        lambda x: torch.where(x > 5, (x / 5) ** 8, x / 5),
        lambda x, y, g: g / 5,
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("scale", [0.1, 0.3])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_beyond_a_threshold_is_caught(name, scale, dtype):
    torch.manual_seed(1)
    report = gradcheck.verify(function(*WRONG[name]), *arguments([(5, 4)], scale, dtype), variations={FAR})
    assert [v.name for v in report.variations if v.verdict == "fail"] == [FAR]


def test_a_clamp_behind_a_product_that_is_forgotten_is_caught():
    torch.manual_seed(1)
    clamped = function(lambda x, w: (x @ w).clamp(-6, 6), lambda x, w, _, g: (g @ w.mT, x.mT @ g))
    x, w = torch.randn(5, 4, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64) / 2
    report = gradcheck.verify(clamped, x.requires_grad_(), w.requires_grad_(), variations={FAR})
    assert report.verdict == "fail"


@pytest.mark.parametrize(
    ("error", "gradual"),
    [
        (lambda s: 1e-12 * np.exp(30 * s), True),
        (lambda s: np.exp(900 * (s - 1)), True),
        (lambda s: np.exp(-8 / (s + 1e-3)), True),
        (lambda s: (s / 1.01) ** 60, True),
        (lambda s: float(s > 0.3), False),
        (lambda s: max(s - 0.3, 0.0), False),
        (lambda s: max(s - 0.3, 0.0) ** 2, False),
        (lambda s: 1e20 * max(s - 0.3, 0.0) * s**40, False),
        (lambda s: float("inf") if s > 0.5 else 0.0, False),
        (lambda s: float("inf") if 0.3 < s < 0.5 else float(s > 0.3), False),
        (lambda s: 0.0, False),
    ],
    ids=["even", "late", "essential", "power", "jump", "kink", "square", "growing", "end", "gap", "nothing"],
)
def test_an_error_that_grows_from_nothing_is_told_from_one_that_starts_somewhere(error, gradual):
    assert onset._grows(lambda share: 1e-12 + error(share)) is gradual
