"""The multilayer perceptron of the lecture, forward and backward, layer by layer, in its own letters.

W^l (width of layer l, width of layer l-1) and b^l (width of layer l) for l = 1, ..., L; s^l is the weighted
input of layer l and x^l its activation; x^0 is the network's input and x^L its output. One sample is a
vector; a batch of N is a matrix with a sample in each row, so W x + b becomes X W^T + b. Nothing here goes
through graphs or their rules: that the two agree is evidence for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reference_impl.errors import did_you_mean
from reference_impl.nonlinearities import ACTIVATIONS, Array
from reference_impl.sample_losses import LOSSES

_REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True, eq=False)
class MLP:
    """A network's parameters, the activation function of each layer, and its loss.

    Attributes:
        W: the weights, ``W[l - 1]`` = W^l of shape (width l, width l-1).
        b: the biases, ``b[l - 1]`` = b^l of shape (width l,).
        sigma: the name of each layer's activation function, a row of ``ACTIVATIONS``.
        loss: the name of the loss, a row of ``LOSSES``.
        reduction: over samples: "sum", as in the lecture, or "mean".

    Raises:
        ValueError: where shapes do not fit together, or a name is unknown.
    """

    W: tuple[Array, ...]
    b: tuple[Array, ...]
    sigma: tuple[str, ...]
    loss: str = "squared_error"
    reduction: str = "sum"

    def __post_init__(self) -> None:
        if not 0 < len(self.W) == len(self.b) == len(self.sigma):
            counts = f"{len(self.W)} W, {len(self.b)} b and {len(self.sigma)} sigma"
            raise ValueError(f"Expected as many W as b and sigma, at least one, but got {counts}.")
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True), 1):
            below = self.W[layer - 2].shape[:1] if layer > 1 else W.shape[1:]
            if W.ndim != 2 or W.shape[1:] != below or b.shape != W.shape[:1]:
                raise ValueError(
                    f"Layer {layer}: expected W of shape (width, {below[0]}) and b of shape (width,) "
                    f"but got {W.shape} and {b.shape}."
                )
        for sigma in self.sigma:
            if sigma not in ACTIVATIONS:
                raise ValueError(f"Unknown activation {sigma!r}.{did_you_mean(sigma, ACTIVATIONS)}")
        if self.loss not in LOSSES:
            raise ValueError(f"Unknown loss {self.loss!r}.{did_you_mean(self.loss, LOSSES)}")
        if self.reduction not in _REDUCTIONS:
            raise ValueError(f"Expected reduction 'sum' or 'mean' but got {self.reduction!r}.")


@dataclass(frozen=True, eq=False)
class Activations:
    """What the forward pass leaves for the backward pass: ``s[l - 1]`` = s^l, and ``x[l]`` = x^l."""

    s: tuple[Array, ...]
    x: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Gradients:
    """dl/dW^l and dl/db^l, indexed as in ``MLP``, and dl/dx^0 (None where it was not asked for)."""

    W: tuple[Array, ...]
    b: tuple[Array, ...]
    x: Array | None


def initialise(
    widths: Sequence[int], rng: np.random.Generator, sigma: str = "tanh", loss: str = "squared_error"
) -> MLP:
    """Return an MLP of the given widths, input first, with ``sigma`` in every layer but the last.

    The last layer's is the identity. Weights are normal with variance 1 / (width below), biases zero
    (LeCun et al. 1998), in float64.
    """
    layers = list(zip(widths[1:], widths, strict=False))
    return MLP(
        tuple(rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in layers),
        tuple(np.zeros(width) for width, _ in layers),
        (sigma,) * (len(layers) - 1) + ("identity",),
        loss,
    )


def forward(mlp: MLP, x: npt.ArrayLike) -> Activations:
    """Compute every s^l = W^l x^(l-1) + b^l and x^l = sigma(s^l), from x^0 = ``x``.

    Args:
        mlp: the network.
        x: one sample (width 0,), or a batch (N, width 0).

    Raises:
        ValueError: where x has another shape.
    """
    xs, ss = [np.asarray(x)], []
    if xs[0].ndim not in (1, 2) or xs[0].shape[-1] != mlp.W[0].shape[1]:
        raise ValueError(f"Expected x of shape (..., {mlp.W[0].shape[1]}) but got {xs[0].shape}.")
    for W, b, sigma in zip(mlp.W, mlp.b, mlp.sigma, strict=True):
        s = xs[-1] @ W.T
        s += b
        ss.append(s)
        xs.append(ACTIVATIONS[sigma].sigma(s))
    return Activations(tuple(ss), tuple(xs))


def losses(mlp: MLP, passed: Activations, y: npt.ArrayLike) -> Array:
    """Return l(x^L, y_n) for each sample, of shape (N,), or () for one sample."""
    f, t = _output_and_target(mlp, passed, y)
    return np.asarray(LOSSES[mlp.loss].loss(f, t))


def loss(mlp: MLP, passed: Activations, y: npt.ArrayLike) -> float:
    """Return the loss over the batch: the sum, or the mean, of the samples' losses."""
    each = losses(mlp, passed, y)
    return float(each.sum() if mlp.reduction == "sum" else each.mean())


def backward(mlp: MLP, passed: Activations, y: npt.ArrayLike, *, with_input: bool = True) -> Gradients:
    """Compute the gradient of the loss with respect to every W^l and b^l by the lecture's recursion.

    dl/ds^l = dl/dx^l sigma'(s^l), hence by equation (1) dl/dW^l = dl/ds^l x^(l-1)^T and by (2)
    dl/db^l = dl/ds^l, both summed over the batch; then dl/dx^(l-1) = W^l^T dl/ds^l for the layer below.

    Args:
        mlp: the network.
        passed: from ``forward``.
        y: the targets.
        with_input: whether dl/dx^0 is wanted too: a matrix product more.
    """
    dW, db = [], []
    dx: Array | None = _output_cotangent(mlp, passed, y)
    for layer in range(len(mlp.W), 0, -1):
        ds = ACTIVATIONS[mlp.sigma[layer - 1]].sigma_prime(passed.s[layer - 1], passed.x[layer])
        ds *= dx
        below = passed.x[layer - 1]
        dW.append(ds.T @ below if ds.ndim == 2 else np.outer(ds, below))
        db.append(ds.sum(0) if ds.ndim == 2 else ds)
        dx = ds @ mlp.W[layer - 1] if layer > 1 or with_input else None
    return Gradients(tuple(dW[::-1]), tuple(db[::-1]), dx)


def per_sample(mlp: MLP, passed: Activations, y: npt.ArrayLike) -> Gradients:
    """Compute the gradient of each sample's own loss l_n: as ``backward``, but before any sum over n.

    Returns:
        W[l - 1] of shape (N, width l, width l-1), b[l - 1] of (N, width l), x of (N, width 0).

    Raises:
        ValueError: where the forward pass was one sample's, not a batch's; ``backward`` is for that.
    """
    f, t = _output_and_target(mlp, passed, y)
    if f.ndim == 1:
        raise ValueError("Expected a batch but got one sample. Its gradient is that of backward.")
    dW, db = [], []
    dx = LOSSES[mlp.loss].dl_df(f, t)
    for layer in range(len(mlp.W), 0, -1):
        ds = dx * ACTIVATIONS[mlp.sigma[layer - 1]].sigma_prime(passed.s[layer - 1], passed.x[layer])
        dW.append(ds[:, :, None] * passed.x[layer - 1][:, None, :])
        db.append(ds)
        dx = ds @ mlp.W[layer - 1]
    return Gradients(tuple(dW[::-1]), tuple(db[::-1]), dx)


def loss_and_gradients(
    mlp: MLP, x: npt.ArrayLike, y: npt.ArrayLike, *, with_input: bool = True
) -> tuple[float, Gradients]:
    """Return the loss at inputs x and targets y, and its gradients: ``forward``, ``loss``, ``backward``."""
    passed = forward(mlp, x)
    return loss(mlp, passed, y), backward(mlp, passed, y, with_input=with_input)


def _output_cotangent(mlp: MLP, passed: Activations, y: npt.ArrayLike) -> Array:
    f, t = _output_and_target(mlp, passed, y)
    dx = LOSSES[mlp.loss].dl_df(f, t)
    return dx / len(f) if mlp.reduction == "mean" and f.ndim == 2 else dx


def _output_and_target(mlp: MLP, passed: Activations, y: npt.ArrayLike) -> tuple[Array, Array]:
    f, t = passed.x[-1], np.asarray(y)
    classes = mlp.loss == "softmax_cross_entropy" and t.dtype.kind in "iu"
    expected = f.shape[:-1] if classes else f.shape
    if t.shape != expected:
        raise ValueError(f"Expected targets of shape {expected} but got {t.shape}.")
    if classes and t.size and not 0 <= t.min() <= t.max() < f.shape[-1]:
        raise ValueError(f"Expected classes from 0 to {f.shape[-1] - 1} but got {t.min()} to {t.max()}.")
    return f, t
