"""The door of the harness: from what the user has to a Report."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.options import Options

if TYPE_CHECKING:
    from gradcheck.report.records import Report

_OF_CASES = {"rtol", "atol", "effort", "seed", "name"}
# Default dtype, random state and the values of parameters are the process's: one verification at a time.
_ONE_AT_A_TIME = threading.RLock()


def verify(
    function: Callable[..., Any],
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    gradient: Callable[..., Any] | None = None,
    value_and_gradient: Callable[..., Any] | None = None,
    **options: Any,
) -> Report:
    """Verify a backward pass against finite differences, parameter by parameter.

    Threads that verify wait for each other: the default dtype and random state are the whole process's.

    Args:
        function: a torch module, function or ``autograd.Function.apply``; a JAX function, ``jax.custom_vjp``
            or not; or, with ``gradient``, a NumPy loss(params) -> float.
        inputs: its arguments; tensors may be nested in lists, dicts, tuples and dataclasses. With
            ``gradient``: the one nested structure of parameters.
        kwargs: its keyword arguments.
        gradient: gradient(params) -> the same structure as params.
        value_and_gradient: value_and_gradient(params) -> (loss, gradients), instead of ``gradient``.
        options: order, rtol, atol, effort, variations, reference, allow, seed, name; see ``Options``.

    Raises:
        UsageError: where an argument or option cannot be used.
        TargetError: where the forward pass does not run.
    """
    chosen = Options.of(**options)
    with _ONE_AT_A_TIME:
        return _verify(function, inputs, kwargs, gradient, value_and_gradient, chosen)


def _verify(
    function: Callable[..., Any],
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    gradient: Callable[..., Any] | None,
    value_and_gradient: Callable[..., Any] | None,
    chosen: Options,
) -> Report:
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise UsageError(
            f"Expected keyword arguments by name but got kwargs={kwargs!r:.60}; use kwargs={{'name': value}}."
        )
    if gradient is not None or value_and_gradient is not None:
        from gradcheck.verify_handwritten import verify_handwritten

        if len(inputs) != 1 or kwargs:
            raise UsageError(
                f"Expected verify(loss, params, gradient=...) but got {len(inputs)} positional arguments "
                "after the loss: pass all parameters in one dict, list or tuple."
            )
        return verify_handwritten(function, inputs[0], gradient, value_and_gradient, chosen)
    if not callable(function):
        raise UsageError(
            f"Expected a module or function but got {type(function).__name__}: "
            "pass the callable first, then its inputs."
        )
    if _is_jax(function, inputs, kwargs):
        from gradcheck.verify_jax import verify_jax

        return verify_jax(function, inputs, dict(kwargs or {}), chosen)
    from gradcheck.verify_torch import verify_torch

    return verify_torch(function, inputs, dict(kwargs or {}), chosen)


def _is_jax(function: Any, inputs: Any, kwargs: Any) -> bool:
    """Whether the function or an argument is JAX's; where JAX is not loaded, none can be."""
    jax = sys.modules.get("jax")
    if jax is None:
        return False
    if type(function).__module__.partition(".")[0] in ("jax", "jaxlib"):
        return True
    try:
        leaves = jax.tree_util.tree_leaves((inputs, kwargs))
    except Exception:  # keys that cannot be sorted: no pytree
        return False
    return any(isinstance(leaf, jax.Array) for leaf in leaves)


def verify_case(case: Any, engine: Any, **options: Any) -> Report:
    """Verify an engine's gradients of one case by three witnesses; threads wait for each other.

    Args:
        case: a ``cases.Case``: a graph and the values of its leaves.
        engine: an object with the Engine interface.
        options: rtol, atol, effort, seed, name; see ``Options``.

    Raises:
        EngineError: where the engine raises, or returns other keys or shapes than it was asked for.
    """
    from gradcheck.verify_engine import verify_engine

    for name in set(options) & (set(Options.__dataclass_fields__) - _OF_CASES):
        raise UsageError(f"{name} is about functions, and an engine on a case has none of it; leave it out.")
    with _ONE_AT_A_TIME:
        return verify_engine(case, engine, Options.of(**options))
