"""Operations on each entry by itself. The Jacobian is diagonal, so the vjp multiplies by the derivative.

Two operands meet as NumPy broadcasts them; each cotangent is summed back to its operand's shape. For
complex numbers the derivative is conjugated (``conj`` returns a real array itself, at no cost).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_impl.rules.axes import unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

# y = a + b


def _add_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    return unbroadcast(cotangent, a.shape), unbroadcast(cotangent, b.shape)


# y = a - b


def _subtract_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    return unbroadcast(cotangent, a.shape), unbroadcast(-cotangent, b.shape)


# y = a b:  dy/da = b,  dy/db = a


def _multiply_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    return unbroadcast(cotangent * b.conj(), a.shape), unbroadcast(cotangent * a.conj(), b.shape)


# y = a / b:  dy/da = 1 / b,  dy/db = -a / b^2 = -y / b


def _divide_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    a, b = inputs
    da = cotangent / b.conj()
    return unbroadcast(da, a.shape), unbroadcast(-da * output.conj(), b.shape)


# y = a^b:  dy/da = b a^(b-1), 0 where b = 0;  dy/db = a^b log a, 0 where a = 0 and b >= 0.
# The masked entries are 0 * inf on the way there, hence the silence.


def _power_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    a, b = inputs
    vanishes = (a == 0) & (b.real >= 0) & (b.imag == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_a = np.where(b == 0, 0, b * np.power(a, b - 1))
        slope_b = np.where(vanishes, 0, output * np.log(a))
    return (
        unbroadcast(cotangent * slope_a.conj(), a.shape),
        unbroadcast(cotangent * slope_b.conj(), b.shape),
    )


# y = max(a, b): the larger operand takes it all; where they tie, each takes half


def _maximum_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    da = cotangent * (a > b) + (cotangent / 2) * (a == b)
    return unbroadcast(da, a.shape), unbroadcast(cotangent - da, b.shape)


def _minimum_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    da = cotangent * (a < b) + (cotangent / 2) * (a == b)
    return unbroadcast(da, a.shape), unbroadcast(cotangent - da, b.shape)


# y = a where the condition holds, else b


def _where(a: Array, b: Array, *, condition: Array) -> Array:
    return np.where(condition, a, b)


def _where_vjp(cotangent: Array, output: Any, inputs: Inputs, *, condition: Array) -> Cotangents:
    a, b = inputs
    return (
        unbroadcast(cotangent * condition, a.shape),
        unbroadcast(cotangent * np.logical_not(condition), b.shape),
    )


# y = -a


def _negative_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    return (-cotangent,)


# y = a^2:  y' = 2 a


def _square_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent * (2 * a.conj()),)


# y = sqrt(a):  y' = 1 / (2 y)


def _sqrt_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    return (cotangent / (2 * output.conj()),)


# y = 1 / a:  y' = -1 / a^2 = -y^2


def _reciprocal_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    slope = output.conj()
    return (-cotangent * slope * slope,)


# y = e^a:  y' = y


def _exp_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    return (cotangent * output.conj(),)


# y = e^a - 1:  y' = e^a = y + 1


def _expm1_vjp(cotangent: Array, output: Array, inputs: Inputs) -> Cotangents:
    return (cotangent * (output.conj() + 1),)


# y = log a:  y' = 1 / a


def _log_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent / a.conj(),)


# y = log(1 + a):  y' = 1 / (1 + a)


def _log1p_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent / (1 + a.conj()),)


# y = sin a:  y' = cos a


def _sin_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent * np.cos(a.conj()),)


# y = cos a:  y' = -sin a


def _cos_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (-cotangent * np.sin(a.conj()),)


# y = |a|:  y' = sign a


def _abs_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    (a,) = inputs
    return (cotangent * np.sign(a),)


# y = a between the bounds, the bound beyond it


def _clip(a: Array, *, minimum: float | None = None, maximum: float | None = None) -> Array:
    if minimum is not None:
        a = np.maximum(a, minimum)
    return a if maximum is None else np.minimum(a, maximum)


def _clip_vjp(
    cotangent: Array,
    output: Any,
    inputs: Inputs,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Cotangents:
    (a,) = inputs
    if minimum is not None:
        cotangent = cotangent * (a >= minimum)
    if maximum is not None:
        cotangent = cotangent * (a <= maximum)
    return (cotangent,)


TWO = (2, 2)
ELEMENTWISE = (
    Rule("add", np.add, _add_vjp, TWO, keeps_inputs=(), analytic=True),
    Rule("subtract", np.subtract, _subtract_vjp, TWO, keeps_inputs=(), analytic=True),
    Rule("multiply", np.multiply, _multiply_vjp, TWO, analytic=True),
    Rule("divide", np.divide, _divide_vjp, TWO, keeps_inputs=(1,), keeps_output=True, analytic=True),
    Rule(
        "power",
        np.power,
        _power_vjp,
        TWO,
        keeps_output=True,
        kink="0 to the base at exponent 0; 0 to the exponent at base 0, unless the exponent is negative",
        analytic=True,
    ),
    Rule("maximum", np.maximum, _maximum_vjp, TWO, kink="half to each operand where they tie"),
    Rule("minimum", np.minimum, _minimum_vjp, TWO, kink="half to each operand where they tie"),
    Rule("where", _where, _where_vjp, TWO, keeps_inputs=(), analytic=True),
    Rule("negative", np.negative, _negative_vjp, keeps_inputs=(), analytic=True),
    Rule("square", np.square, _square_vjp, analytic=True),
    Rule("sqrt", np.sqrt, _sqrt_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("reciprocal", np.reciprocal, _reciprocal_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("exp", np.exp, _exp_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("expm1", np.expm1, _expm1_vjp, keeps_inputs=(), keeps_output=True, analytic=True),
    Rule("log", np.log, _log_vjp, analytic=True),
    Rule("log1p", np.log1p, _log1p_vjp, analytic=True),
    Rule("sin", np.sin, _sin_vjp, analytic=True),
    Rule("cos", np.cos, _cos_vjp, analytic=True),
    Rule("abs", np.abs, _abs_vjp, kink="0 at 0"),
    Rule("clip", _clip, _clip_vjp, kink="1 on the bounds, as inside them"),
)
