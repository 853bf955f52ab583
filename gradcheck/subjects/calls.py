"""How the user's functions are called: with copies, in one random state, the loss before the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnose.accumulation import differ
from gradcheck.errors import GradcheckError, TargetError, UsageError
from gradcheck.slips.nearby import AWAY, about_right
from gradcheck.slips.record import AnotherValueError, Rerun
from gradcheck.subjects import leaves as leaf_types
from gradcheck.subjects.randomness import Randomness
from gradcheck.subjects.structure import flatten, rebuild
from gradcheck.subjects.surroundings import surroundings

Array = NDArray[Any]
Function = Callable[[Any], Any]


class Calls:
    """``around`` is what the functions close over; ``changed()`` says which parameters came back changed."""

    def __init__(
        self,
        loss: Function | None,
        gradient: Function | None,
        value_and_gradient: Function | None,
        params: Any,
        leaves: Mapping[str, Any],
        variables: Mapping[str, Array],
    ) -> None:
        self._loss, self._gradient, self._both = loss, gradient, value_and_gradient
        self._params, self._leaves, self._variables = params, leaves, variables
        functions = [function for function in (loss, gradient, value_and_gradient) if function is not None]
        self.around = surroundings(functions, leaves.values())
        self._before = {name: array.copy() for name, array in self.around.arrays.items()}
        self._randomness = Randomness(self.around.generators)
        self._changed: dict[str, str] = {}
        self._put_back: dict[str, Array] = {}

    def loss(self, values: Mapping[str, Array]) -> Any:
        """Call the loss with the named parameters replaced."""
        return self._loss_of(self._tree(values))

    def loss_at_base(self) -> Any:
        """Call the loss at the base point; what it raises is the user's own error."""
        tree = self._tree({})
        result = _own_errors("The loss", lambda: self._loss_of(tree))
        self._watch(tree, "the loss")
        return result

    def gradient_at_base(self) -> tuple[Any, Any]:
        """Call the gradient at the base point, after the loss; return it, and the loss if it came too."""
        self.loss_at_base()
        tree = self._tree({})
        who = "value_and_gradient" if self._both is not None else "the gradient function"
        result: tuple[Any, Any] = _own_errors(who[0].upper() + who[1:], lambda: self._gradient_of(tree))
        self._watch(tree, who)
        return result

    def _gradient_of(self, tree: Any) -> tuple[Any, Any]:
        """Return the gradient, and the loss if it came too."""
        if self._both is None:
            assert self._gradient is not None, "checked when the subject was made"
            return self._quietly(self._gradient, tree), None
        value, gradient = _pair(self._quietly(self._both, tree))
        return gradient, value

    def rerun(self, match: Callable[[Any], Mapping[str, Any]], value: Array) -> Rerun:
        """Return how the gradient is called again; ``match`` finds the claims in what it returns."""
        before = {name: array.copy() for name, array in self.around.arrays.items()}

        alone = False  # whether the gradient needs no loss called before it

        def called() -> Mapping[str, Any]:
            if not alone:
                self.loss_at_base()
            given, again = self._gradient_of(self._tree({}))
            if again is not None and differ(leaf_types.scalar(again, "The loss"), value):
                raise AnotherValueError
            return match(given)

        def gradients() -> Mapping[str, Any]:
            nonlocal alone
            if alone:
                return called()
            first, alone = called(), True
            alone = _alike(first, called()) and _alike(first, called())
            return first

        def restore() -> None:
            for name, array in before.items():
                if self.around.arrays[name].flags.writeable and not _equal(self.around.arrays[name], array):
                    self.around.arrays[name][...] = array

        def kept() -> bool:
            return not differ(leaf_types.scalar(self.loss_at_base(), "The loss"), value)

        def elsewhere(names: Sequence[str]) -> bool:
            try:
                return self._is_right_nearby(names, match)
            except Exception:  # outside its domain a loss raises what it likes
                return True

        if self._both is not None:
            return Rerun(gradients, None, restore=restore, elsewhere=elsewhere)
        return Rerun(gradients, self.loss_at_base, kept, restore, elsewhere)

    def _is_right_nearby(self, names: Sequence[str], match: Callable[[Any], Mapping[str, Any]]) -> bool:
        """Whether the gradients of the named parameters are about right at a point nearby."""
        random = np.random.default_rng(0)
        sizes = {n: float(np.abs(v).max(initial=0.0)) or 1.0 for n, v in self._variables.items()}
        moves = [
            {n: sizes[n] * random.normal(size=v.shape) for n, v in self._variables.items()} for _ in "12"
        ]
        near = {n: v + AWAY * moves[0][n] for n, v in self._variables.items()}
        direction = {n: moves[1][n] for n in names}

        def at(step: float) -> float:
            moved = {n: near[n] + step * d for n, d in direction.items()}
            return float(np.real(self.loss({**near, **moved})))

        claims = match(self._gradient_of(self._tree(near))[0])
        return about_right([np.real(np.conj(claims[n]) * d) for n, d in direction.items()], at)

    def settle(self) -> None:
        """Say that the base point has been called for the last time."""
        self._randomness.settle()

    def changed(self) -> dict[str, str]:
        """Return, by parameter, who changed it in place."""
        return dict(self._changed)

    def notes(self) -> tuple[str, ...]:
        """Say what was done that a user might not expect."""
        if not self._randomness.drawn:
            return ()
        return ("random numbers are drawn; each call was given the same random state",)

    def restored_if_that_helps(self, first: Array, again: Array) -> dict[str, Array]:
        """Put back surroundings that were changed in place, if that brings the first loss back.

        Returns their original contents by name; from then on they are put back before each call.
        """
        if not differ(first, again):
            return {}
        moved = {
            name: before
            for name, before in self._before.items()
            if self.around.arrays[name].flags.writeable and not _equal(self.around.arrays[name], before)
        }
        if not moved:
            return {}
        self._put_back = moved
        return moved if not differ(first, leaf_types.scalar(self.loss_at_base(), "The loss")) else {}

    def widened(self, variables: Mapping[str, Array]) -> tuple[Any, Any, Any, Any]:
        """Return (loss, params, gradient, value_and_gradient) with the parameters in double precision."""
        wide = {
            name: array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
            for name, array in variables.items()
        }
        return self._loss, rebuild(self._params, wide), self._gradient, self._both

    def _tree(self, values: Mapping[str, Array]) -> Any:
        """Return fresh parameters in the user's structure: nothing the user's code does to them lasts."""
        merged = {**self._variables, **values}
        fresh = {name: leaf_types.restore(self._leaves[name], value) for name, value in merged.items()}
        return rebuild(self._params, fresh)

    def _loss_of(self, tree: Any) -> Any:
        if self._loss is not None:
            return self._quietly(self._loss, tree)
        assert self._both is not None, "checked when the subject was made"
        return _pair(self._quietly(self._both, tree))[0]

    def _quietly(self, function: Function, tree: Any) -> Any:
        for name, before in self._put_back.items():
            self.around.arrays[name][...] = before
        with self._randomness.repeated(), np.errstate(all="ignore"):
            return function(tree)

    def _watch(self, tree: Any, who: str) -> None:
        after = flatten(tree)
        for name, before in self._variables.items():
            if name not in after or leaf_types.changed(before, after[name]):
                self._changed.setdefault(name, who)


def _equal(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two calls claimed the same gradients."""
    if one.keys() != other.keys():
        return False
    pairs = [(one[name], other[name]) for name in one]
    return all(a is b or (a is not None and b is not None and not differ(a, b)) for a, b in pairs)


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise UsageError(
            f"value_and_gradient returned {type(result).__name__}, but it is to return a pair: (loss, "
            "gradient)."
        )
    return result[0], result[1]


def _own_errors(who: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except GradcheckError:
        raise
    except Exception as error:
        text = str(error).rstrip(".")
        raise TargetError(
            f"{who} raised {type(error).__name__} at the given parameters: {text}; run it once yourself "
            "and mend that first."
        ) from error
