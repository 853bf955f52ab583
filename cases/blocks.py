"""The building blocks that people build networks from, small, each with the sharing that it is known for.

A residual adds to its own input; a recurrent net uses its weights at every step, an auto-encoder both ways,
an embedding a row for every time that a token occurs. In each a backward pass must add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from cases.builder import Builder, Unsuitable
from cases.choices import Choices, Shape, bell
from cases.operands import clear_of_kinks
from cases.record import Case

Block = Callable[[Builder], str]
SMOOTH = ("tanh", "sigmoid", "softplus", "silu", "gelu")
KINKED = ("relu", "leaky_relu", "elu")
_MOST_ENTRIES = 512


def block(choices: Choices) -> Case:
    """Return a case of one of the blocks, ending in a scalar loss."""
    return block_of(choices.one_of(tuple(BLOCKS)), choices)


def block_of(kind: str, choices: Choices) -> Case:
    """Return a case of the block with the given name, one of ``BLOCKS``."""
    for _ in range(20):
        b = Builder(choices, _MOST_ENTRIES)
        try:
            return b.case(kind, BLOCKS[kind](b), "block")
        except Unsuitable:  # values at a tie that no shift resolved: draw others
            continue
    raise AssertionError(f"No values were found for the block {kind!r} away from all kinks.")


def _weights(b: Builder, *shape: int, fan_in: int | None = None, name: str | None = None) -> str:
    """Return a new parameter, of a variance that keeps the values' scale."""
    return b.parameter(bell(b.choices, shape, (fan_in or shape[0]) ** -0.5), name)


def _bias(b: Builder, *shape: int, name: str | None = None) -> str:
    return b.parameter(bell(b.choices, shape, 0.3), name)


def _input(b: Builder, *shape: int, name: str = "x") -> str:
    return b.input(bell(b.choices, shape), name)


def _linear(b: Builder, x: str, width: int) -> str:
    return b.apply("add", b.apply("matmul", x, _weights(b, b.shape(x)[-1], width)), _bias(b, width))


def _activation(b: Builder, x: str) -> str:
    return clear_of_kinks(b, b.choices.one_of((*SMOOTH, *KINKED)), x)


def _regression(b: Builder, f: str) -> str:
    loss = b.choices.one_of(("mean_squared_error", "squared_error", "huber"))
    return clear_of_kinks(b, loss, f, b.input(bell(b.choices, b.shape(f)), "t"))


def _classification(b: Builder, logits: str) -> str:
    samples, classes = b.shape(logits)
    labels = b.choices.integers((samples,), 0, classes - 1)
    return b.apply("softmax_cross_entropy", logits, labels=labels)


def residual(b: Builder) -> str:
    """Build x + f(x), several times over, at times with the same weights."""
    samples, width = b.choices.integer(1, 4), b.choices.integer(1, 6)
    x = _input(b, samples, width)
    shared = _weights(b, width, width) if b.choices.boolean(0.3) else None
    for _ in b.choices.repeat(1, 4):
        inner = b.apply("matmul", x, shared or _weights(b, width, width))
        x = b.apply("add", x, _activation(b, b.apply("add", inner, _bias(b, width))))
    return _regression(b, x)


def layer_norm_block(b: Builder) -> str:
    """Build x + W2 sigma(W1 norm(x)), as in a transformer, at times with dropout."""
    samples, width = b.choices.integer(1, 4), b.choices.integer(2, 6)
    x = _input(b, samples, width)
    gain, bias = b.parameter(1 + bell(b.choices, (width,), 0.3), "gain"), _bias(b, width, name="bias")
    normed = clear_of_kinks(b, "layer_norm", x, gain, bias)
    hidden = _activation(b, _linear(b, normed, b.choices.integer(1, 8)))
    y = _linear(b, hidden, width)
    if b.choices.boolean(0.4):
        mask = b.choices.integers(b.shape(y), 0, 3) > 0
        y = b.apply("dropout", y, mask=mask, rate=0.25)
    return _regression(b, b.apply("add", x, y))


def attention(b: Builder) -> str:
    """Build softmax(Q K^T / sqrt(d)) V, at times causal, in one head or in several (Vaswani et al. 2017)."""
    length, heads, size = b.choices.integer(1, 4), b.choices.integer(1, 2), b.choices.integer(1, 4)
    width = heads * size
    samples = b.choices.integer(1, 2)
    x = _input(b, samples, length, width)
    q, k, v = (
        _split(b, b.apply("matmul", x, _weights(b, width, width, name=f"W{role}")), heads) for role in "qkv"
    )
    scores = b.apply("matmul", q, b.apply("transpose", k, axes=(0, 1, 3, 2)))
    scores = b.apply("multiply", scores, b.input(size**-0.5, "scale"))
    if b.choices.boolean(0.4):
        past = np.tril(np.ones((length, length), dtype=bool))
        scores = b.apply("where", scores, b.input(-8.0, "masked"), condition=past)
    mixed = b.apply("matmul", b.apply("softmax", scores, axis=-1), v)
    merged = b.apply(
        "reshape", b.apply("transpose", mixed, axes=(0, 2, 1, 3)), shape=(samples, length, width)
    )
    return _regression(b, b.apply("matmul", merged, _weights(b, width, width, name="Wo")))


def _split(b: Builder, x: str, heads: int) -> str:
    samples, length, width = b.shape(x)
    apart = b.apply("reshape", x, shape=(samples, length, heads, width // heads))
    return b.apply("transpose", apart, axes=(0, 2, 1, 3))


def recurrent(b: Builder) -> str:
    """Unroll h_t = tanh(x_t W + h_(t-1) U + b): W, U and b serve every step (Elman 1990)."""
    samples, steps = b.choices.integer(1, 3), b.choices.integer(1, 6)
    size, hidden = b.choices.integer(1, 4), b.choices.integer(1, 5)
    x = _input(b, samples, steps, size)
    W, U = _weights(b, size, hidden, name="W"), _weights(b, hidden, hidden, name="U")
    bias, h = _bias(b, hidden, name="b"), b.parameter(bell(b.choices, (hidden,), 0.5), "h0")
    states = []
    for t in range(steps):
        now = b.apply("take", x, indices=np.array(t), axis=1)
        s = b.apply("add", b.apply("matmul", now, W), b.apply("matmul", h, U))
        h = b.apply("tanh", b.apply("add", s, bias))
        states.append(h)
    if b.choices.boolean():
        return _regression(b, b.apply("stack", *states, axis=1))
    return _regression(b, h)


def gated(b: Builder) -> str:
    """Unroll a net that keeps the share z of its state (Cho et al. 2014, without the reset gate)."""
    samples, steps = b.choices.integer(1, 3), b.choices.integer(1, 4)
    size, hidden = b.choices.integer(1, 3), b.choices.integer(1, 4)
    x = _input(b, samples, steps, size)
    W, U = _weights(b, size, 2 * hidden, name="W"), _weights(b, hidden, 2 * hidden, name="U")
    h, one = b.parameter(bell(b.choices, (samples, hidden), 0.5), "h0"), b.constant(1.0)
    for t in range(steps):
        now = b.apply("take", x, indices=np.array(t), axis=1)
        s = b.apply("add", b.apply("matmul", now, W), b.apply("matmul", h, U))
        z = b.apply("sigmoid", b.apply("slice", s, slices=((None, None, None), (0, hidden, 1))))
        new = b.apply("tanh", b.apply("slice", s, slices=((None, None, None), (hidden, None, None))))
        fresh = b.apply("multiply", b.apply("subtract", one, z), new)
        h = b.apply("add", b.apply("multiply", z, h), fresh)
    return _regression(b, h)


def convolutional(b: Builder) -> str:
    """Build convolution, normalisation or not, activation, pool, linear layer, cross-entropy."""
    samples, channels, filters = b.choices.integer(1, 2), b.choices.integer(1, 2), b.choices.integer(1, 3)
    side, window = b.choices.integer(3, 5), b.choices.integer(1, 3)
    x = _input(b, samples, channels, side, side)
    w = _weights(b, filters, channels, window, window, fan_in=channels * window**2)
    y = b.apply(
        "conv2d", x, w, _bias(b, filters), padding=b.choices.integer(0, 1), stride=b.choices.integer(1, 2)
    )
    if b.values[y].size > filters and b.choices.boolean(0.4):
        gain = b.parameter(1 + bell(b.choices, (filters,), 0.3), "gain")
        y = clear_of_kinks(b, "batch_norm", y, gain, _bias(b, filters, name="bias"))
    y = _activation(b, y)
    if min(b.shape(y)[-2:]) >= 2:
        pool = b.choices.one_of(("avg_pool2d", "max_pool2d"))
        y = clear_of_kinks(b, pool, y, size=2, stride=b.choices.integer(1, 2))
    return _classified(b, y)


def signal(b: Builder) -> str:
    """Build two convolutions over a signal, the second dilated or grouped, then the mean over time."""
    samples, channels, length = b.choices.integer(1, 2), b.choices.integer(1, 2), b.choices.integer(5, 9)
    x = _input(b, samples, channels, length)
    w1 = _weights(b, 2, channels, 3, fan_in=3 * channels)
    y = _activation(b, b.apply("conv1d", x, w1, _bias(b, 2), padding=1))
    groups = b.choices.integer(1, 2)
    w2 = _weights(b, 2, 2 // groups, 2, fan_in=4)
    y = b.apply("conv1d", y, w2, dilation=b.choices.integer(1, 2), groups=groups)
    return _classification(b, _linear(b, b.apply("mean", y, axis=-1), b.choices.integer(2, 4)))


def _classified(b: Builder, images: str) -> str:
    shape: Shape = b.shape(images)
    flat = b.apply("reshape", images, shape=(shape[0], shape[1] * shape[2] * shape[3]))
    return _classification(b, _linear(b, flat, b.choices.integer(2, 4)))


def auto_encoder(b: Builder) -> str:
    """Compare sigma(x W + b) W^T + c with x itself: W is used both ways, x twice."""
    samples, size, code = b.choices.integer(1, 4), b.choices.integer(1, 6), b.choices.integer(1, 4)
    x, W = _input(b, samples, size), _weights(b, size, code, name="W")
    hidden = _activation(b, b.apply("add", b.apply("matmul", x, W), _bias(b, code, name="b")))
    back = b.apply("matmul", hidden, b.apply("transpose", W))
    restored = b.apply("add", back, _bias(b, size, name="c"))
    return b.apply(b.choices.one_of(("mean_squared_error", "squared_error")), restored, x)


def embedding(b: Builder) -> str:
    """Look up rows of a table by tokens that repeat, average and classify them."""
    samples, length = b.choices.integer(1, 3), b.choices.integer(2, 5)
    vocabulary, width = b.choices.integer(1, 4), b.choices.integer(1, 5)
    table = b.parameter(bell(b.choices, (vocabulary, width)), "table")
    tokens = b.choices.integers((samples, length), 0, vocabulary - 1)
    words = b.apply("take", table, indices=tokens, axis=0)
    hidden = _activation(b, _linear(b, b.apply("mean", words, axis=1), b.choices.integer(1, 4)))
    return _classification(b, _linear(b, hidden, b.choices.integer(2, 4)))


BLOCKS: Mapping[str, Block] = MappingProxyType(
    {
        "residual": residual,
        "layer norm": layer_norm_block,
        "attention": attention,
        "recurrent": recurrent,
        "gated": gated,
        "convolutional": convolutional,
        "signal": signal,
        "auto-encoder": auto_encoder,
        "embedding": embedding,
    }
)
