"""The same JAX function in other circumstances: cotangents, parts of the leaves, transformations, points.

JAX's arrays have no strides and never change, so what PyTorch's need beside these does not arise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from gradcheck.examination import Examination
from gradcheck.jax_rules import Rule, blame, describe, examine, rules, tied_fault
from gradcheck.numerical import directions
from gradcheck.options import Options
from gradcheck.pipeline import NOT_REPEATED, Outcome
from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.jax import BackwardError, JaxSubject, is_number, spacing
from gradcheck.variations import digits, domain, onset

Array = npt.NDArray[Any]
Gradients = Mapping[str, Array | None]

_SECONDS = 10.0  # for all of them
_SUBSETS = 6
_OUTPUTS = 6
_LARGEST = 20_000  # entries that inputs may grow to
_LARGE = 100.0
_COPIES = 3  # the length of the axis that vmap maps over
_FACTORS, _NARROW_FACTORS, _NARROW = (1000.0, 0.001), (8.0, 0.125), 1e-4
_FOREIGN = {
    **dict.fromkeys(
        ("nothing changed in place", "cotangent layouts", "non-contiguous inputs", "same tensor twice"),
        "JAX's arrays never change and have no layout",
    ),
    "forward mode": "JAX makes a backward pass of the rule for it, or has none",
}


class _Skip(Exception):
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
            return not under_jit(self)
        except Exception:  # whatever it is, it does not compile
            return False

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
        return bool(difference.max() <= max(2e3 * epsilon, 0.3 * epsilon**0.5) * largest + 1e3 * floor)


def repeated_backward(context: JaxContext) -> str:
    """Pull back twice through one linearisation, and once through a fresh one."""
    with context.subject.precise():
        _, pull = context.subject.linearised()
        first, second = pull(context.cotangents), pull(context.cotangents)
    if context.differing(second, first):
        return "a second backward pass over the same residuals gives another gradient"
    if context.differing(first):
        return "the gradient differs from one run to the next, with nothing changed in between"
    return ""


def linearity(context: JaxContext) -> str:
    """Check backward(u + w) = backward(u) + backward(w), backward(c u) = c backward(u), backward(0) = 0."""
    us, pull = context.cotangents, context.subject.pull_back
    ws = [w * np.asarray(0.5, w.dtype) for w in context.exam.cotangents()]
    both, other = pull([u + w for u, w in zip(us, ws, strict=True)]), pull(ws)
    if context.differing(both, _sum(context.gradients, other)):
        return "backward is not linear: backward(u + w) differs from backward(u) + backward(w)"
    for factor in _FACTORS if context.subject.epsilon < _NARROW else _NARROW_FACTORS:
        scaled = pull([u * np.asarray(factor, u.dtype) for u in us])
        back = {name: None if g is None else directions.to_numpy(g) / factor for name, g in scaled.items()}
        if context.differing(back):
            return (
                f"backward is not linear: {factor:g} times the cotangent does not give {factor:g} times the "
                "gradient"
            )
    zero = pull([np.zeros_like(u) for u in us])
    nothing = {n: None if g is None else np.where(np.isfinite(g), 0, g) for n, g in context.gradients.items()}
    if context.differing(zero, nothing):
        return "backward is not linear: a cotangent of zeros gives a gradient that is not zero"
    return ""


def each_output_alone(context: JaxContext) -> str:
    """Differentiate each output alone, the others' cotangents zero; the gradients add up to that of all."""
    us = context.cotangents
    if not 2 <= len(us) <= _OUTPUTS:
        raise _Skip("there is one output" if len(us) < 2 else f"there are {len(us)} outputs")
    total: Gradients | None = None
    for i in range(len(us)):
        found = context.subject.pull_back([u if i == j else None for j, u in enumerate(us)])
        total = found if total is None else _sum(total, found)
    if total is not None and context.differing(total):
        return "the gradients of the outputs used one by one do not add up to that of all"
    return ""


def subsets(context: JaxContext) -> str:
    """Differentiate with respect to each leaf alone: its gradient must not change."""
    names = context.subject.names
    if len(names) < 2:
        raise _Skip("there is one leaf")
    for name in names[:_SUBSETS]:
        found = context.subject.pull_back(context.cotangents, names=[name])
        if context.differing(found):
            return f"when differentiated for {name} alone, its gradient is another one"
    return ""


def under_jit(context: JaxContext) -> str:
    """Compile forward and backward pass together."""
    found = _transformed(context, jax.jit)
    return "under jax.jit the gradient is another one" if context.differing(found) else ""


def under_vmap(context: JaxContext) -> str:
    """Map over copies along a new axis: each must get the same gradient."""

    def copied(run: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(*arguments: Any) -> Any:
            copies = jax.tree_util.tree_map(lambda a: jax.numpy.stack([a] * _COPIES), arguments)
            return jax.tree_util.tree_map(lambda a: a[-1], jax.vmap(run)(*copies))

        return _compiled(mapped)

    found = _transformed(context, copied)
    return "under jax.vmap the gradient is another one" if context.differing(found) else ""


def _compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as a whole where it can be, rather than each of its operations."""

    def call(*arguments: Any) -> Any:
        try:
            return jax.jit(run)(*arguments)
        except Exception:  # told by the plain call, if it raises, too
            return run(*arguments)

    return call


def _transformed(context: JaxContext, transform: Callable[[Callable[..., Any]], Any]) -> dict[str, Array]:
    """Return the gradients computed inside a transformation, as ``jax.grad`` of <u, outputs>."""
    subject = context.subject

    def weighed(leaves: Mapping[str, Any]) -> Any:
        floats = [o for o in jax.tree_util.tree_leaves(subject.call(leaves)) if is_number(o.dtype)]
        products = [
            jax.numpy.sum((jax.numpy.conj(jax.numpy.asarray(u)) * o).real)
            for u, o in zip(context.cotangents, floats, strict=True)
        ]
        return sum(products)

    with subject.precise():
        leaves = {name: jax.numpy.asarray(value) for name, value in subject.variables.items()}
        try:
            transform(weighed)(leaves)
        except Exception as error:  # a forward pass may look at values, or take no batch
            raise _Skip(f"the forward pass takes no such call ({type(error).__name__})") from error
        found = transform(jax.grad(weighed))(leaves)
    return {n: np.conj(np.asarray(g)) if g.dtype.kind == "c" else np.asarray(g) for n, g in found.items()}


def _sum(a: Gradients, b: Gradients) -> dict[str, Array | None]:
    def both(g: Array | None, h: Array | None) -> Array | None:
        return h if g is None else g if h is None else directions.to_numpy(g) + directions.to_numpy(h)

    return {name: both(a[name], b[name]) for name in a}


# Other points


def _some_zeros(a: Array, number: int) -> Array:
    a = a.copy()
    a.reshape(-1)[number % 3 :: 3] = 0
    return a


def _ties(a: Array, _: int) -> Array:
    if a.dtype.kind == "c" or a.size < 2:
        return a
    step = float(np.abs(a.astype(np.float64)).mean()) or 1.0
    return (np.rint(a.astype(np.float64) / step) * step).astype(a.dtype)


def _one_index(a: Array, _: int) -> Array:
    return domain.repeated(a) if a.dtype.kind in "iu" and a.size > 1 else a


def _times(factor: float) -> Callable[[Array, int], Array]:
    return lambda a, _: (a.astype(_float(a)) * factor).astype(a.dtype)


def _floats(change: Callable[[Array, int], Array]) -> Callable[[Array, int], Array]:
    return lambda a, number: change(a, number) if is_number(a.dtype) else a


SPECIAL: Mapping[str, Callable[[Array, int], Array]] = {
    "zeros": _floats(lambda a, _: np.zeros_like(a)),
    "some zeros": _floats(_some_zeros),
    "ties": _floats(_ties),
    "signs flipped": _floats(lambda a, _: -a),
    "large magnitudes": _floats(_times(_LARGE)),
    "repeated indices": _one_index,
}


def _kept(given: Array, changed: Array) -> Array:
    """Return the changed values with what the given ones have in common by design. See ``domain``."""
    if given.dtype.kind in "iu":
        return domain.keep_integers(given, changed)
    if not is_number(given.dtype) or given.dtype.kind == "c":
        return changed
    epsilon, wide = spacing(given.dtype), given.astype(np.float64)
    values = domain.keep(wide, changed.astype(np.float64), domain.held(wide, epsilon), epsilon)
    if values is None:
        raise _Skip("no input can be changed so and stay what it is")
    return values.astype(given.dtype)


def _float(a: Array) -> type:
    return complex if a.dtype.kind == "c" else float


def special(label: str) -> Callable[[JaxContext], str]:
    """Return the variation that puts one kind of special value into the inputs."""

    def variation(context: JaxContext) -> str:
        before = context.subject.arrays
        after = {n: _kept(a, SPECIAL[label](a, i)) for i, (n, a) in enumerate(before.items())}
        places = [n for n in before if not np.array_equal(before[n], after[n])]
        if not places:
            raise _Skip("no input has a place for them")
        way = partial(_on_the_way, context) if label == "large magnitudes" else None
        return _at(context, f"{label} in {', '.join(places)}", after, way=way)

    return variation


def other_sizes(context: JaxContext) -> str:
    """Grow and shrink axes of equal length together: 0, 1, one more, more than a block."""
    arrays = context.subject.arrays
    lengths = list(dict.fromkeys(n for a in arrays.values() for n in reversed(a.shape) if n > 0))[:3]
    tried: list[int] = []
    refused = ""
    for length in lengths:
        for new in (1, length + 1, 33, 0):
            if new == length or (tried and time.perf_counter() > context.deadline):
                continue
            try:
                after = {name: _kept(a, _resized(a, length, new)) for name, a in arrays.items()}
                if sum(a.size for a in after.values()) > _LARGEST:
                    continue
                message = _at(context, f"axes of {length} made {new}", after, may_raise=True)
            except _Skip as reason:
                refused = refused or str(reason)
                continue
            if message and new == 1 and not _is_an_axis(context, length):
                refused = f"axes of {length} made 1 only fit as they are broadcast"
                continue
            if message and new > length and _is_right_for_smaller(context, length, new):
                refused = f"axes of {length} made {new}: right for smaller values, as of what must not grow"
                continue
            if message:
                return message
            tried.append(new)
    if not tried:
        raise _Skip(refused or "the forward pass takes no other size")
    return ""


def _is_an_axis(context: JaxContext, length: int) -> bool:
    """Whether the forward pass takes axes of this length longer, too.

    Where it does not, something that is not resized has it as well, and one entry is broadcast beside it.
    """
    for new in (length + 1, length + 2, 2 * length):
        arrays = {name: _resized(a, length, new) for name, a in context.subject.arrays.items()}
        try:
            return bool(context.subject.at(arrays).outputs)
        except Exception:  # a size that it does not take
            continue
    return False


def _is_right_for_smaller(context: JaxContext, length: int, new: int) -> bool:
    """Whether the gradient at a larger size is right where values are so small that sums stay what they were.

    Then it is not the size: a map that contracts, and is iterated until it settles, no longer does.
    """
    smaller = _floats(_times(length / new))
    try:
        resized = {n: _resized(a, length, new) for n, a in context.subject.arrays.items()}
        arrays = {n: _kept(a, smaller(resized[n], 0)) for n, a in context.subject.arrays.items()}
        return not _at(context, f"axes of {length} made {new}", arrays)
    except _Skip:
        return False


def _resized(a: Array, length: int, new: int) -> Array:
    """Return an array with the axes of a length made another, and what may be an index into them kept within.

    Beyond the end JAX reads the last entry and writes none, so that no gradient is right there.
    """
    random = np.random.default_rng(new)
    if new and a.size and a.dtype.kind in "iu" and new <= a.max() < length:
        a = np.minimum(a, new - 1)
    for axis in range(a.ndim):
        if a.shape[axis] == length:
            permuted = (
                axis == a.ndim - 1 and new > length and a.dtype.kind in "iu" and domain.is_permutation(a)
            )
            a = (
                domain.grown_permutation(a, new)
                if permuted
                else np.take(a, np.arange(new) % length, axis=axis)
            )
    if new > length and is_number(a.dtype):
        a = (a.astype(_float(a)) * random.uniform(0.9, 1.1, a.shape)).astype(a.dtype)
    return a


def _on_the_way(context: JaxContext, share: float) -> JaxSubject | None:
    """Return the subject at inputs on the way from those given to large ones."""
    before, factor = context.subject.arrays, _LARGE**share
    try:
        subject = _moved(context, {n: _kept(a, _floats(_times(factor))(a, 0)) for n, a in before.items()})
        return subject if subject.outputs else None
    except Exception:  # outside its domain a forward pass raises what it likes
        return None


def _at(
    context: JaxContext,
    label: str,
    arrays: Mapping[str, Array],
    may_raise: bool = False,
    way: Callable[[float], JaxSubject | None] | None = None,
) -> str:
    """Verify at another point. What JAX's own operations do together at a kink is no fault of the user's.

    One at which backward raises is none that it is meant for, where it ``may_raise``. ``way``: the subject on
    the way there.
    """
    if context.rules is not None and not context.rules:
        return ""  # JAX's own operations are taken for right
    try:
        subject = _moved(context, arrays)
        outputs = subject.outputs
    except Exception as error:  # outside its domain a forward pass raises what it likes
        raise _Skip("the forward pass has no value there") from error
    if not outputs or not all(np.isfinite(output).all() for output in outputs):
        raise _Skip("the forward pass has no value there")
    try:
        outcome = examine(subject, context.options)
    except BackwardError as error:
        raised = f"with {label}, backward raises {str(error)[:160]}"
        if may_raise:
            raise _Skip(f"{raised}: is it meant to work there?") from error
        return raised
    wrong = outcome.failing or outcome.tied
    if not wrong:
        return ""
    if any(outcome.findings[n].message == NOT_REPEATED for n in wrong) or not outcome.exam.repeats():
        raise _Skip(f"with {label}: the forward pass gives another value each time there")
    if digits.lost(context.subject, subject, outputs, context.subject.outputs):
        raise _Skip(f"with {label}: rounding of the inputs alone changes the value there")
    if way is not None and _is_gradual(outcome, way, context.options.seed):
        raise _Skip(f"with {label}: claimed and numerical derivatives part little by little on the way there")
    place = ""
    if context.rules is not None:
        blames = blame(rules(subject), context.options)
        if not blames:
            return ""
        place = f"; enters at {blames[0].location}, {blames[0].operation}"
    elif not outcome.failing and not tied_fault(subject, context.options):
        return ""
    return f"with {label}, the gradient of {wrong[0]} is wrong: {describe(outcome, wrong[0])}{place}"


def _is_gradual(outcome: Outcome, way: Callable[[float], JaxSubject | None], seed: int) -> bool:
    wrong = [outcome.findings[name] for name in outcome.failing]
    numbers = bool(wrong) and not any(finding.message for finding in wrong)
    return numbers and all(onset.is_gradual(way, finding, outcome.pulls[0], seed) for finding in wrong)


def _moved(context: JaxContext, arrays: Mapping[str, Array]) -> JaxSubject:
    """Return the subject at another point, compiled where it can be."""
    if context.compiles:
        subject = context.subject.at(arrays, compiled=True)
        try:
            if subject.outputs:
                return subject
        except Exception:  # not every result can leave a compiled function
            pass
    return context.subject.at(arrays)


VARIATIONS: Mapping[str, Callable[[JaxContext], str]] = {
    "repeated backward": repeated_backward,
    "linearity": linearity,
    "each output alone": each_output_alone,
    "requires_grad subsets": subsets,
    "under jit": under_jit,
    "under vmap": under_vmap,
    **{label: special(label) for label in SPECIAL},
    "other sizes": other_sizes,
}


def run(context: JaxContext) -> tuple[VariationResult, ...]:
    """Run the variations asked for, within the time for them."""
    chosen = context.options.variations
    asked = isinstance(chosen, frozenset)
    names = [n for n in (*_FOREIGN, *VARIATIONS) if n in chosen] if asked else list(VARIATIONS)  # type: ignore[operator]  # a set where asked
    end = time.perf_counter() + (float("inf") if asked else _SECONDS)
    context = replace(context, deadline=end)
    return tuple(_one(name, context) for name in names)


def _one(name: str, context: JaxContext) -> VariationResult:
    if name in _FOREIGN:
        return VariationResult(name, None, f"skipped: {_FOREIGN[name]}")
    if time.perf_counter() > context.deadline:
        return VariationResult(name, None, f"skipped: over budget; ask for it with variations={{{name!r}}}")
    try:
        message = VARIATIONS[name](context)
    except _Skip as reason:
        return VariationResult(name, None, f"skipped: {reason}")
    except BackwardError as error:
        message = f"the backward pass raises {str(error)[:200]}"
    except Exception as error:  # a circumstance may be refused, for any reason
        if name in ("under jit", "under vmap"):
            message = f"{name} the gradient raises {type(error).__name__}: {str(error)[:160]}"
        else:
            return VariationResult(name, None, f"skipped: {type(error).__name__}: {str(error)[:120]}")
    return VariationResult(name, Verdict.FAIL if message else Verdict.PASS, message)
