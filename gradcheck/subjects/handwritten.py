"""A NumPy loss with a gradient written by hand.

The user's functions get copies of the parameters in the user's own structure, and are called in the order
that such code expects: the loss at the base point right before the gradient, which may use what the loss
left in a cache. Whatever is wrong before any number is compared (a missing key, a wrong shape, a parameter
changed in place, a result that differs from call to call) becomes a finding with its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnose import Facts
from gradcheck.errors import UsageError
from gradcheck.report.records import Diagnosis
from gradcheck.slips.record import Rerun
from gradcheck.subjects.calls import Calls
from gradcheck.subjects.early import Observed, early_findings, unsteady
from gradcheck.subjects.leaves import integer_message, is_integer, scalar, variables_of
from gradcheck.subjects.matching import Matched, match
from gradcheck.subjects.structure import flatten

Array = NDArray[Any]
Function = Callable[[Any], Any]


class HandWritten:
    """A Subject (see ``gradcheck.subjects.base``) made of ``loss(params)`` and its claimed gradient.

    Args:
        loss: loss(params) -> one real number; None where ``value_and_gradient`` gives it.
        params: arrays and numbers in any nesting of dicts, lists, tuples, named tuples and dataclasses.
        gradient: gradient(params) -> the same structure. With dL = Re(conj(g) dz) for complex parameters.
        value_and_gradient: value_and_gradient(params) -> (loss, gradient), instead of ``gradient``.
        name: what reports call the subject; by default the loss's own name.

    Raises:
        UsageError: where the functions or the parameters cannot be used as they are.
        TargetError: where one of the functions raises at the base point.
    """

    fixed_cotangent, is_linear = True, False

    def __init__(
        self,
        loss: Function | None,
        params: Any,
        gradient: Function | None = None,
        value_and_gradient: Function | None = None,
        name: str | None = None,
    ) -> None:
        function = _check_functions(loss, gradient, value_and_gradient)
        self._params = params
        leaves = flatten(params)
        self._variables, constants = variables_of(leaves)
        self._calls = Calls(loss, gradient, value_and_gradient, params, leaves, self._variables)
        self.name: str = name or str(getattr(function, "__name__", type(function).__name__))
        self._observed = _observe(self._calls, params, leaves)
        self._calls.settle()
        self._check_constants(constants)
        self._check_dependence()
        self.notes = (*self._observed.first.notes, *self._calls.notes())

    @property
    def variables(self) -> Mapping[str, Array]:
        """The parameters at the base point, by name; Python numbers as arrays without axes."""
        return self._variables

    @property
    def epsilon(self) -> float:
        """The spacing of the coarsest number format among the parameters and the loss."""
        dtypes = [array.dtype for array in self._variables.values()] + [self._observed.value.dtype]
        return max(float(np.finfo(dtype).eps) for dtype in dtypes)

    @property
    def precision(self) -> float:
        """The spacing of the coarsest number format among the parameters, which gradients should keep."""
        return max(float(np.finfo(array.dtype).eps) for array in self._variables.values())

    @property
    def dtypes(self) -> dict[str, str]:
        """The number format of each parameter, by name."""
        return {name: str(array.dtype) for name, array in self._variables.items()}

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        """Return the loss, as one array without axes, with the named parameters replaced."""
        with np.errstate(all="ignore"):
            return [scalar(self._calls.loss(values), "The loss")]

    def pull_back(self, cotangents: Sequence[Array | None] | None) -> dict[str, Array | None]:
        """Return the claimed gradients, whatever their shape; None where there is none."""
        return {name: None if g is None else g.copy() for name, g in self.claims.items()}

    @property
    def claims(self) -> Mapping[str, Array | None]:
        """The claimed gradients at the base point."""
        return {name: self._observed.first.claims.get(name) for name in self._variables}

    def structural_findings(self) -> dict[str, Diagnosis]:
        """Return what is wrong before any number is compared, by parameter; {} where nothing is."""
        return early_findings(self._observed, self._variables)

    def _rerun(self) -> Rerun:
        leaves = flatten(self._params)
        return self._calls.rerun(
            lambda given: match(self._params, given, leaves).claims, self._observed.value
        )

    def unsteady(self) -> Diagnosis | None:
        """Return that the loss is another one at each call, so that nothing can be compared; else None."""
        return unsteady(self._observed)

    def facts(self) -> Facts:
        """Return what else a diagnosis may use: what the functions close over, and the second call."""
        around = self._calls.around
        return Facts(
            numbers=around.named_numbers(),
            arrays=around.arrays,
            second_call=dict(self._observed.second.claims),
            changed=self._observed.changed,
            rerun=self._rerun(),
        )

    def in_double(self) -> HandWritten | None:
        """Return the same subject at the same point in double precision; None where it is that already."""
        narrow = any(
            array.dtype.itemsize < _double(array.dtype).itemsize for array in self._variables.values()
        )
        return HandWritten(*self._calls.widened(self._variables), name=self.name) if narrow else None

    def _check_constants(self, constants: Mapping[str, Any]) -> None:
        for name, leaf in constants.items():
            claimed = self._observed.first.claims.get(name)
            if claimed is not None and is_integer(leaf):
                raise UsageError(integer_message(name, leaf))
        for matched in (self._observed.first, self._observed.second):
            for name in constants:
                matched.claims.pop(name, None)
                matched.problems.pop(name, None)

    def _check_dependence(self) -> None:
        """Refuse a loss that never looks at its argument: every gradient would seem wrong."""
        if not any(claim is not None and claim.any() for claim in self.claims.values()):
            return
        rng = np.random.default_rng(0)
        largest = max((float(np.abs(v).max(initial=0)) for v in self._variables.values()), default=0.0)
        for size in (1e-3, 0.1, 1.0, 10 * max(largest, 1.0)):  # the last: out of where a softmax saturates
            moved = {
                name: v + (size * rng.normal(size=v.shape)).astype(v.real.dtype)
                for name, v in self._variables.items()
            }
            try:
                value = self.evaluate(moved)[0]
            except Exception:  # outside its domain: then it does look
                return
            if not np.array_equal(value, self._observed.value):
                return
        raise UsageError(
            "The loss does not change however its argument is changed: does it read the parameters from "
            "somewhere else? Use the argument inside the loss."
        )


def _double(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


def _check_functions(loss: Any, gradient: Any, value_and_gradient: Any) -> Any:
    if (gradient is None) == (value_and_gradient is None):
        raise UsageError("Expected exactly one of gradient= and value_and_gradient=: pass one of them.")
    if loss is None and value_and_gradient is None:
        raise UsageError("Expected a loss function but got None: pass loss(params) first.")
    given = {"loss": loss, "gradient": gradient, "value_and_gradient": value_and_gradient}
    for words, function in given.items():
        if function is not None and not callable(function):
            raise UsageError(
                f"Expected a function for {words} but got {type(function).__name__}: pass the function "
                "itself, not what it returns."
            )
    return loss if loss is not None else value_and_gradient


def _observe(calls: Calls, params: Any, leaves: Mapping[str, Any]) -> Observed:
    """Call loss and gradient twice each, and remember all that can be told from that."""
    value, changed = scalar(calls.loss_at_base(), "The loss"), {}
    if not np.isfinite(value):
        raise UsageError(
            f"The loss is {float(value)} at the given parameters: give parameters where it is finite."
        )
    first = _matched(calls, params, leaves, value)
    changed = calls.changed()
    again = scalar(calls.loss_at_base(), "The loss")
    culprits = calls.restored_if_that_helps(value, again)
    second = _matched(calls, params, leaves, None)
    return Observed(value, again, first, second, changed, culprits)


def _matched(calls: Calls, params: Any, leaves: Mapping[str, Any], value: Array | None) -> Matched:
    given, given_value = calls.gradient_at_base()
    if given_value is not None and value is not None:
        _check_value(given_value, value)
    if value is not None and given_value is None and _is_pair_with_loss(given, value, leaves):
        raise UsageError(
            "The gradient function returned a pair that starts with the loss: pass it as value_and_gradient=."
        )
    return match(params, given, leaves)


def _is_pair_with_loss(given: Any, value: Array, leaves: Mapping[str, Any]) -> bool:
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    loss, rest = given
    is_loss = isinstance(loss, float | np.floating) and loss == float(value)
    return is_loss and (len(leaves) != 2 or isinstance(rest, Mapping | list | tuple))


def _check_value(given: Any, value: Array) -> None:
    """Check the primal before the derivative: both functions must compute the same loss."""
    claimed = scalar(given, "value_and_gradient")
    scale = max(abs(float(claimed)), abs(float(value)))
    if abs(float(claimed) - float(value)) > 1e-4 * scale:
        raise UsageError(
            f"value_and_gradient gives the loss {float(claimed):.6g}, the loss function {float(value):.6g}: "
            "these are two different functions; give the gradient of the same loss."
        )
