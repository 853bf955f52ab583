"""What a person made of each finding of the surveys, by library, operation and kind.

``NOTES`` are reported. ``DISMISSED`` are not: the reason says whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINK, WRONG, NAN, PRECISION, RAISES = (
    "convention at a kink",
    "wrong gradient",
    "wrong gradient (NaN)",
    "precision loss",
    "raises",
)
_NOT_FINITE = "not finite"


@dataclass(frozen=True)
class Note:
    """A finding that is the library's: the expression, what kind of thing it is, and why it happens."""

    title: str
    kind: str
    text: str


Key = tuple[str, str, str]

# Met while an adapter was written, or by a survey in a graph of which every operation is right alone.
EXTRA: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (
        "tinygrad",
        {
            "operation": "leaf",
            "kind": WRONG,
            "where": ["the adapter"],
            "leaf": "x",
            "claimed": "None",
            "true": "6.0",
            "count": 1,
            "snippet": "import numpy as np\nfrom tinygrad import Tensor\n\nx = Tensor(np.asarray(3.0))\n\n"
            "(x * x).backward()\nprint('x', x.grad)",
        },
    ),
    (
        "tinygrad",
        {
            "operation": "minimum",
            "kind": RAISES,
            "where": ["generated"],
            "leaf": "",
            "claimed": "Engine 'tinygrad' raised RuntimeError: UOp verification failed",
            "true": "",
            "count": 2,
            "snippet": "import numpy as np\nfrom tinygrad import Tensor\n\nx = Tensor(np.array([0.5]))\n"
            "w = Tensor(np.array([1.0, -1.0, 2.0, 3.0]))\n\ny = (x.expand(4) + w).minimum(x)\n\n"
            "y.sum().backward()\nTensor.realize(y, x.grad, w.grad)",
        },
    ),
)

_MAXIMUM = (
    "At a tie both arguments get 0, although moving both together moves the result: in the direction (1, "
    "1) the "
    "derivative is 1, by the claim it is 0. No share of 1 between the two gives that, so it is no "
    "subgradient; "
    "gradient descent on a tied pair stands still."
)
_NAN_AT_ZERO = (
    "The norm has a kink at zero, where every vector of length up to 1 is a subgradient, and 0 the usual "
    "choice. The "
    "gradient is computed as x / |x|, and one such row turns every parameter before it into NaN."
)
_TIES = (
    "At a tie the whole cotangent goes to one of the largest (smallest) entries: one of many subgradients."
)
_CLIP = "On the bound itself the gradient is 0; from the inside it is 1. Both are subgradients."

NOTES: Mapping[Key, Note] = {
    ("autograd", "norm", _NOT_FINITE): Note("norm of a zero vector", NAN, _NAN_AT_ZERO),
    ("autograd", "prod", _NOT_FINITE): Note(
        "prod with a zero among the factors",
        NAN,
        "The function is smooth there. The gradient is computed as the product divided by the entry, 0 / 0.",
    ),
    ("autograd", "prod", PRECISION): Note(
        "prod whose value underflows",
        PRECISION,
        "The product of four numbers near 1e-100 is beyond the smallest number, that of three is not. "
        "Computed as the "
        "product divided by the entry, the gradient is 0.",
    ),
    ("autograd", "relu", KINK): Note(
        "maximum(x, 0) at 0",
        KINK,
        "A tie is shared half and half. Other libraries choose 0 or 1.",
    ),
    ("autograd", "clip", KINK): Note("clip on its bound", KINK, _CLIP),
    ("mygrad", "elu", PRECISION): Note(
        "elu of small negative numbers",
        PRECISION,
        "It is computed as exp(x) - 1, of which 8 digits are left at 1e-8 and none at 1e-17; expm1 keeps "
        "them all.",
    ),
    ("mygrad", "elu", KINK): Note(
        "elu at 0, alpha not 1",
        KINK,
        "The slopes are alpha on the left and 1 on the right; the claim is that on the right.",
    ),
    ("mygrad", "leaky_relu", WRONG): Note(
        "leaky_relu at 0",
        WRONG,
        "The slopes are 0.01 on the left and 1 on the right; 0 lies outside. Inputs that are exactly zero "
        "(padding, "
        "dead units) get no gradient at all.",
    ),
    ("mygrad", "max", KINK): Note("max at a tie", KINK, _TIES),
    ("mygrad", "min", KINK): Note("min at a tie", KINK, _TIES),
    ("mygrad", "maximum", WRONG): Note("maximum of equal arguments", WRONG, _MAXIMUM),
    ("mygrad", "minimum", WRONG): Note("minimum of equal arguments", WRONG, _MAXIMUM),
    ("mygrad", "norm", _NOT_FINITE): Note("norm of a zero vector", NAN, _NAN_AT_ZERO),
    ("mygrad", "prod", PRECISION): Note(
        "prod whose value underflows",
        PRECISION,
        "The product of four numbers near 1e-100 is beyond the smallest number, that of three is not. The "
        "gradient is "
        "0 all the same.",
    ),
    ("mygrad", "clip", KINK): Note("clip on its bound", KINK, _CLIP),
    ("mygrad", "conv1d", RAISES): Note(
        "conv_nd with dilation, in one dimension",
        RAISES,
        "A window of 3 with dilation 2 spans 5 entries and fits; 6, dilation times window, are asked for.",
    ),
    ("mygrad", "conv2d", RAISES): Note(
        "conv_nd with dilation, in two dimensions",
        RAISES,
        "A window of 1 spans one entry whatever the dilation; dilation times window entries are asked for.",
    ),
    ("jax", "abs", KINK): Note(
        "abs at 0", KINK, "The gradient is 1, the slope on the right; others choose 0."
    ),
    ("jax", "clip", KINK): Note(
        "clip on its bound",
        KINK,
        "On the bound itself the gradient is 1/2, from the inside it is 1. Both are fine.",
    ),
    ("jax", "leaky_relu", KINK): Note("leaky_relu at 0", KINK, "The claim is the slope on the right."),
    ("jax", "norm", _NOT_FINITE): Note("norm of a zero vector", NAN, _NAN_AT_ZERO),
    ("jax", "power", _NOT_FINITE): Note(
        "power(0., 0.)",
        NAN,
        "x ** 0 is 1 for every x, so the derivative for x is 0. It is computed as y * x ** (y - 1), which "
        "is 0 * inf.",
    ),
    ("jax", "batch_norm", PRECISION): Note(
        "nn.standardize of numbers far from zero",
        PRECISION,
        "A trade that its source tells: by default the variance is the mean of the squares less the "
        "square of "
        "the mean. At 1e6 with a spread of 1, value and gradient keep four or five digits in float64, and "
        "none "
        'in float32. `algorithm="stable"` keeps them.',
    ),
    ("tinygrad", "elu", WRONG): Note(
        "elu at 0",
        WRONG,
        "With alpha 1 elu is smooth at 0, its derivative is 1. It is computed as relu(x) - relu(1 - "
        "exp(x)), and both "
        "have the gradient 0 there.",
    ),
    ("tinygrad", "leaf", WRONG): Note(
        "a tensor without axes",
        "wrong gradient (none)",
        "Such a tensor is a constant to tinygrad. `Tensor.gradient` refuses it (a weak Tensor); "
        "`backward` leaves "
        "its gradient None and says nothing. The adapter reshapes a tensor of one entry instead.",
    ),
    ("tinygrad", "elu", _NOT_FINITE): Note(
        "elu of large numbers",
        NAN,
        "elu(x) is x there. Its other half, relu(1 - exp(x)), overflows, and 0 * inf is NaN: from 710 on "
        "in float64, "
        "from 89 on in float32.",
    ),
    ("tinygrad", "elu", PRECISION): Note(
        "elu of small negative numbers",
        PRECISION,
        "It is computed with 1 - exp(x), of which 8 digits are left at 1e-8 and none at 1e-17.",
    ),
    ("tinygrad", "tanh", PRECISION): Note(
        "tanh of small numbers",
        PRECISION,
        "It is computed as 2 sigmoid(2x) - 1, of which 8 digits are left at 1e-8 and none at 1e-17.",
    ),
    ("tinygrad", "minimum", RAISES): Note(
        "minimum of what shares an expanded tensor, value and gradients at once",
        RAISES,
        "Part of the gradient of float64 numbers is kept in float32, and tinygrad's own check of its program "
        "finds the two in one subtraction. Realised one after the other, value and gradients come out right. "
        "Met in one generated graph of 20 operations, and with `NOOPT=1` in one of 39.",
    ),
    ("tinygrad", "softplus", PRECISION): Note(
        "softplus of large negative numbers",
        PRECISION,
        "It is computed as log(1 + exp(x)), where 1 swallows what is smaller than 1e-16; log1p keeps it.",
    ),
    ("tinygrad", "prod", PRECISION): Note(
        "prod whose value underflows",
        PRECISION,
        "The product of four numbers near 1e-100 is beyond the smallest number, that of three is not. The "
        "gradient "
        "is 0 all the same.",
    ),
    ("tinygrad", "leaky_relu", KINK): Note("leaky_relu at 0", KINK, "The claim is the slope on the right."),
    ("tinygrad", "max_pool2d", KINK): Note(
        "max_pool2d at a tie",
        KINK,
        "The cotangent is shared among the largest entries: one of many subgradients.",
    ),
    ("tinygrad", "norm", _NOT_FINITE): Note(
        "square root of a sum of squares at zero",
        NAN,
        "tinygrad has no norm; as users write it, its gradient at zero is 0 / 0. The square root alone "
        "has an infinite "
        "slope there, so each operation does what it must; a norm of its own could choose 0.",
    ),
    ("micrograd", "norm", RAISES): Note(
        "a square root of 0",
        RAISES,
        "Norms are written as sum ** 0.5, as micrograd has no square root. The function has a kink there; "
        "its backward "
        "pass divides by zero, which in Python raises.",
    ),
    ("micrograd", "transpose", RAISES): Note(
        "backward through a sum of a thousand values",
        RAISES,
        "The topological order is found by recursion, one Python frame for each value on the longest "
        "path. A sum of a "
        "thousand values is such a path. Python's recursion limit can be raised.",
    ),
}

_COMPOSED = {
    "hinge": "`hinge` at its kink is put together by the adapter out of the library's own operations, and "
    "has the "
    "convention of its maximum or relu.",
    "absolute_error": "`absolute_error` is put together by the adapter, and has the convention of the "
    "library's abs.",
    "softmax": "`softmax` and `log_softmax` are put together by the adapter; where one entry is all, a "
    "gradient of "
    "1e-15 instead of 0 is rounding.",
    "logsumexp": "`logsumexp` is put together by the adapter; near 0 its value keeps an absolute error of "
    "1e-16.",
}

_STANDARDIZE = (
    "`layer_norm` and `batch_norm` are made of `nn.standardize`, whose loss of digits, in the value too, "
    "is told above."
)
_FAR = (
    "`sin` and `cos` of numbers near 1e100 are not what they should be, but rounding such a number once "
    "changes "
    "them altogether."
)
_DEEP = (
    "`add`, `matmul`, `multiply` and `sum` of some thousand values reach the recursion limit that is told of "
    "above, when the frames below happen to be many enough."
)

DISMISSED: Mapping[Key, str] = {
    ("autograd", "hinge", KINK): _COMPOSED["hinge"],
    ("autograd", "softmax", PRECISION): _COMPOSED["softmax"],
    (
        "autograd",
        "logsumexp",
        RAISES,
    ): "`logsumexp` of an array without axes raises under a cotangent without axes; by "
    "`grad`, as it is used, it does not.",
    ("jax", "absolute_error", KINK): _COMPOSED["absolute_error"],
    ("jax", "hinge", KINK): _COMPOSED["hinge"],
    ("jax", "pad", RAISES): "`pad` of an array without axes raises in `jnp.pad` as it does in NumPy.",
    ("jax", "layer_norm", PRECISION): _STANDARDIZE,
    ("jax", "layer_norm", "wrong value"): _STANDARDIZE,
    ("jax", "batch_norm", "wrong value"): _STANDARDIZE,
    ("tinygrad", "sin", WRONG): _FAR,
    ("tinygrad", "cos", "wrong value"): _FAR,
    ("tinygrad", "cos", WRONG): _FAR,
    ("tinygrad", "sin", "wrong value"): _FAR,
    ("tinygrad", "hinge", KINK): _COMPOSED["hinge"],
    ("tinygrad", "absolute_error", KINK): _COMPOSED["absolute_error"],
    ("mygrad", "hinge", KINK): _COMPOSED["hinge"],
    ("mygrad", "logsumexp", PRECISION): _COMPOSED["logsumexp"],
    ("micrograd", "hinge", KINK): _COMPOSED["hinge"],
    **{("micrograd", operation, RAISES): _DEEP for operation in ("add", "matmul", "multiply", "sum")},
}
