"""What a variation of a JAX function is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from gradcheck import judge
from gradcheck.examination import Examination
from gradcheck.jax_rules import Rule
from gradcheck.numerical import directions
from gradcheck.options import Options
from gradcheck.subjects.jax import JaxSubject, is_number

Array = npt.NDArray[Any]
Gradients = Mapping[str, Array | None]


class Skip(Exception):
    """Raised by a variation that does not apply; the text says why."""


@dataclass(frozen=True)
class JaxContext:
    """A verified subject, with the cotangents and gradients that it was verified with."""

    subject: JaxSubject
    exam: Examination
    cotangents: Sequence[Array]
    gradients: Gradients
    options: Options
    rules: Sequence[Rule] | None
    deadline: float = math.inf

    @cached_property
    def compiles(self) -> bool:
        """Whether the function, compiled as a whole, has the same gradient.

        Then that is how it is run at other sizes, for each of which JAX would compile its operations one by
        one.
        """
        try:
            return not self.differing(self.transformed(jax.jit))
        except Exception:  # whatever it is, it does not compile
            return False

    def transformed(self, transform: Callable[[Callable[..., Any]], Any]) -> dict[str, Array]:
        """Return the gradients computed inside a transformation, as ``jax.grad`` of <u, outputs>."""
        subject = self.subject

        def weighed(leaves: Mapping[str, Any]) -> Any:
            floats = [o for o in jax.tree_util.tree_leaves(subject.call(leaves)) if is_number(o.dtype)]
            products = [
                jax.numpy.sum((jax.numpy.conj(jax.numpy.asarray(u)) * o).real)
                for u, o in zip(self.cotangents, floats, strict=True)
            ]
            return sum(products)

        with subject.precise():
            leaves = {name: jax.numpy.asarray(value) for name, value in subject.variables.items()}
            try:
                transform(weighed)(leaves)
            except Exception as error:  # a forward pass may look at values, or take no batch
                raise Skip(f"the forward pass takes no such call ({type(error).__name__})") from error
            found = transform(jax.grad(weighed))(leaves)
        return {n: np.conj(np.asarray(g)) if g.dtype.kind == "c" else np.asarray(g) for n, g in found.items()}

    def differing(self, found: Gradients, expected: Gradients | None = None) -> list[str]:
        """Return the leaves among ``found`` whose gradients differ by more than rounding."""
        right = self.gradients if expected is None else expected
        return [name for name in found if not self._close(name, found[name], right[name])]

    def _close(self, name: str, a: Array | None, b: Array | None) -> bool:
        if a is None or b is None:
            return a is None and b is None
        a, b = directions.to_numpy(a), directions.to_numpy(b)
        if a.shape != b.shape or bool((np.isfinite(a) != np.isfinite(b)).any()):
            return False
        if a.size == 0:
            return True
        epsilon = self.subject.epsilon
        difference = np.nan_to_num(np.abs(a - b), nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(np.nan_to_num(np.abs(b), posinf=0.0).max())
        size = float(np.min(directions.scale(self.exam.values[name])))
        floor = epsilon * self.exam.magnitude / max(size, 1e-300)
        return bool(difference.max() <= judge.rounded_again(epsilon) * largest + 1e3 * floor)
