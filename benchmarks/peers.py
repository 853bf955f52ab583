"""Other gradient checkers on a NumPy loss with its gradient, each with its defaults and its documented use.

Every peer answers whether the gradient passes. What raises does not pass: a person would look. Where a peer
has no verdict of its own, the threshold is the one that people write, and stated. What a peer cannot take
for want of time or memory is said, by ``Peer.most``: the largest gradient that it is asked about.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import gradcheck
from benchmarks.pairs import Array, Pair

SCIPY_THRESHOLD = 1e-5  # for the norm of the difference, which is what check_grad returns
HAND_STEP, HAND_RTOL, HAND_ATOL = 1e-6, 1e-3, 1e-5
CAUGHT, PASSED, UNDECIDED, NOT_TAKEN = "caught", "passed", "inconclusive", "not taken"


@dataclass(frozen=True)
class Peer:
    """``check`` returns whether a pair passes, None where there is no answer."""

    name: str
    how: str
    check: Callable[[Pair], bool | None]
    most: int = 10_000_000


@dataclass(frozen=True)
class Answer:
    """What a peer said of a pair, and how long it took."""

    outcome: str
    seconds: float = 0.0


def ask(peer: Peer, pair: Pair) -> Answer:
    """Let a peer check a pair, from the same state of the global random numbers each time."""
    if pair.size > peer.most:
        return Answer(NOT_TAKEN)
    np.random.seed(0)  # noqa: NPY002  # JAX and HIPS autograd draw from the global state
    start = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            passes = peer.check(pair)
        except Exception:  # whatever a checker raises, it does not pass the gradient
            passes = False
    outcome = UNDECIDED if passes is None else PASSED if passes else CAUGHT
    return Answer(outcome, time.perf_counter() - start)


def _ours(pair: Pair) -> bool | None:
    return passes(pair.verify(), pair.kind == "precision")


def passes(report: gradcheck.Report, about_precision: bool = False) -> bool | None:
    """Return whether a report passes, None if inconclusive; lost digits count where they are the fault."""
    notes = [note for result in report.parameters.values() for note in result.notes]
    if about_precision and any("imprecise" in note for note in notes):
        return False
    return None if report.verdict == "inconclusive" else bool(report.verdict == "pass")


def _flat(pair: Pair) -> tuple[Callable[[Array], float], Callable[[Array], Array], Array]:
    """Return loss and gradient over one vector, as scipy and numdifftools take them."""
    shapes = [array.shape for array in pair.arrays]
    ends = np.cumsum([array.size for array in pair.arrays])

    def apart(x: Array) -> list[Array]:
        return [part.reshape(s) for part, s in zip(np.split(x, ends[:-1]), shapes, strict=True)]

    def loss(x: Array) -> float:
        return float(pair.loss(*apart(x)))

    def gradient(x: Array) -> Array:
        found = pair.gradient(*apart(x))
        if [g.shape for g in found] != shapes:
            raise ValueError("the gradient has another shape than the parameters")
        return np.concatenate([g.reshape(-1) for g in found])

    return loss, gradient, np.concatenate([array.reshape(-1) for array in pair.arrays])


def _scipy(pair: Pair) -> bool:
    from scipy.optimize import check_grad

    loss, gradient, x = _flat(pair)
    return bool(check_grad(loss, gradient, x) < SCIPY_THRESHOLD)


def _numdifftools(pair: Pair) -> bool:
    import numdifftools

    loss, gradient, x = _flat(pair)
    return bool(np.allclose(gradient(x), numdifftools.Gradient(loss)(x)))


def _hand_rolled(pair: Pair) -> bool:
    loss, gradient, x = _flat(pair)
    claimed, numerical = gradient(x), np.empty_like(x)
    for i in range(x.size):
        kept = x[i]
        x[i] = kept + HAND_STEP
        above = loss(x)
        x[i] = kept - HAND_STEP
        numerical[i] = (above - loss(x)) / (2 * HAND_STEP)
        x[i] = kept
    return bool(np.allclose(claimed, numerical, rtol=HAND_RTOL, atol=HAND_ATOL))


@cache
def _jax() -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def _jax_check(pair: Pair) -> bool:
    """As the documentation has it: a custom_vjp around the NumPy code, checked in reverse mode."""
    jax = _jax()
    from jax.test_util import check_grads

    number = jax.ShapeDtypeStruct((), np.float64)
    likes = tuple(jax.ShapeDtypeStruct(array.shape, np.float64) for array in pair.arrays)

    def value(*arrays: Any) -> Array:
        return np.asarray(pair.loss(*map(np.array, arrays)), np.float64)

    def pulled(cotangent: Any, *arrays: Any) -> tuple[Array, ...]:
        return tuple(np.asarray(cotangent * g) for g in pair.gradient(*map(np.array, arrays)))

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def function(*arrays: Any) -> Any:
        return jax.pure_callback(value, number, *arrays)

    function.defvjp(
        lambda *arrays: (function(*arrays), arrays),
        lambda arrays, cotangent: jax.pure_callback(pulled, likes, cotangent, *arrays),
    )
    check_grads(function, tuple(map(jax.numpy.asarray, pair.arrays)), order=1, modes=["rev"])
    return True


def _hips(pair: Pair) -> bool:
    """As the documentation has it: a primitive with its vjps, checked in reverse mode."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    function = primitive(lambda *arrays: pair.loss(*arrays))
    vjps = [
        lambda _, *arrays, i=i: lambda cotangent: cotangent * pair.gradient(*arrays)[i]
        for i in range(len(pair.arrays))
    ]
    defvjp(function, *vjps)
    every = tuple(range(len(pair.arrays)))
    check_grads(function, every, modes=["rev"], order=1)(*pair.arrays)
    return True


def _torch(fast_mode: bool) -> Callable[[Pair], bool]:
    def check(pair: Pair) -> bool:
        import torch

        class Loss(torch.autograd.Function):
            """The NumPy code, as PyTorch's tutorial wraps it."""

            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                ctx.save_for_backward(*tensors)
                return torch.as_tensor(pair.loss(*(t.detach().numpy() for t in tensors)), dtype=torch.float64)

            @staticmethod
            def backward(ctx: Any, cotangent: Any) -> Any:
                found = pair.gradient(*(t.detach().numpy() for t in ctx.saved_tensors))
                return tuple(cotangent * torch.as_tensor(np.ascontiguousarray(g)) for g in found)

        tensors = [torch.tensor(array, requires_grad=True) for array in pair.arrays]
        return bool(torch.autograd.gradcheck(Loss.apply, tensors, fast_mode=fast_mode))

    return check


PEERS: tuple[Peer, ...] = (
    Peer("gradcheck", "verify(loss, params, gradient=gradient); verify_case(case, engine) for graphs", _ours),
    Peer("torch slow", "autograd.Function around the NumPy code; gradcheck(f, inputs)", _torch(False)),
    Peer("torch fast", "the same; gradcheck(f, inputs, fast_mode=True)", _torch(True)),
    Peer("JAX", 'custom_vjp around the NumPy code; check_grads(f, args, order=1, modes=["rev"])', _jax_check),
    Peer(
        "HIPS autograd", 'primitive and defvjp; check_grads(f, argnums, modes=["rev"], order=1)(*args)', _hips
    ),
    Peer("scipy", f"check_grad(loss, gradient, x) < {SCIPY_THRESHOLD:g}", _scipy, most=40_000),
    Peer("numdifftools", "np.allclose(gradient(x), Gradient(loss)(x))", _numdifftools, most=2_000),
    Peer(
        "hand-rolled",
        f"central differences of the sum, h = {HAND_STEP:g}; "
        f"np.allclose(rtol={HAND_RTOL:g}, atol={HAND_ATOL:g})",
        _hand_rolled,
        most=40_000,
    ),
)
