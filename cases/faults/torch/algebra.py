"""Complex numbers, Fourier transforms, powers and matrices."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import complex_normal, normal, positive

_row = partial(TorchFault, "complex numbers and matrices")


def complex_product():
    class ComplexProduct(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g @ b.mH, a.mH @ g

    return Program(ComplexProduct.apply, (complex_normal(2, 3), complex_normal(3, 4, seed=1)), torch.matmul)


def mixed_product():
    class MixedProduct(Function):
        """A real tensor times a complex one."""

        @staticmethod
        def forward(ctx, x, z):
            ctx.save_for_backward(x, z)
            return x * z

        @staticmethod
        def backward(ctx, g):
            x, z = ctx.saved_tensors
            return (g * z.conj()).real, g * x

    return Program(MixedProduct.apply, (normal(3, 4), complex_normal(3, 4, seed=1)), torch.mul)


def modulus():
    class Modulus(Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z.abs()

        @staticmethod
        def backward(ctx, g):
            (z,) = ctx.saved_tensors
            size = z.abs()
            return g * z / torch.where(size == 0, 1.0, size)

    return Program(Modulus.apply, (complex_normal(3, 4),), torch.abs)


def polar():
    class Polar(Function):
        @staticmethod
        def forward(ctx, radius, angle):
            z = torch.polar(radius, angle)
            ctx.save_for_backward(radius, angle)
            return z

        @staticmethod
        def backward(ctx, g):
            radius, angle = ctx.saved_tensors
            turned = g * torch.polar(torch.ones_like(angle), -angle)
            return turned.real, radius * turned.imag

    return Program(Polar.apply, (positive(3, 4), normal(3, 4, seed=1)),
                   lambda radius, angle: torch.complex(radius * angle.cos(),
                   radius * angle.sin()))  # fmt: skip


def real_transform():
    class RealTransform(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.n = x.shape[-1]
            return torch.fft.rfft(x)

        @staticmethod
        def backward(ctx, g):
            full = torch.cat([g, g.new_zeros(*g.shape[:-1], ctx.n - g.shape[-1])], -1)
            return torch.fft.ifft(full).real * ctx.n

    return Program(RealTransform.apply, (normal(3, 6),), torch.fft.rfft)


def transform():
    class Transform(Function):
        @staticmethod
        def forward(ctx, z):
            return torch.fft.fft(z)

        @staticmethod
        def backward(ctx, g):
            return torch.fft.ifft(g, norm="forward")

    return Program(Transform.apply, (complex_normal(3, 5),), torch.fft.fft)


def power():
    class Power(Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.save_for_backward(x)
            ctx.n = n
            return x**n

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1), None

    return Program(Power.apply, (normal(3, 4), 3), torch.pow)


def exponential_base():
    class ExponentialBase(Function):
        @staticmethod
        def forward(ctx, x, base):
            y = (x * base.log()).exp()
            ctx.save_for_backward(x, base, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, base, y = ctx.saved_tensors
            return g * y * base.log(), g * x * base ** (x - 1)

    return Program(
        ExponentialBase.apply, (normal(3, 4), positive(3, 4, seed=1)), lambda x, base: (x * base.log()).exp()
    )


def cross():
    class Cross(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return torch.linalg.cross(a, b)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return torch.linalg.cross(b, g), torch.linalg.cross(g, a)

    return Program(Cross.apply, (normal(4, 3), normal(4, 3, seed=1)), torch.linalg.cross)


def gram():
    class Gram(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x @ x.mT

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (g + g.mT) @ x

    return Program(Gram.apply, (normal(4, 3),), lambda x: x @ x.mT)


def inverse():
    class Inverse(Function):
        @staticmethod
        def forward(ctx, a):
            result = torch.linalg.inv(a)
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx, g):
            (result,) = ctx.saved_tensors
            return -result.mT @ g @ result.mT

    return Program(Inverse.apply, (_regular(4),), torch.linalg.inv)


def solution():
    class Solution(Function):
        @staticmethod
        def forward(ctx, a, b):
            x = torch.linalg.solve(a, b)
            ctx.save_for_backward(a, x)
            return x

        @staticmethod
        def backward(ctx, g):
            a, x = ctx.saved_tensors
            db = torch.linalg.solve(a.mT, g)
            return -db @ x.mT, db

    return Program(Solution.apply, (_regular(4), normal(4, 2, seed=1)), torch.linalg.solve)


def log_determinant():
    class LogDeterminant(Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return torch.linalg.slogdet(a).logabsdet

        @staticmethod
        def backward(ctx, g):
            (a,) = ctx.saved_tensors
            return g[..., None, None] * torch.linalg.inv(a).mT

    return Program(LogDeterminant.apply, (_regular(4),), lambda a: torch.linalg.slogdet(a).logabsdet)


def cholesky():
    class Cholesky(Function):
        @staticmethod
        def forward(ctx, a):
            low = torch.linalg.cholesky(a + a.mT)
            ctx.save_for_backward(low)
            return low

        @staticmethod
        def backward(ctx, g):
            (low,) = ctx.saved_tensors
            inner = (low.mT @ g.tril()).tril()
            inner = inner - 0.5 * torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
            whole = torch.linalg.solve_triangular(low.mT, inner, upper=True)
            whole = torch.linalg.solve_triangular(low, whole, upper=False, left=False)
            return whole + whole.mT

    def plain(a):
        return torch.linalg.cholesky(a + a.mT)

    return Program(Cholesky.apply, (_regular(4),), plain)


def _regular(n):
    """Return a matrix far from singular, and positive definite with its transpose."""
    return (normal(n, n).detach() + 5 * torch.eye(n, dtype=torch.float64)).requires_grad_()


FAULTS = (
    _row("the first factor is transposed without its conjugate", complex_product, "g @ b.mH, a.mH @ g",
         "g @ b.mT, a.mH @ g"),
    _row("the real factor gets the modulus", mixed_product, "(g * z.conj()).real", "(g * z.conj()).abs()"),
    _row("the real factor gets the real part of the wrong product", mixed_product, "(g * z.conj()).real",
         "(g * z).real"),
    _row("the real factor counts real parts only", mixed_product, "(g * z.conj()).real", "g.real * z.real"),
    _row("the modulus is not divided by where it is zero", modulus, "torch.where(size == 0, 1.0, size)",
         "size",
         needs="zeros"),
    _row("the modulus has the conjugate's direction", modulus, "g * z / torch", "g * z.conj() / torch",
         diagnosis=("sign",)),
    _row("the angle's gradient lacks the radius", polar, "radius * turned.imag", "turned.imag",
         diagnosis=("scale",)),
    _row("the angle's gradient is the real part", polar, "radius * turned.imag", "radius * turned.real"),
    _row("half a spectrum is taken for all of it", real_transform, "torch.fft.ifft(full).real * ctx.n",
         "torch.fft.irfft(g, n=ctx.n) * ctx.n"),
    _row("the inverse transform is scaled", real_transform, "torch.fft.ifft(full).real * ctx.n",
         "torch.fft.ifft(full).real", diagnosis=("scale",)),
    _row("transformed forwards again", transform, 'torch.fft.ifft(g, norm="forward")', "torch.fft.fft(g)",
         diagnosis=("permuted",)),
    _row("the inverse transform is scaled by the length", transform, 'torch.fft.ifft(g, norm="forward")',
         "torch.fft.ifft(g)", diagnosis=("scale",)),
    _row("every power is taken for a square", power, "ctx.n * x ** (ctx.n - 1)", "2 * x"),
    _row("the exponent is not lowered", power, "x ** (ctx.n - 1)", "x**ctx.n"),
    _row("base and exponent are exchanged", exponential_base, "g * y * base.log()",
         "g * base * x ** (base - 1)",
         diagnosis=("non-finite", "unexplained")),
    _row("the base's logarithm is to base two", exponential_base, "g * y * base.log()", "g * y * base.log2()",
         diagnosis=("scale",)),
    _row("the second factor of a cross product has the first one's sign", cross, "torch.linalg.cross(g, a)",
         "torch.linalg.cross(a, g)", diagnosis=("sign",)),
    _row("a matrix times its own transpose counts once", gram, "(g + g.mT) @ x", "g @ x"),
    _row("a matrix times its own transpose counts twice", gram, "(g + g.mT) @ x", "2 * g @ x"),
    _row("the inverse is not transposed", inverse, "-result.mT @ g @ result.mT", "-result @ g @ result"),
    _row("the inverse's gradient lacks its sign", inverse, "-result.mT @ g", "result.mT @ g",
         diagnosis=("sign",)),
    _row("the matrix of a solution is not transposed", solution, "solve(a.mT, g)", "solve(a, g)"),
    _row("the solution's outer product the wrong way round", solution, "-db @ x.mT, db", "-x @ db.mT, db",
         diagnosis=("transposed",)),
    _row("the determinant's inverse is not transposed", log_determinant, "torch.linalg.inv(a).mT",
         "torch.linalg.inv(a)", diagnosis=("transposed",)),
    _row("the diagonal is not halved", cholesky, "inner - 0.5 *", "inner - 0 *"),
    _row("the triangle is not taken", cholesky, "(low.mT @ g.tril()).tril()", "low.mT @ g.tril()"),
)  # fmt: skip
