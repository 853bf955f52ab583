"""The matrix product, in all the shapes that NumPy gives it.

For Y = A B the lecture's weights appear in both roles: dL/dA = dL/dY B^T carries the cotangent back
through a layer, and dL/dB = A^T dL/dY is the gradient of its weights, summed over the batch by the product
itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_impl.rules.axes import unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule


def _matmul_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    if a.ndim == b.ndim == 2:
        return cotangent @ b.conj().T, a.conj().T @ cotangent
    # A vector on the left is a row, on the right a column; the output lacks the axis that this adds.
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    if a.ndim == 1:
        cotangent = np.expand_dims(cotangent, -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        cotangent = np.expand_dims(cotangent, -1)
    da = _product(cotangent, columns.conj().swapaxes(-1, -2), rows.shape)
    db = _product_of_left(rows, cotangent, columns.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


def _product(left: Array, right: Array, shape: tuple[int, ...]) -> Array:
    return unbroadcast(np.matmul(left, right), shape)


def _product_of_left(rows: Array, cotangent: Array, shape: tuple[int, ...]) -> Array:
    """A^H G. Where one matrix B served a whole batch, the batch is just more rows: one product, no sum."""
    if len(shape) == 2:
        rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim > 2 else rows
        cotangent = cotangent.reshape(-1, cotangent.shape[-1]) if cotangent.ndim > 2 else cotangent
    return unbroadcast(np.matmul(rows.conj().swapaxes(-1, -2), cotangent), shape)


LINEAR = (Rule("matmul", np.matmul, _matmul_vjp, (2, 2), analytic=True),)
