"""The matrix product, in all the shapes that NumPy gives it.

For Y = A B the lecture's weights appear in both roles: dL/dA = dL/dY B^T carries the cotangent back
through a layer, and dL/dB = A^T dL/dY is the gradient of its weights, summed over the batch by the product
itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.axes import unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule


def _matmul_vjp(cotangent: Array, output: Any, inputs: Inputs) -> Cotangents:
    a, b = inputs
    if b.ndim == 1:
        return _matrix_times_vector_vjp(cotangent, a, b)
    if a.ndim == 1:
        return _vector_times_matrix_vjp(cotangent, a, b)
    if b.ndim == 2:
        return _rows_times_matrix_vjp(cotangent, a, b)
    da = np.matmul(cotangent, b.conj().swapaxes(-1, -2))
    db = np.matmul(a.conj().swapaxes(-1, -2), cotangent)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


# y = A b, or a . b:  dL/dA = dL/dy b^T,  dL/db = A^T dL/dy


def _matrix_times_vector_vjp(cotangent: Array, a: Array, b: Array) -> Cotangents:
    rows = a.reshape(cotangent.size, b.size)
    return cotangent[..., None] * b.conj(), rows.conj().T @ cotangent.reshape(-1)


# y = a B:  dL/da = B dL/dy,  dL/dB = a^T dL/dy


def _vector_times_matrix_vjp(cotangent: Array, a: Array, b: Array) -> Cotangents:
    da = np.matmul(b.conj(), cotangent[..., None])[..., 0]
    return unbroadcast(da, a.shape), a.conj()[:, None] * cotangent[..., None, :]


# Where one matrix B served a whole batch, the batch is just more rows: one product, and no sum after it.


def _rows_times_matrix_vjp(cotangent: Array, a: Array, b: Array) -> Cotangents:
    count = math.prod(a.shape[:-1])
    rows, drows = a.reshape(count, b.shape[0]), cotangent.reshape(count, b.shape[1])
    return (drows @ b.conj().T).reshape(a.shape), rows.conj().T @ drows


LINEAR = (Rule("matmul", np.matmul, _matmul_vjp, (2, 2), analytic=True),)
