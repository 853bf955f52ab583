"""Programs whose inputs have a domain, each right, and with a fault that shows elsewhere in the domain.

A row is a function of ``wrong`` that gives a callable and its arguments, and the variation that the fault
needs. Each backward pass uses what its inputs are: that a target sums to one, that a mask is its own square.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional

Make = Callable[[bool], tuple[Any, ...]]
ROWS: dict[str, tuple[Make, str]] = {}


def row(needs: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        ROWS[make.__name__.replace("_", " ")] = make, needs
        return make

    return add


def normal(*shape: int, grad: bool = True) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64).requires_grad_(grad)


def shares(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64).softmax(-1)


def softmax(z: torch.Tensor, wrong: bool) -> torch.Tensor:
    """Return the softmax, or one that overflows."""
    return z.exp() / z.exp().sum(-1, keepdim=True) if wrong else z.softmax(-1)


def itself(x: torch.Tensor, wrong: bool) -> torch.Tensor:
    """Return x, or x squared over x."""
    return x * x / x if wrong else x


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx, z, target, wrong):
        ctx.save_for_backward(z, target)
        ctx.wrong = wrong
        return -(target * z.log_softmax(-1)).sum(-1)

    @staticmethod
    def backward(ctx, g):
        z, target = ctx.saved_tensors
        return g[:, None] * (softmax(z, ctx.wrong) - target), None, None


@row("large magnitudes")
def one_hot_targets(wrong):
    target = functional.one_hot(torch.tensor([0, 2, 4, 2]), 5).double()
    return CrossEntropy.apply, normal(4, 5), target, wrong


@row("large magnitudes")
def soft_targets(wrong):
    return CrossEntropy.apply, normal(4, 5), shares(4, 5), wrong


@row("large magnitudes")
def targets_of_a_closure(wrong):
    target = functional.one_hot(torch.tensor([0, 2, 4, 2]), 5).double()
    return (lambda z: CrossEntropy.apply(z, target, wrong)), normal(4, 5)


class WeightedVariance(Function):
    """The variance under weights that add up to one."""

    @staticmethod
    def forward(ctx, x, w, wrong):
        mean = (w * x).sum()
        ctx.save_for_backward(x, w, mean)
        ctx.wrong = wrong
        return (w * (x - mean) ** 2).sum()

    @staticmethod
    def backward(ctx, g):
        x, w, mean = ctx.saved_tensors
        return 2 * g * w * itself(x - mean, ctx.wrong), None, None


@row("zeros")
def normalised_weights(wrong):
    return WeightedVariance.apply, normal(5), shares(5), wrong


class Kept(Function):
    """Squares of what a mask keeps: the mask is its own square."""

    @staticmethod
    def forward(ctx, x, mask, wrong):
        ctx.save_for_backward(x, mask)
        ctx.wrong = wrong
        return ((x * mask) ** 2).sum()

    @staticmethod
    def backward(ctx, g):
        x, mask = ctx.saved_tensors
        return 2 * g * itself(x, ctx.wrong) * mask, None, None


@row("zeros")
def a_mask_of_numbers(wrong):
    return Kept.apply, normal(3, 4), (torch.rand(3, 4) > 0.5).double(), wrong


class Margin(Function):
    """Squared distances of a margin from one: the square of a label is one."""

    @staticmethod
    def forward(ctx, s, label, wrong):
        ctx.save_for_backward(s, label)
        ctx.wrong = wrong
        return ((label * s - 1) ** 2).mean()

    @staticmethod
    def backward(ctx, g):
        s, label = ctx.saved_tensors
        return 2 * g * (itself(s, ctx.wrong) - label) / len(s), None, None


@row("zeros")
def labels_of_either_sign(wrong):
    return Margin.apply, normal(6), torch.tensor([1.0, -1, 1, 1, -1, -1], dtype=torch.float64), wrong


class Picked(Function):
    """Rows of a table picked by one-hot rows, which become indices."""

    @staticmethod
    def forward(ctx, table, picks, wrong):
        ctx.save_for_backward(picks.argmax(1))
        ctx.rows, ctx.wrong = len(table), wrong
        return picks @ table

    @staticmethod
    def backward(ctx, g):
        (index,) = ctx.saved_tensors
        grad = g.new_zeros(ctx.rows, g.shape[1])
        done = 8 if ctx.wrong else len(index)
        return grad.index_add(0, index[:done], g[:done]), None, None


@row("other sizes")
def one_hot_picks(wrong):
    picks = functional.one_hot(torch.tensor([0, 2, 2, 1, 3]), 4).double()
    return Picked.apply, normal(4, 3), picks, wrong


class Permuted(Function):
    @staticmethod
    def forward(ctx, x, order, wrong):
        ctx.save_for_backward(order)
        ctx.wrong = wrong
        return x[order]

    @staticmethod
    def backward(ctx, g):
        (order,) = ctx.saved_tensors
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order))
        grad = g[inverse]
        if ctx.wrong:
            grad[8:] = 0
        return grad, None, None


@row("other sizes")
def a_permutation(wrong):
    return Permuted.apply, normal(5, 2), torch.tensor([3, 0, 4, 1, 2]), wrong


class Dispatched(Function):
    """Rows sent to slots, each row so many times; backward puts each slot where it belongs."""

    @staticmethod
    def forward(ctx, x, order, times, wrong):
        ctx.save_for_backward(x, order)
        ctx.times, ctx.wrong = times, wrong
        return x[order // times] ** 2

    @staticmethod
    def backward(ctx, g):
        x, order = ctx.saved_tensors
        out = torch.empty_like(g)
        out[order] = g
        slope = 2 * itself(x, ctx.wrong)
        return out.view(-1, ctx.times, g.shape[1]).sum(1) * slope, None, None, None


@row("zeros")
def slots_of_rows(wrong):
    return Dispatched.apply, normal(4, 3), torch.randperm(8), 2, wrong


class Pooled(Function):
    """Means of segments, zero of empty ones; backward repeats by lengths, which have to add up."""

    @staticmethod
    def forward(ctx, x, bounds, wrong):
        ctx.save_for_backward(bounds)
        ctx.wrong = wrong
        lengths = bounds.diff()
        sums = torch.stack([x[a:b].sum(0) for a, b in itertools.pairwise(bounds)])
        return sums / lengths.clamp(min=1)[:, None]

    @staticmethod
    def backward(ctx, g):
        lengths = ctx.saved_tensors[0].diff()
        each = g / lengths.clamp(min=1)[:, None]
        if ctx.wrong and bool((lengths == 0).any()):
            each = each * 2
        return torch.repeat_interleave(each, lengths, 0), None, None


@row("repeated indices")
def bounds_of_segments(wrong):
    return Pooled.apply, normal(7, 3), torch.tensor([0, 3, 4, 7]), wrong


class Chosen(Function):
    """What is taken at a label and at the blank, 0, which is none of the labels."""

    @staticmethod
    def forward(ctx, x, label, wrong):
        ctx.save_for_backward(x, label)
        ctx.wrong = wrong
        return x.gather(1, label) + x[:, :1]

    @staticmethod
    def backward(ctx, g):
        x, label = ctx.saved_tensors
        grad = torch.zeros_like(x)
        grad = grad.scatter(1, label, g) if ctx.wrong else grad.scatter_add(1, label, g)
        grad[:, 0] = g.sum(1)
        return grad, None, None


@row("repeated indices")
def labels_beside_a_blank(wrong):
    return Chosen.apply, normal(3, 6), torch.tensor([[1, 3], [2, 4], [5, 1]]), wrong


class Rotated(Function):
    """R x for a rotation R: x is computed again from the outputs."""

    @staticmethod
    def forward(ctx, x, rotation, wrong):
        y = x @ rotation.T
        ctx.save_for_backward(y, rotation)
        ctx.wrong = wrong
        return y

    @staticmethod
    def backward(ctx, g):
        y, rotation = ctx.saved_tensors
        return g @ rotation, g.T @ itself(y @ rotation, ctx.wrong), None


@row("zeros")
def a_rotation(wrong):
    rotation = torch.linalg.qr(normal(3, 3, grad=False))[0].requires_grad_()
    return Rotated.apply, normal(4, 3), rotation, wrong


class Turned(Function):
    """A mixing by an orthogonal matrix, undone by its inverse."""

    @staticmethod
    def forward(ctx, x, mix, wrong):
        ctx.save_for_backward(x, mix)
        ctx.wrong = wrong
        return mix @ x.square()

    @staticmethod
    def backward(ctx, g):
        x, mix = ctx.saved_tensors
        return 2 * itself(x, ctx.wrong) * (torch.linalg.inv(mix) @ g), None, None


@row("zeros")
def an_orthogonal_mixing(wrong):
    return Turned.apply, normal(4, 3), torch.linalg.qr(normal(4, 4, grad=False))[0], wrong


def _conjugate_gradients(a, b):
    x, r = torch.zeros_like(b), b.clone()
    p, size = r.clone(), r @ r
    for _ in range(200):
        if size.sqrt() < 1e-15:
            break
        ap = a @ p
        step = size / (p @ ap)
        x, r = x + step * p, r - step * ap
        p, size = r + (r @ r) / size * p, r @ r
    return x


class Solved(Function):
    """Conjugate gradients, which are for positive definite matrices."""

    @staticmethod
    def forward(ctx, a, b, wrong):
        ctx.save_for_backward(a)
        ctx.wrong = wrong
        return _conjugate_gradients(a, b)

    @staticmethod
    def backward(ctx, g):
        (a,) = ctx.saved_tensors
        grad = _conjugate_gradients(a, g)
        if ctx.wrong:
            grad[8:] = 0
        return None, grad, None


@row("other sizes")
def a_positive_definite_matrix(wrong):
    half = normal(5, 5, grad=False)
    return Solved.apply, half @ half.T + 5 * torch.eye(5), normal(5), wrong


class Root(Function):
    """The root of x^3 + a x = b for positive a, by Newton's steps."""

    @staticmethod
    def forward(ctx, a, b, wrong):
        x = torch.zeros_like(b)
        for _ in range(60):
            x = x - (x**3 + a * x - b) / (3 * x**2 + a)
        ctx.save_for_backward(a, x)
        ctx.wrong = wrong
        return x

    @staticmethod
    def backward(ctx, g):
        a, x = ctx.saved_tensors
        d = g / (3 * x**2 + a)
        return -d * itself(x, ctx.wrong), d, None


@row("zeros")
def a_root_for_positive_numbers(wrong):
    a = (torch.rand(5, dtype=torch.float64) + 0.5).requires_grad_()
    return lambda a, b: Root.apply(a, b, wrong), a, normal(5, grad=False)


class Eigen(Function):
    @staticmethod
    def forward(ctx, a, wrong):
        w, v = torch.linalg.eigh(a)
        ctx.save_for_backward(w, v)
        ctx.wrong = wrong
        return w, v

    @staticmethod
    def backward(ctx, gw, gv):
        w, v = ctx.saved_tensors
        inner = (v.T @ gv) / (w[None] - w[:, None]).fill_diagonal_(torch.inf)
        if ctx.wrong:
            inner[8:] = 0
        grad = v @ (torch.diag(gw) + inner) @ v.T
        return (grad + grad.T) / 2, None


@row("other sizes")
def equal_eigenvalues(wrong):
    a = normal(4, 4, grad=False)

    def spread(a):
        w, v = Eigen.apply(a, wrong)
        return w, (v * v) @ w.exp()

    return spread, ((a + a.T) / 2).requires_grad_()


class Factored(Function):
    """Q and R of a matrix of full rank."""

    @staticmethod
    def forward(ctx, a, wrong):
        q, r = torch.linalg.qr(a)
        ctx.save_for_backward(q, r)
        ctx.wrong = wrong
        return q, r

    @staticmethod
    def backward(ctx, gq, gr):
        q, r = ctx.saved_tensors
        m = r @ gr.T - gq.T @ q
        m = m.tril(-1) + m.tril(-1).T + torch.diag(m.diagonal())
        grad = torch.linalg.solve_triangular(r, (gq + q @ m).T, upper=True).T
        if ctx.wrong:
            grad[8:] = 0
        return grad, None


@row("other sizes")
def a_matrix_of_full_rank(wrong):
    return Factored.apply, normal(5, 3), wrong


class Program(Function):
    """The least x' Q x / 2 + p' x with A x = b, for fewer equations than unknowns."""

    @staticmethod
    def forward(ctx, q, p, a, b, wrong):
        m = len(a)
        whole = torch.cat([torch.cat([q, a.T], 1), torch.cat([a, a.new_zeros(m, m)], 1)])
        s = torch.linalg.solve(whole, torch.cat([-p, b]))
        ctx.save_for_backward(whole, s)
        ctx.n, ctx.wrong = len(p), wrong
        return s[: len(p)].clone()

    @staticmethod
    def backward(ctx, g):
        whole, s = ctx.saved_tensors
        x, multipliers = s[: ctx.n], s[ctx.n :]
        d = torch.linalg.solve(whole.T, torch.cat([g, torch.zeros_like(multipliers)]))
        dx, dn = d[: ctx.n], d[ctx.n :]
        if ctx.wrong:
            dx = torch.cat([dx[:8], torch.zeros_like(dx[8:])])
        return -torch.outer(dx, x), -dx, -(torch.outer(dn, x) + torch.outer(multipliers, dx)), dn, None


@row("other sizes")
def fewer_equations_than_unknowns(wrong):
    q = (0.3 * normal(4, 4, grad=False) + 3 * torch.eye(4, dtype=torch.float64)).requires_grad_()
    return Program.apply, q, normal(4), normal(2, 4), normal(2), wrong


class LeastSquares(Function):
    """For more equations than unknowns, by the normal equations."""

    @staticmethod
    def forward(ctx, a, b, wrong):
        x = torch.linalg.lstsq(a, b).solution
        ctx.save_for_backward(a, b, x)
        ctx.wrong = wrong
        return x

    @staticmethod
    def backward(ctx, g):
        a, b, x = ctx.saved_tensors
        h = torch.linalg.inv(a.T @ a) @ g
        if ctx.wrong:
            h[:, 8:] = 0
        return (b - a @ x) @ h.T - a @ h @ x.T, a @ h, None


@row("other sizes")
def more_equations_than_unknowns(wrong):
    return LeastSquares.apply, normal(6, 3), normal(6, 2), wrong


class Normed(Function):
    @staticmethod
    def forward(ctx, x, w, wrong):
        scale = (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        ctx.save_for_backward(x, scale, w)
        ctx.wrong = wrong
        return x * scale * w

    @staticmethod
    def backward(ctx, g):
        x, scale, w = ctx.saved_tensors
        unit, each = x * scale, g * w
        grad_w = (g * unit).flatten(0, -2)
        rows = grad_w[:8] if ctx.wrong else grad_w
        return scale * (each - unit * (each * unit).mean(-1, keepdim=True)), rows.sum(0), None


class Layer(torch.nn.Module):
    """Its weight is as wide as the rows that it takes: one entry is broadcast beside it."""

    def __init__(self, wrong):
        super().__init__()
        self.weight, self.wrong = torch.nn.Parameter(torch.randn(6)), wrong

    def forward(self, x):
        return Normed.apply(x, self.weight, self.wrong)


@row("other sizes")
def a_weight_that_is_not_resized(wrong):
    return Layer(wrong), normal(4, 6)


class Bisected(Function):
    """The root of x^3 + x = b between -10 and 10, by so many bisections."""

    @staticmethod
    def forward(ctx, b, wrong):
        low, high = torch.full_like(b, -10), torch.full_like(b, 10)
        for _ in range(30):
            middle = (low + high) / 2
            below = middle**3 + middle < b
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        x = (low + high) / 2
        ctx.save_for_backward(x)
        ctx.wrong = wrong
        return x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        grad = g / (3 * x * x + 1)
        if ctx.wrong:
            grad[8:] = 0
        return grad, None


@row("other sizes")
def an_end_of_a_bracket(wrong):
    return Bisected.apply, normal(5), wrong


class Ray(Function):
    """Where rays of unit direction meet a sphere."""

    @staticmethod
    def forward(ctx, origin, direction, radius, wrong):
        along = (origin * direction).sum(-1)
        half = (along * along - (origin * origin).sum(-1) + radius * radius).sqrt()
        ctx.save_for_backward(origin, direction, along, half, radius)
        ctx.wrong = wrong
        return -along - half

    @staticmethod
    def backward(ctx, g):
        origin, direction, along, half, radius = ctx.saved_tensors
        g, b, s = g[:, None], along[:, None], half[:, None]
        by_origin = g * (-direction - (b * direction - origin) / s)
        if ctx.wrong:
            by_origin[8:] = 0
        return by_origin, g * (-origin - b * origin / s), -(g[:, 0] * radius / half).sum(), None


@row("other sizes")
def unit_directions(wrong):
    direction = functional.normalize(normal(5, 3, grad=False), dim=1)
    origin = (-2 * direction + 0.1 * normal(5, 3, grad=False)).requires_grad_()
    radius = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    return Ray.apply, origin, direction.clone().requires_grad_(), radius, wrong


class Planned(Function):
    """The entropic cost of moving one distribution to another: its slope is the plan, once it has settled."""

    @staticmethod
    def forward(ctx, cost, a, b, wrong):
        f, g = torch.zeros_like(a), torch.zeros_like(b)
        for _ in range(200):
            f = -torch.logsumexp(g[None] - cost + b.log()[None], 1)
            g = -torch.logsumexp(f[:, None] - cost + a.log()[:, None], 0)
        plan = (f[:, None] + g[None] - cost).exp() * a[:, None] * b[None]
        ctx.save_for_backward(plan)
        ctx.wrong = wrong
        return (f * a).sum() + (g * b).sum()

    @staticmethod
    def backward(ctx, go):
        (plan,) = ctx.saved_tensors
        if ctx.wrong:
            plan = plan.clone()
            plan[8:] = 0
        return go * plan, None, None, None


@row("other sizes")
def two_distributions(wrong):
    cost = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    return Planned.apply, cost, shares(4), shares(3), wrong


class Width(Function):
    """x squared over a width, which is positive, and held away from zero as a guard."""

    @staticmethod
    def forward(ctx, x, width, wrong):
        held = width.clamp_min(0.01)
        ctx.save_for_backward(x, held)
        ctx.wrong = wrong
        return x * x / held

    @staticmethod
    def backward(ctx, g):
        x, held = ctx.saved_tensors
        slope = itself(x, ctx.wrong) / held
        return 2 * g * slope, -(g * slope * slope).sum(0), None


@row("some zeros")
def a_width_beside_numbers(wrong):
    width = (torch.rand(4, dtype=torch.float64) + 0.5).requires_grad_()
    return Width.apply, normal(3, 4), width, wrong


class InBall(Function):
    """The logarithm of points in a hyperbolic ball, at its origin; the guard at its edge is no part of it."""

    @staticmethod
    def forward(ctx, x, wrong):
        r = x.norm(dim=-1, keepdim=True).clamp(1e-12, 1 - 1e-12)
        ctx.save_for_backward(x, r)
        ctx.wrong = wrong
        return x / r * torch.atanh(r)

    @staticmethod
    def backward(ctx, g):
        x, r = ctx.saved_tensors
        u, f = x / r, torch.atanh(r) / r
        if ctx.wrong:
            g = g * (torch.arange(x.shape[-1]) < 8)
        return f * g + u * (u * g).sum(-1, keepdim=True) * (1 / (1 - r * r) - f), None


@row("other sizes")
def points_in_a_ball(wrong):
    return InBall.apply, (0.15 * normal(5, 4, grad=False)).requires_grad_(), wrong


class Apart(Function):
    """Eigenvalues and vectors, whose differences are kept from zero in the backward pass alone."""

    @staticmethod
    def forward(ctx, a, wrong):
        w, v = torch.linalg.eigh(a)
        ctx.save_for_backward(w, v)
        ctx.wrong = wrong
        return w, v * v.sum(-2, keepdim=True).sign()

    @staticmethod
    def backward(ctx, gw, gv):
        w, v = ctx.saved_tensors
        v = v * v.sum(-2, keepdim=True).sign()
        d = w[None] - w[:, None]
        inner = v.T @ gv * d / (d * d + 1e-12)
        if ctx.wrong:
            inner[8:] = 0
        grad = v @ (torch.diag(gw) + inner) @ v.T
        return (grad + grad.T) / 2, None


@row("other sizes")
def close_eigenvalues(wrong):
    a = normal(4, 4, grad=False)
    return Apart.apply, ((a + a.T) / 2).requires_grad_(), wrong


class Halves(Function):
    """A rotation of one half of an axis into the other."""

    @staticmethod
    def forward(ctx, x, angle, wrong):
        ctx.save_for_backward(angle)
        ctx.wrong = wrong
        h = x.shape[-1] // 2
        return x * angle.cos() + torch.cat([-x[..., h:], x[..., :h]], -1) * angle.sin()

    @staticmethod
    def backward(ctx, g):
        (angle,) = ctx.saved_tensors
        h = g.shape[-1] // 2
        s = g * angle.sin()
        turned = torch.cat([s[..., h:], -s[..., :h]], -1)
        if ctx.wrong:
            turned[..., 8:] = 0
        return g * angle.cos() + turned, None, None


@row("other sizes")
def halves_of_an_axis(wrong):
    angle = torch.arange(5.0, dtype=torch.float64)[:, None].expand(5, 6).contiguous()
    return Halves.apply, normal(3, 5, 6), angle, wrong
