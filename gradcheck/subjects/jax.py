"""A JAX function at given arguments, as a Subject: its claim is ``jax.vjp``, custom rules and all.

JAX functions are pure and its arrays never change, so there is no state to guard. Outside of this module
arrays are NumPy's: the pipeline's arithmetic is cheapest there, and a seed means the same everywhere.

Numbers narrower than double precision are examined in double precision, under ``jax.enable_x64``, where the
function computes in it; otherwise in their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from gradcheck.errors import TargetError, UsageError, first_line

Array = npt.NDArray[Any]

# Up to this difference of the outputs, relative to the largest, two number formats compute the same function.
_ALIKE = 0.1
# A forward pass that takes so many seconds is worth compiling.
_SLOW = 0.02


class BackwardError(Exception):
    """The backward pass raised; the text is its own first line."""


class JaxSubject:
    """The forward pass ``function(*args, **kwargs)`` and its gradients by ``jax.vjp``.

    Every floating-point or complex array among the arguments is verified. Integer arrays, keys and all other
    arguments stay as they are. Gradients of complex leaves are conjugated, so that dL = Re(conj(g) dz).

    Args:
        function: any callable; ``jax.custom_vjp`` objects and jitted functions among them.
        args: its arguments, pytrees.
        kwargs: its keyword arguments, pytrees.
        name: what reports call it.
        double: whether to compute in double precision.
        values: arrays to put in place of leaves, by name.
        compiled: whether to compile the function as a whole, and not each of its operations.

    Raises:
        UsageError: where no argument is a floating-point array.
    """

    fixed_cotangent = is_linear = False

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        double: bool = False,
        values: Mapping[str, Array] | None = None,
        compiled: bool = False,
    ) -> None:
        self.function, self.args, self.kwargs = function, tuple(args), dict(kwargs or {})
        self.name = name or name_of(function)
        self.double = double
        self.notes: list[str] = []
        found, self._tree = jax.tree_util.tree_flatten_with_path((self.args, self.kwargs))
        self._leaves = {_path(keys): leaf for keys, leaf in found}
        fixed = _nondifferentiable(function)
        self.arrays: dict[str, Array] = {
            path: _numpy(leaf)
            for path, leaf in self._leaves.items()
            if _is_array(leaf) and not path.startswith(fixed)
        }
        self.arrays.update(values or {})
        self.original_dtypes = {p: a.dtype for p, a in self.arrays.items() if is_number(a.dtype)}
        if not self.original_dtypes:
            raise UsageError(
                f"{self.name} has no floating-point array among its arguments: pass one, for example "
                "jnp.ones(3)."
            )
        self.variables: Mapping[str, Array] = {
            path: self.arrays[path].astype(_wide(dtype) if double else dtype)
            for path, dtype in self.original_dtypes.items()
        }
        self._run = jax.jit(self._fill) if compiled else self._fill
        self._forward = self._run
        self.output_paths: list[str] = []
        self._outputs: list[Array] | None = None

    @property
    def names(self) -> list[str]:
        """The leaves under verification."""
        return list(self.variables)

    @property
    def outputs(self) -> list[Array]:
        """The differentiable outputs at the base point."""
        if self._outputs is None:
            self._outputs = self.evaluate({})
        return self._outputs

    @property
    def epsilon(self) -> float:
        """The coarsest spacing among leaves and outputs."""
        arrays = [*self.variables.values(), *self.outputs]
        return max(spacing(array.dtype) for array in arrays)

    @property
    def precision(self) -> float:
        """Claimed gradients are computed in the numbers of the forward pass."""
        return self.epsilon

    @property
    def is_narrow(self) -> bool:
        """Whether some leaf is narrower than double precision."""
        return any(_wide(dtype) != dtype for dtype in self.original_dtypes.values())

    def precise(self) -> AbstractContextManager[Any]:
        """Return the context in which JAX computes in the subject's number format."""
        wide = any(array.dtype.itemsize >= np.dtype(np.float64).itemsize for array in self.variables.values())
        return _x64() if self.double or wide else nullcontext()

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        """Return the differentiable outputs with the named leaves replaced."""
        with self.precise():
            found = self._differentiable(self._forward(self._put(values)))
        self.output_paths = list(found)
        return [_numpy(output) for output in found.values()]

    def quickened(self) -> JaxSubject:
        """Compile the forward pass where it takes long and gives the same; gradients stay the user's.

        A loop of JAX's own is traced and compiled again at every call outside of ``jit``.
        """
        own = self.outputs
        start = time.perf_counter()
        self.evaluate({})
        if time.perf_counter() - start < _SLOW:
            return self
        self._forward = jax.jit(self._fill)
        try:
            same = _alike_to_rounding(self.evaluate({}), own)
        except Exception:  # code that looks at values does not compile
            same = False
        if same:
            self._outputs = None
        else:
            self._forward = self._run
        return self

    def pull_back(
        self, cotangents: Sequence[Array | None] | None, names: Sequence[str] | None = None
    ) -> dict[str, Array | None]:
        """Return the claimed gradients of <cotangents, outputs> for the named leaves, all by default."""
        with self.precise():
            _, pull = self.linearised(names)
            return pull(cotangents)

    def linearised(
        self, names: Sequence[str] | None = None
    ) -> tuple[list[Array], Callable[[Sequence[Array | None] | None], dict[str, Array | None]]]:
        """Return the outputs as computed under differentiation, and what pulls cotangents back.

        To be called, like what it returns, within ``precise()``.

        Raises:
            BackwardError: where the forward pass under differentiation, or the backward pass, raises.
        """
        moving = self._put({}) if names is None else {name: self._put({})[name] for name in names}
        result, backward = _guarded(lambda: jax.vjp(self.call, moving))
        outputs = self._differentiable(result)

        def pull(cotangents: Sequence[Array | None] | None) -> dict[str, Array | None]:
            given = [None] * len(outputs) if cotangents is None else list(cotangents)
            ones = cotangents is None
            by_path = {
                path: _cotangent(u, output, ones)
                for (path, output), u in zip(outputs.items(), given, strict=True)
            }
            columns = jax.tree_util.tree_map_with_path(
                lambda keys, output: by_path.get(_path(keys, root=False), _nothing(output)), result
            )
            (gradients,) = _guarded(lambda: backward(columns))
            return {name: _conjugate(_numpy(gradient)) for name, gradient in gradients.items()}

        return [_numpy(output) for output in outputs.values()], pull

    def call(self, leaves: Mapping[str, Any]) -> Any:
        """Run the function with the named leaves, JAX arrays or tracers, in the place of its own."""
        return self._run(leaves)

    def _fill(self, leaves: Mapping[str, Any]) -> Any:
        filled = [leaves.get(path, self._constant(path, leaf)) for path, leaf in self._leaves.items()]
        args, kwargs = jax.tree_util.tree_unflatten(self._tree, filled)
        return self.function(*args, **kwargs)

    def at(self, values: Mapping[str, Array], compiled: bool = False) -> JaxSubject:
        """Return the same function at another point; what is not named stays."""
        return JaxSubject(
            self.function,
            self.args,
            self.kwargs,
            name=self.name,
            double=self.double,
            values={**self.arrays, **values},
            compiled=compiled,
        )

    def _constant(self, path: str, leaf: Any) -> Any:
        """Return a leaf that is not replaced: as it was given, or in the subject's number format."""
        if path in self.variables:
            return jnp.asarray(self.variables[path])
        return jnp.asarray(self.arrays[path]) if path in self.arrays else leaf

    def _put(self, values: Mapping[str, Array]) -> dict[str, Any]:
        return {
            name: jnp.asarray(np.asarray(values.get(name, base)).astype(base.dtype))
            for name, base in self.variables.items()
        }

    def _differentiable(self, result: Any) -> dict[str, Any]:
        found, _ = jax.tree_util.tree_flatten_with_path(result)
        outputs = {_path(keys, root=False): leaf for keys, leaf in found}
        return {path: jnp.asarray(leaf) for path, leaf in outputs.items() if is_number(_dtype(leaf))}


def make(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
) -> JaxSubject:
    """Return the subject in double precision where it computes so, else in its own.

    Raises:
        TargetError: where the forward pass does not run even as it was given.
    """
    own = JaxSubject(function, args, kwargs, name=name)
    try:
        outputs = own.outputs
    except Exception as error:  # users' forward passes raise what they like
        raise TargetError(
            f"The forward pass of {own.name} raises {type(error).__name__}: {first_line(error)}; "
            "run it once yourself and mend that first."
        ) from error
    if not outputs:
        raise UsageError(f"{own.name} returns no floating-point array: return what is to be differentiated.")
    if not own.is_narrow:
        return own.quickened()
    wide = JaxSubject(function, args, kwargs, name=name, double=True)
    try:
        if _alike(wide.outputs, outputs):
            return wide.quickened()
    except Exception:  # whatever it is, it does not run in double precision
        wide.notes.clear()
    own.notes.append("does not compute in float64: verified in its own precision")
    return own.quickened()


def is_number(dtype: Any) -> bool:
    """Whether a derivative with respect to numbers of this kind makes sense."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def spacing(dtype: Any) -> float:
    """Return the spacing of a format's numbers, relative to 1."""
    return float(jnp.finfo(dtype).eps)


def name_of(function: Any) -> str:
    """Return what a function is called, through ``jax.jit`` and partial application."""
    inner = getattr(function, "func", None) or getattr(function, "__wrapped__", None)
    name = getattr(function, "__name__", None)
    if name is None and inner is not None:
        return name_of(inner)
    return str(name or type(function).__name__)


def _nondifferentiable(function: Any) -> tuple[str, ...]:
    """Return the paths of arguments that a custom rule takes as constants."""
    places = getattr(function, "nondiff_argnums", ())
    return tuple(f"inputs[{i}]" for i in places) if isinstance(places, tuple) else ()


def _alike(wide: Sequence[Array], own: Sequence[Array]) -> bool:
    """Whether double precision gives double-precision numbers, and of the same function."""
    if [a.shape for a in wide] != [b.shape for b in own] or any(a.dtype != _wide(a.dtype) for a in wide):
        return False
    for a, b in zip(wide, own, strict=True):
        b = b.astype(a.dtype)
        both = np.isfinite(a) & np.isfinite(b)
        if np.abs(a - b)[both].max(initial=0) > _ALIKE * max(np.abs(b)[both].max(initial=0), 1e-30):
            return False
    return True


def _alike_to_rounding(found: Sequence[Array], own: Sequence[Array]) -> bool:
    if [(a.shape, a.dtype) for a in found] != [(b.shape, b.dtype) for b in own]:
        return False
    return all(_near(a, b, 1e3 * spacing(a.dtype)) for a, b in zip(found, own, strict=True))


def _near(a: Array, b: Array, share: float) -> bool:
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=share, atol=share * largest, equal_nan=True))


def _x64() -> AbstractContextManager[Any]:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)  # type: ignore[no-any-return]  # untyped in jax
    from jax.experimental import enable_x64  # where it was up to 0.7

    return enable_x64()  # type: ignore[no-any-return]  # untyped in jax


def _guarded(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:
        raise BackwardError(f"{type(error).__name__}: {first_line(error)}") from error


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, jax.Array):
        return not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)  # keys are no numbers
    return isinstance(leaf, np.ndarray)


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)


def _numpy(array: Any) -> Array:
    return np.asarray(array)


def _conjugate(array: Array) -> Array:
    return np.conj(array) if array.dtype.kind == "c" else array


def _wide(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.complex128 if jnp.issubdtype(dtype, jnp.complexfloating) else np.float64)


def _cotangent(u: Array | None, output: Any, ones: bool) -> Any:
    """Return a cotangent in the form that JAX takes: conjugated, zeros for None."""
    if u is None:
        return jnp.ones_like(output) if ones else jnp.zeros_like(output)
    return jnp.asarray(_conjugate(np.asarray(u)).astype(output.dtype))


def _nothing(output: Any) -> Any:
    return np.zeros(np.shape(output), jax.dtypes.float0)


def _path(keys: Sequence[Any], root: bool = True) -> str:
    """Return a path as a reader would write it; the first key tells arguments from keyword arguments."""
    steps = list(keys)
    start = ""
    if root:
        start = ("inputs", "kwargs")[steps.pop(0).idx]
    return start + "".join(map(_step, steps))


def _step(key: Any) -> str:
    if hasattr(key, "name"):
        return f".{key.name}"
    inner = key.idx if hasattr(key, "idx") else key.key
    return f'["{inner}"]' if isinstance(inner, str) else f"[{inner!r}]"
