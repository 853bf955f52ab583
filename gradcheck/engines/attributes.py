"""Attributes as an engine's functions take them: what stands for an array is one, also if it was a number.

A graph keeps attributes in the simplest form, so a mask without axes is a bool there, and labels read from
JSON may be a tuple.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_ARRAYS = {"condition": np.bool_, "mask": np.bool_, "indices": np.int64, "labels": np.int64}


def with_arrays(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with conditions, masks, indices and labels as NumPy arrays."""
    return {name: _as_array(name, value) for name, value in attributes.items()}


def _as_array(name: str, value: Any) -> Any:
    if name not in _ARRAYS or value is None:
        return value
    return np.asarray(value, dtype=_ARRAYS[name])
