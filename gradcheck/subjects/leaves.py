"""One parameter between the user's own type and an array: Python numbers, NumPy scalars, arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.report.words import with_article
from gradcheck.subjects.structure import ROOT

Array = NDArray[Any]


def variables_of(leaves: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Split leaves into those that can be moved, as arrays, and constants (integers, strings, ...).

    Raises:
        UsageError: where no leaf can be moved, or one is not finite.
    """
    variables, constants = {}, {}
    for name, leaf in leaves.items():
        array = _movable(leaf)
        if array is None:
            constants[name] = leaf
        elif not np.isfinite(array).all():
            raise UsageError(f"{name} holds NaN or infinity: give parameters at which the loss is defined.")
        else:
            variables[name] = array
    if not variables:
        raise UsageError(_nothing_to_move(constants))
    return variables, constants


def _movable(leaf: Any) -> Array | None:
    if isinstance(leaf, float | complex | np.floating | np.complexfloating | np.ndarray):
        array = np.array(leaf, order="K", copy=True, subok=False)
        return array if array.dtype.kind in "fc" else None
    return None


def _nothing_to_move(constants: Mapping[str, Any]) -> str:
    if not constants:
        return "There are no parameters: pass a dict, list or tuple of arrays after the loss."
    name, leaf = next(iter(constants.items()))
    if is_integer(leaf):
        return integer_message(name, leaf)
    where = "the parameters" if name == ROOT else name
    if getattr(leaf, "dtype", None) == np.dtype(object):
        return (
            f"{name} has the dtype object, and cannot be moved by a small step: use {name}.astype(float), "
            "and keep arrays of different lengths in a list."
        )
    given = type(leaf).__name__
    return f"Expected floating-point arrays as parameters but got {given} for {where}: pass arrays."


def is_integer(leaf: Any) -> bool:
    """Whether a leaf is an integer or an array of integers."""
    return isinstance(leaf, int | np.integer | np.ndarray) and np.asarray(leaf).dtype.kind in "iub"


def integer_message(name: str, leaf: Any) -> str:
    """Say that an integer cannot be moved, and what to do."""
    dtype = np.asarray(leaf).dtype
    remedy = "write it with a decimal point" if np.ndim(leaf) == 0 else f"use {name}.astype(float)"
    return f"{name} has the integer type {dtype}, and cannot be moved by a small step: {remedy}."


def restore(leaf: Any, value: Array) -> Any:
    """Return a fresh copy of a value in the type of the user's leaf."""
    if isinstance(leaf, complex) and not isinstance(leaf, np.generic):
        return complex(value)
    if isinstance(leaf, float) and not isinstance(leaf, np.generic):
        return float(value)
    if isinstance(leaf, np.generic):
        return np.asarray(value).dtype.type(value)
    return np.array(value, order="K", copy=True)


def changed(before: Array, after: Any) -> bool:
    """Whether a leaf that was handed to the user's code came back with other contents."""
    now = np.asarray(after)
    return now.shape != before.shape or not np.array_equal(now, before, equal_nan=True)


def scalar(result: Any, who: str) -> Array:
    """Return the loss as an array without axes.

    Raises:
        UsageError: where it is not one real number.
    """
    if isinstance(result, tuple | list):
        raise UsageError(
            f"{who} returned {with_article(type(result).__name__)} of {len(result)}, but a loss is one "
            "number: return only that, or pass a function that returns (loss, gradient) as "
            "value_and_gradient=."
        )
    if result is None:
        raise UsageError(f"{who} returned None: is its return statement missing?")
    array = np.asarray(result)
    if array.dtype.kind not in "fciub":
        raise UsageError(f"{who} returned {type(result).__name__}, but a loss is one number.")
    if array.size != 1:
        raise UsageError(
            f"{who} returned an array of shape {array.shape}, but a loss is one number: return its sum or "
            "its mean, and the gradient of the same."
        )
    array = array.reshape(())
    if array.dtype.kind == "c":
        if array.imag != 0:
            raise UsageError(f"{who} returned the complex number {complex(array)}, but a loss is real.")
        array = array.real
    return array.astype(np.float64) if array.dtype.kind in "iub" else array
