"""The forward pass restricted to a line, seen through a cotangent.

Every estimate here is made from values of t -> y(theta + t v). They are remembered, so that rungs of the
ladder share them, and outputs are subtracted elementwise before the inner product with the cotangent:
that loses fewer digits than subtracting inner products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any  # an array of any library: NumPy, PyTorch, JAX, CuPy
Vector = Any  # one real, flat, float64 or wider array holding every output

# Entries whose product OpenBLAS takes in one thread (10,000 and fewer).
_ALONE = 2**13
# Sums of squares between these have neither overflowed nor lost their small terms.
TINY, HUGE = 1e-280, 1e280
_WIDE = (np.dtype(np.float64), np.dtype(np.longdouble))


def flatten(outputs: Sequence[Array]) -> Vector:
    """Return all outputs as one real vector; complex entries become two, narrow floats are widened exactly.

    Arrays of a device stay there; arrays in host memory become NumPy, whose overhead is the least.
    """
    if len(outputs) == 1:
        return _real_vector(outputs[0])
    parts = [_real_vector(output) for output in outputs]
    if not parts:
        return np.zeros(0)
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    from array_api_compat import array_namespace

    return array_namespace(*parts).concat(parts)


def _real_vector(output: Array) -> Vector:
    if type(output).__module__.startswith("torch"):
        return _real_vector_torch(output)
    if not isinstance(output, np.ndarray) and hasattr(output, "__array_namespace__") and _on_device(output):
        from array_api_compat import array_namespace

        xp = array_namespace(output)
        return xp.reshape(xp.astype(output, xp.float64), (-1,))
    array = np.asarray(output)
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    if array.dtype not in _WIDE:
        array = array.astype(np.float64)
    return array.reshape(-1)


def _on_device(output: Array) -> bool:
    """Whether the array lives outside host memory (CuPy always; JAX by its platform)."""
    device = getattr(output, "device", None)
    return "cpu" not in str(getattr(device, "platform", device)).lower()


def _real_vector_torch(output: Array) -> Vector:
    import torch

    if output.dtype is torch.float64 and output.is_cpu and output.layout is torch.strided:
        return output.numpy(force=True).reshape(-1)
    tensor = output.detach()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    tensor = tensor.to(torch.float64).reshape(-1)
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


class Line:
    """Values of the outputs along a line, remembered by t.

    ``outputs_at(t)`` returns the outputs at theta + t v. A point where it raises, or where an output is
    not finite, has no value: ``None``. ``keep`` selects the outputs that count. ``inputs`` is the largest
    magnitude among what is moved.
    """

    def __init__(
        self,
        outputs_at: Callable[[float], Sequence[Array]],
        cotangent: Vector,
        base: Vector | None = None,
        keep: Vector | None = None,
        inputs: float = 0.0,
    ) -> None:
        self.outputs_at = outputs_at
        self.cotangent = cotangent
        self.inputs = inputs
        self.evaluations = 0
        self.error: Exception | None = None
        self._keep = keep
        self._weights: Vector | None = None
        self._values: dict[float, Vector | None] = {} if base is None else {0.0: base}

    def __call__(self, t: float) -> Vector | None:
        """Return the outputs at t, or None where there are none."""
        if t not in self._values:
            self._values[t] = self._evaluate(t)
        return self._values[t]

    def forget(self, t: float) -> None:
        """Drop the outputs at t: of many points they may be more than memory holds."""
        self._values.pop(t, None)

    def known(self, width: float) -> list[float]:
        """Return the points within ``width`` of 0 at which there is a value already."""
        return [t for t, value in self._values.items() if abs(t) <= width and value is not None]

    def _evaluate(self, t: float) -> Vector | None:
        self.evaluations += 1
        try:
            value = flatten(self.outputs_at(t))
            if self._keep is not None:
                value = value[self._keep]
        except Exception as error:  # users' forward passes raise what they like outside their domain
            self.error = error
            return None
        if value.shape != self.cotangent.shape:
            self.error = ValueError("the outputs change their shape along the line")
            return None
        return value if all_finite(value) else None

    def weighted(self, difference: Vector) -> Vector:
        """Return the elementwise product with the cotangent; its sum is the inner product."""
        return self.cotangent * difference

    def inner(self, difference: Vector) -> float:
        """Return the inner product with the cotangent."""
        return _product(self.cotangent, difference)

    def size(self, difference: Vector) -> float:
        """Return the summed magnitudes of the terms of the inner product."""
        if self._weights is None:
            self._weights = abs(self.cotangent)
        return _product(self._weights, abs(difference))


def _product(one: Vector, other: Vector) -> float:
    """Return the inner product; of many terms as their sum, which NumPy takes in pairs and BLAS does not."""
    if isinstance(one, np.ndarray) and one.shape[0] <= _ALONE:
        return float(one.dot(other))
    return total(one * other)


def all_finite(vector: Vector) -> bool:
    """Whether every entry is finite; one reduction in the ordinary case, where that does not overflow."""
    reduced = squared(vector) if isinstance(vector, np.ndarray) else abs(vector).sum()
    return math.isfinite(reduced) or bool((abs(vector) < math.inf).all())


def squared(values: np.ndarray) -> float:
    """Return the sum of the squared magnitudes; without a warning, unlike others, where it overflows.

    In parts that BLAS sums in one thread: its threads and those of PyTorch wait for each other, which takes
    longer than the sums do.
    """
    flat = values.reshape(-1)
    if flat.size <= _ALONE:
        return float(np.vdot(flat, flat).real)
    parts = (flat[k : k + _ALONE] for k in range(0, flat.size, _ALONE))
    return sum(float(np.vdot(part, part).real) for part in parts)


def root_of_squares(magnitudes: Vector) -> float:
    """Return the root of the summed squares, scaled where these overflow or vanish."""
    squares = squared(magnitudes) if isinstance(magnitudes, np.ndarray) else total(magnitudes * magnitudes)
    return math.sqrt(squares) if TINY < squares < HUGE else scaled_root(magnitudes)


def scaled_root(magnitudes: Vector) -> float:
    """Return the same by way of the largest; of magnitudes that are not finite that is infinite, or none."""
    largest = float(magnitudes.max()) if magnitudes.shape[0] else 0.0
    return largest * math.sqrt(total((magnitudes / largest) ** 2)) if 0 < largest < math.inf else largest


def finite_mask(vector: Vector) -> Vector | None:
    """Return which entries are finite, None where all are."""
    return None if all_finite(vector) else abs(vector) < math.inf


def total(vector: Vector) -> float:
    """Return the sum as a Python float."""
    # the method takes a detour by way of Python
    return float(np.add.reduce(vector) if isinstance(vector, np.ndarray) else vector.sum())


def line_step(epsilon: float) -> float:
    """Return the first step of an estimate, in units of the direction; numbers are spaced by ``epsilon``."""
    return float(epsilon ** (1 / 6) / 2)
