"""Other points: special values, and other sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from gradcheck.jax_rules import blame, describe, examine, rules, tied_fault
from gradcheck.pipeline import NOT_REPEATED, Outcome
from gradcheck.subjects.jax import BackwardError, JaxSubject, is_number, spacing
from gradcheck.variations import digits, domain, onset
from gradcheck.variations.jax.context import Array, JaxContext, Skip

_LARGEST = 20_000  # entries that inputs may grow to
_LARGE = 100.0


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
        raise Skip("no input can be changed so and stay what it is")
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
            raise Skip("no input has a place for them")
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
            except Skip as reason:
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
        raise Skip(refused or "the forward pass takes no other size")
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
    except Skip:
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
        raise Skip("the forward pass has no value there") from error
    if not outputs or not all(np.isfinite(output).all() for output in outputs):
        raise Skip("the forward pass has no value there")
    try:
        outcome = examine(subject, context.options)
    except BackwardError as error:
        raised = f"with {label}, backward raises {str(error)[:160]}"
        if may_raise:
            raise Skip(f"{raised}: is it meant to work there?") from error
        return raised
    wrong = outcome.failing or outcome.tied
    if not wrong:
        return ""
    if any(outcome.findings[n].message == NOT_REPEATED for n in wrong) or not outcome.exam.repeats():
        raise Skip(f"with {label}: the forward pass gives another value each time there")
    if digits.lost(context.subject, subject, outputs, context.subject.outputs):
        raise Skip(f"with {label}: rounding of the inputs alone changes the value there")
    if way is not None and _is_gradual(outcome, way, context.options.seed):
        raise Skip(f"with {label}: claimed and numerical derivatives part little by little on the way there")
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
