"""Sampling between pixels, boxes, windows and layers of transparency."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it
from torch.nn.grad import conv2d_input, conv2d_weight

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "sampling and windows")


def line_sampler(padding="border", corners=True):
    class LineSampler(Function):
        """Read a row of pixels at positions from -1 to 1 and beyond."""

        @staticmethod
        def forward(ctx, pixels, where, padding, corners):
            ctx.save_for_backward(pixels, where)
            ctx.options = padding, corners
            grid = torch.stack([where, torch.zeros_like(where)], -1)[:, None]
            rows = pixels[:, None, None]
            return F.grid_sample(rows, grid, padding_mode=padding, align_corners=corners)[:, 0, 0]

        @staticmethod
        def backward(ctx, g):
            pixels, where = ctx.saved_tensors
            padding, corners = ctx.options
            n = pixels.shape[-1]
            slope = (n - 1) / 2 if corners else n / 2
            x = slope * where + (n - 1) / 2
            sign = torch.ones_like(x)
            if padding == "border":
                sign = ((x > 0) & (x < n - 1)).to(x)
                x = x.clamp(0, n - 1)
            if padding == "reflection":
                low, span = (0, n - 1) if corners else (-0.5, n)
                period = torch.floor((x - low) / span)
                sign = torch.where(period % 2 == 0, 1.0, -1.0).to(x)
                inside = (x - low) - period * span
                x = low + torch.where(period % 2 == 0, inside, span - inside)
                sign = sign * ((x > 0) & (x < n - 1)).to(x)
                x = x.clamp(0, n - 1)
            left = x.floor().long()
            share = x - left
            dpixels = torch.zeros_like(pixels)
            slopes = torch.zeros_like(x)
            for at, weight, way in ((left, 1 - share, -1), (left + 1, share, 1)):
                there = (at >= 0) & (at < n)
                at = at.clamp(0, n - 1)
                dpixels.scatter_add_(-1, at, g * weight * there)
                slopes += way * pixels.gather(-1, at) * there
            return dpixels, g * slopes * sign * slope, None, None

    def plain(pixels, where, padding, corners):
        grid = torch.stack([where, torch.zeros_like(where)], -1)[:, None]
        rows = pixels[:, None, None]
        return F.grid_sample(rows, grid, padding_mode=padding, align_corners=corners)[:, 0, 0]

    where = normal(2, 8, seed=1)
    return Program(LineSampler.apply, (normal(2, 6), where, padding, corners), plain)


def stretched(corners=True):
    class Stretched(Function):
        @staticmethod
        def forward(ctx, x, size, corners):
            ctx.options = x.shape[-1], size, corners
            return F.interpolate(x, size, mode="linear", align_corners=corners)

        @staticmethod
        def backward(ctx, g):
            n, size, corners = ctx.options
            at = torch.arange(size, dtype=g.dtype)
            at = at * (n - 1) / (size - 1) if corners else ((at + 0.5) * n / size - 0.5).clamp(min=0)
            reach = (torch.arange(n)[:, None] - at).abs()
            left = at.floor()
            last = (left + 1 > n - 1) & (torch.arange(n)[:, None] == n - 1)
            share = torch.where(last, 1.0, (1 - reach).clamp(min=0)).to(g)
            return g @ share.T, None, None

    def plain(x, size, corners):
        return F.interpolate(x, size, mode="linear", align_corners=corners)

    return Program(Stretched.apply, (normal(2, 2, 2), 10, corners), plain)


def nearest():
    class Nearest(Function):
        @staticmethod
        def forward(ctx, x, size):
            ctx.n = x.shape[-1]
            ctx.source = (torch.arange(size) * (ctx.n / size)).floor().long()
            return x[..., ctx.source]

        @staticmethod
        def backward(ctx, g):
            return g.new_zeros(*g.shape[:-1], ctx.n).index_add(-1, ctx.source, g), None

    def plain(x, size):
        return x[..., (torch.arange(size) * (x.shape[-1] / size)).floor().long()]

    return Program(Nearest.apply, (normal(2, 4), 10), plain)


def box_means():
    class BoxMeans(Function):
        """The mean of each box of rows and columns, as ``(first, end)`` of both."""

        @staticmethod
        def forward(ctx, image, boxes):
            ctx.save_for_backward(image, boxes)
            return torch.stack([image[a:b, c:d].mean() for a, b, c, d in boxes.tolist()])

        @staticmethod
        def backward(ctx, g):
            image, boxes = ctx.saved_tensors
            grad = torch.zeros_like(image)
            for share, (a, b, c, d) in zip(g, boxes.tolist(), strict=True):
                grad[a:b, c:d] += share / ((b - a) * (d - c))
            return grad, None

    def plain(image, boxes):
        return torch.stack([image[a:b, c:d].mean() for a, b, c, d in boxes.tolist()])

    boxes = torch.tensor([[0, 2, 1, 4], [1, 5, 0, 2], [1, 2, 1, 3]])
    return Program(BoxMeans.apply, (normal(5, 4), boxes), plain)


def unpooled():
    class Unpooled(Function):
        """Put values at places; of those that meet, the last one stays."""

        @staticmethod
        def forward(ctx, x, places, size):
            out = x.new_zeros(size)
            owner = torch.full((size,), -1)
            for i, place in enumerate(places.tolist()):
                out[place] = x[i]
                owner[place] = i
            ctx.save_for_backward(places, owner)
            return out

        @staticmethod
        def backward(ctx, g):
            places, owner = ctx.saved_tensors
            return g[places] * (owner[places] == torch.arange(len(places))), None, None

    def plain(x, places, size):
        out = [x.new_zeros(()) for _ in range(size)]
        for i, place in enumerate(places.tolist()):
            out[place] = x[i]
        return torch.stack(out)

    return Program(Unpooled.apply, (normal(5), torch.tensor([3, 0, 3, 2, 0]), 6), plain)


def grouped_convolution():
    class GroupedConvolution(Function):
        @staticmethod
        def forward(ctx, x, w, stride, groups):
            ctx.save_for_backward(x, w)
            ctx.options = {"stride": stride, "groups": groups}
            return F.conv2d(x, w, stride=stride, groups=groups)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = conv2d_input(x.shape, w, g, **ctx.options)
            dw = conv2d_weight(x, w.shape, g, **ctx.options)
            return dx, dw, None, None

    def plain(x, w, stride, groups):
        return F.conv2d(x, w, stride=stride, groups=groups)

    return Program(GroupedConvolution.apply, (normal(2, 4, 6, 6), normal(4, 2, 3, 3, seed=1), 2, 2), plain)


def transposed_convolution():
    class TransposedConvolution(Function):
        @staticmethod
        def forward(ctx, x, w, stride, padding):
            ctx.save_for_backward(x, w)
            ctx.stride, ctx.padding = stride, padding
            return F.conv_transpose1d(x, w, stride=stride, padding=padding)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = F.conv1d(g, w, stride=ctx.stride, padding=ctx.padding)
            wide = F.pad(g, (ctx.padding, ctx.padding)).unfold(-1, w.shape[-1], ctx.stride)
            dw = torch.einsum("ncl,nolk->cok", x, wide)
            return dx, dw, None, None

    def plain(x, w, stride, padding):
        return F.conv_transpose1d(x, w, stride=stride, padding=padding)

    return Program(TransposedConvolution.apply, (normal(2, 3, 5), normal(3, 3, 3, seed=1), 2, 1), plain)


def shuffled_pixels():
    class ShuffledPixels(Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            return F.pixel_shuffle(x, factor)

        @staticmethod
        def backward(ctx, g):
            n, c, h, w = g.shape
            r = ctx.factor
            blocks = g.reshape(n, c, h // r, r, w // r, r)
            return blocks.permute(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h // r, w // r), None

    return Program(ShuffledPixels.apply, (normal(1, 8, 3, 3), 2), F.pixel_shuffle)


def padded_average():
    class PaddedAverage(Function):
        @staticmethod
        def forward(ctx, x, width, padding):
            ctx.n, ctx.width, ctx.padding = x.shape[-1], width, padding
            return F.avg_pool1d(x, width, 1, padding, count_include_pad=False)

        @staticmethod
        def backward(ctx, g):
            # how many true entries each window has
            counts = F.conv1d(
                torch.ones(1, 1, ctx.n).to(g), torch.ones(1, 1, ctx.width).to(g), padding=ctx.padding
            )
            wide = (g / counts).unsqueeze(-1).expand(*g.shape, ctx.width)
            grad = g.new_zeros(*g.shape[:-1], ctx.n + 2 * ctx.padding)
            for k in range(ctx.width):
                grad[..., k : k + g.shape[-1]] += wide[..., k]
            return grad[..., ctx.padding : ctx.padding + ctx.n], None, None

    def plain(x, width, padding):
        return F.avg_pool1d(x, width, 1, padding, count_include_pad=False)

    return Program(PaddedAverage.apply, (normal(2, 3, 6), 3, 1), plain)


def layered():
    class Layered(Function):
        """Colours behind each other, front first, over a background."""

        @staticmethod
        def forward(ctx, alpha, colour, background):
            passing = torch.cat([torch.ones_like(alpha[:1]), (1 - alpha).cumprod(0)])
            ctx.save_for_backward(alpha, colour, background, passing)
            return (passing[:-1] * alpha * colour).sum(0) + passing[-1] * background

        @staticmethod
        def backward(ctx, g):
            alpha, colour, background, passing = ctx.saved_tensors
            behind = background
            dalpha = torch.zeros_like(alpha)
            for i in reversed(range(len(alpha))):
                dalpha[i] = g * passing[i] * (colour[i] - behind)
                behind = alpha[i] * colour[i] + (1 - alpha[i]) * behind
            return dalpha, g * passing[:-1] * alpha, g * passing[-1]

    def plain(alpha, colour, background):
        total = background
        for i in reversed(range(len(alpha))):
            total = alpha[i] * colour[i] + (1 - alpha[i]) * total
        return total

    alpha = (0.4 * positive(4, 3).detach()).requires_grad_()
    return Program(Layered.apply, (alpha, normal(4, 3, seed=1), normal(3, seed=2)), plain)


_sampler = {"padding": "reflection", "corners": False}

FAULTS = (
    _row("beyond the border positions go on having a gradient", line_sampler,
         "sign = ((x > 0) & (x < n - 1)).to(x)\n                x = x.clamp(0, n - 1)\n            if",
         "x = x.clamp(0, n - 1)\n            if", diagnosis=("masked", "partial", "scale")),
    _row("a reflected position keeps its direction", line_sampler,
         "sign = torch.where(period % 2 == 0, 1.0, -1.0).to(x)", "sign = torch.ones_like(x)",
         given=_sampler, diagnosis=("masked", "partial", "scale", "sign")),
    _row("positions are scaled as if corners were not aligned", line_sampler,
         "slopes * sign * slope, None", "slopes * sign * n / 2, None", diagnosis=("scale",)),
    _row("positions are not scaled to pixels", line_sampler, "slopes * sign * slope, None",
         "slopes * sign, None", diagnosis=("scale",)),
    _row("the two neighbours' shares are exchanged", line_sampler,
         "(left, 1 - share, -1), (left + 1, share, 1)",
         "(left, share, -1), (left + 1, 1 - share, 1)"),
    _row("pixels beyond the end pull at positions", line_sampler,
         "slopes += way * pixels.gather(-1, at) * there", "slopes += way * pixels.gather(-1, at)",
         given={"padding": "zeros", "corners": True}),
    _row("outputs far from their source are not searched", stretched, "share = torch.where(last",
         "far = (torch.arange(n)[:, None] * size / n - torch.arange(size)).abs() > size / n\n            "
         "share = ~far * torch.where(last"),
    _row("the stretch of unaligned corners", stretched, "at = at * (n - 1) / (size - 1) if corners else",
         "at ="),
    _row("each pixel gets the first output that reads it", nearest,
         "g.new_zeros(*g.shape[:-1], ctx.n).index_add(-1, ctx.source, g)",
         "g[..., torch.searchsorted(ctx.source, torch.arange(ctx.n))]"),
    _row("each box is divided by the first one's size", box_means, "share / ((b - a) * (d - c))",
         "share / ((boxes[0, 1] - boxes[0, 0]) * (boxes[0, 3] - boxes[0, 2]))"),
    _row("of boxes that overlap the last one counts", box_means, "grad[a:b, c:d] += share",
         "grad[a:b, c:d] = share", diagnosis=("partial", "missing-term")),
    _row("boxes are one row short", box_means, "grad[a:b, c:d] += share",
         "grad[a : max(b - 1, a + 1), c:d] += share"),
    _row("what was overwritten gets the gradient, too", unpooled,
         " * (owner[places] == torch.arange(len(places)))", "", diagnosis=("partial", "masked")),
    _row("groups are ignored in the weight's gradient", grouped_convolution,
         "dw = conv2d_weight(x, w.shape, g, **ctx.options)",
         "dw = conv2d_weight(x[:, :2], w.shape, g, stride=ctx.options['stride'])", diagnosis=("partial",)),
    _row("the input's gradient is that of the first group", grouped_convolution,
         "dx = conv2d_input(x.shape, w, g, **ctx.options)",
         "dx = conv2d_input(x.shape, w, g, **ctx.options) * (torch.arange(4) < 2)[:, None, None]",
         diagnosis=("partial",)),
    _row("channels in and out are exchanged", transposed_convolution, "F.conv1d(g, w, stride",
         "F.conv1d(g, w.transpose(0, 1), stride"),
    _row("the kernel is turned round", transposed_convolution, 'einsum("ncl,nolk->cok", x, wide)',
         'einsum("ncl,nolk->cok", x, wide).flip(-1)', diagnosis=("permuted",)),
    _row("rows and columns of a block are exchanged", shuffled_pixels, "permute(0, 1, 3, 5, 2, 4)",
         "permute(0, 1, 5, 3, 2, 4)", diagnosis=("permuted", "transposed")),
    _row("windows at the end are divided by their whole width", padded_average, "(g / counts)",
         "(g / ctx.width)"),
    _row("what lies behind is taken for black", layered, "(colour[i] - behind)", "colour[i]"),
    _row("the background does not lie behind", layered, "behind = background",
         "behind = torch.zeros_like(background)"),
    _row("what passes a layer by way of what passes it and the next", layered, "g * passing[i] * (colour",
         "g * passing[i + 1] / (1 - alpha[i]) * (colour", needs="ties"),
    _row("the layer itself counts among those before it", layered, "g * passing[:-1] * alpha, g",
         "g * passing[1:] * alpha, g"),
)  # fmt: skip
