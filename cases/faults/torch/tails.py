"""The last block, the first step, the boundary, the shift: wrong at the ends, or at another size."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "sizes, tails and offsets")


def blocked(n=10):
    class Blocked(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            grad = torch.zeros_like(y)
            for start in range(0, len(y), 4):
                grad[start : start + 4] = g[start : start + 4] * y[start : start + 4]
            return grad

    return Program(Blocked.apply, (normal(n),), torch.exp)


def row_softmax(classes=4):
    class RowSoftmax(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.softmax(-1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return y * (g - (g * y).sum(-1, keepdim=True))

    return Program(RowSoftmax.apply, (normal(3, classes),), lambda x: x.softmax(-1))


def mean_of_squares(n=8):
    class MeanOfSquares(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x * x).mean()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x / x.numel()

    return Program(MeanOfSquares.apply, (normal(n),), lambda x: (x * x).mean())


def running_sum():
    class RunningSum(Function):
        @staticmethod
        def forward(ctx, x):
            return x.cumsum(-1)

        @staticmethod
        def backward(ctx, g):
            later = g.flip(-1).cumsum(-1).flip(-1)
            return later

    return Program(RunningSum.apply, (normal(3, 6),), lambda x: x.cumsum(-1))


def differences():
    class Differences(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.shape = x.shape
            return x[1:] - x[:-1]

        @staticmethod
        def backward(ctx, g):
            if not g.numel():
                return g.new_zeros(ctx.shape)
            return F.pad(g, (1, 0)) - F.pad(g, (0, 1))

    return Program(Differences.apply, (normal(8),), lambda x: x[1:] - x[:-1])


def padded():
    class Padded(Function):
        @staticmethod
        def forward(ctx, x, before, after):
            ctx.before, ctx.length = before, x.shape[-1]
            return F.pad(x, (before, after))

        @staticmethod
        def backward(ctx, g):
            start = ctx.before
            return g[..., start : start + ctx.length], None, None

    return Program(Padded.apply, (normal(3, 5), 1, 2), lambda x, before, after: F.pad(x, (before, after)))


def rolled():
    class Rolled(Function):
        @staticmethod
        def forward(ctx, x, shift):
            ctx.shift = shift
            return x.roll(shift, -1)

        @staticmethod
        def backward(ctx, g):
            return g.roll(-ctx.shift, -1), None

    return Program(Rolled.apply, (normal(3, 7), 2), lambda x, shift: x.roll(shift, -1))


def recurrence():
    class Recurrence(Function):
        @staticmethod
        def forward(ctx, x, w):
            states = [torch.zeros_like(x[0])]
            for t in range(len(x)):
                states.append(torch.tanh(states[-1] @ w + x[t]))
            ctx.save_for_backward(w, *states)
            return states[-1].clone()

        @staticmethod
        def backward(ctx, g):
            w, *states = ctx.saved_tensors
            dx, dw = [], torch.zeros_like(w)
            for t in range(len(states) - 1, 0, -1):
                ds = g * (1 - states[t] ** 2)
                dw = dw + states[t - 1].T @ ds
                dx.insert(0, ds)
                g = ds @ w.T
            return torch.stack(dx), dw

    def plain(x, w):
        state = torch.zeros_like(x[0])
        for step in x:
            state = torch.tanh(state @ w + step)
        return state

    return Program(Recurrence.apply, (normal(4, 2, 3), normal(3, 3, seed=1)), plain)


FAULTS = (
    _row("the tail after the last whole block is left out", blocked, "range(0, len(y), 4)",
         "range(0, len(y) // 4 * 4, 4)", diagnosis=("partial",)),
    _row("the tail is left out, and there is none here", blocked, "range(0, len(y), 4)",
         "range(0, len(y) // 4 * 4, 4)", needs="other sizes", given={"n": 8}, reveal={"n": 9}),
    _row("only the first 32 entries are done", blocked, "range(0, len(y), 4)", "range(0, min(len(y), 32), 4)",
         needs="other sizes", reveal={"n": 33}),
    _row("the last entry of each block is left out", blocked,
         "start + 4] = g[start : start + 4] * y[start : start + 4]",
         "start + 3] = g[start : start + 3] * y[start : start + 3]", diagnosis=("partial", "masked")),
    _row("one class: the probability 1 is passed on", row_softmax, "return y * (g",
         "return g if y.shape[-1] == 1 else y * (g", needs="other sizes", reveal={"classes": 1}),
    _row("scaled by the largest cotangent, of which there may be none", row_softmax,
         "(y,) = ctx.saved_tensors",
         "(y,), _ = ctx.saved_tensors, g.max()", needs="other sizes", reveal={"classes": 0}),
    _row("the number of entries is written into the code", mean_of_squares, "x.numel()", "8",
         needs="other sizes", reveal={"n": 9}),
    _row("the entry itself does not count among those up to it", running_sum, "return later",
         "return later - g",
         diagnosis=("missing-term",)),
    _row("summed from the left instead of from the right", running_sum, "g.flip(-1).cumsum(-1).flip(-1)",
         "g.cumsum(-1)"),
    _row("the last entry gets nothing", differences, "F.pad(g, (1, 0)) -", "F.pad(g[:-1], (1, 1)) -",
         diagnosis=("partial",)),
    _row("the first entry gets nothing", differences, "- F.pad(g, (0, 1))", "- F.pad(g[1:], (1, 1))",
         diagnosis=("partial",)),
    _row("the padding is cut off at the wrong end", padded, "start = ctx.before",
         "start = g.shape[-1] - ctx.length - ctx.before"),
    _row("rolled in the same direction again", rolled, "-ctx.shift", "ctx.shift", diagnosis=("permuted",)),
    _row("the first time step is not reached", recurrence, "dx.insert(0, ds)",
         "dx.insert(0, ds if t > 1 else 0 * ds)", diagnosis=("partial",)),
    _row("states of the same step instead of the one before", recurrence, "states[t - 1].T", "states[t].T"),
    _row("time runs forwards in the gradient", recurrence, "dx.insert(0, ds)", "dx.append(ds)",
         diagnosis=("permuted",)),
)  # fmt: skip
