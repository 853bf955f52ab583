"""All variations, in the order of what they cost against what they catch, within a budget."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace

from gradcheck.errors import first_line
from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import (
    apart,
    cotangents,
    indices,
    inputs,
    repetition,
    settings,
    special_values,
    transforms,
)
from gradcheck.variations.base import Context, Skip, Variation, failed

VARIATIONS: dict[str, Variation] = {
    "nothing changed in place": repetition.unchanged,
    "repeated backward": repetition.repeated_backward,
    "linearity": cotangents.linearity,
    "each output alone": cotangents.each_output_alone,
    "cotangent layouts": cotangents.cotangent_layouts,
    "requires_grad subsets": inputs.requires_grad_subsets,
    "non-contiguous inputs": inputs.layouts,
    "same tensor twice": inputs.same_tensor_twice,
    **{label: special_values.special(label) for label in special_values.SPECIAL},
    indices.NAME: indices.zero_and_last,
    "other settings": settings.other_settings,
    apart.NAME: apart.other_sizes,
    transforms.FORWARD: transforms.forward_mode,
    transforms.MAPPED: transforms.under_vmap,
}

# Variations may take these seconds, for a large model fewer (a tenth over the seconds of one forward and
# backward pass, of PyTorch's own operations a hundredth), but always as long as so many passes.
_SECONDS, _OVER, _OVER_OWN, _BUDGET = 5.0, 0.1, 0.01, 3.5
# What would not fit is not begun. A variation takes about this many passes, some take more, and one at
# another point takes a whole verification.
_TYPICAL, _ELSEWHERE = 1.5, 9.0
_PASSES = {
    "repeated backward": 2.0,
    "linearity": 6.0,
    "cotangent layouts": 3.5,
    "each output alone": 4.0,
    "requires_grad subsets": 6.0,
}

_PYTORCHS_OWN = "skipped: only PyTorch's own operations, and autograd sees all of them"
_AT_OTHER_POINTS = frozenset(special_values.SPECIAL) | {"other settings", "other sizes"}
# Asked of PyTorch's own operations by name only: they are linear, and notice when what they saved is changed.
_BY_NAME = frozenset({"repeated backward", "linearity"})


def run(context: Context, seconds_per_pull: float) -> tuple[VariationResult, ...]:
    """Run the variations asked for; those that do not fit the budget are skipped, and say so."""
    wanted, asked = _wanted(context.options.variations), isinstance(context.options.variations, frozenset)
    start = time.perf_counter()
    own = not asked and _right_everywhere(context)
    needless = _AT_OTHER_POINTS | _BY_NAME if own else _AT_OTHER_POINTS
    least = _BUDGET * seconds_per_pull
    most = min(_SECONDS, (_OVER_OWN if own else _OVER) / seconds_per_pull)
    budget = float("inf") if asked else max(most, least)
    context = replace(context, deadline=start + budget)
    results = []
    for name in wanted:
        passes = _ELSEWHERE if name in _AT_OTHER_POINTS else _PASSES.get(name, _TYPICAL)
        if name in needless and _right_everywhere(context):
            results.append(VariationResult(name, None, _PYTORCHS_OWN))
        elif time.perf_counter() - start + passes * seconds_per_pull > budget:
            results.append(
                VariationResult(name, None, f"skipped: over budget; ask for it with variations={{{name!r}}}")
            )
        else:
            results.append(_one(name, VARIATIONS[name], context))
    if isinstance(context.options.variations, frozenset):
        others = sorted(context.options.variations - set(wanted))
        results += [VariationResult(name, None, "skipped: it is one of JAX functions") for name in others]
    return tuple(results)


def _right_everywhere(context: Context) -> bool:
    """Whether the chain rule alone makes the gradient right at any other point.

    So it does where only PyTorch's own operations run, and autograd sees every value that passes. Their
    choices at kinks are no fault of the user.
    """
    return not context.own_code.backwards and not context.own_code.opaque


def _wanted(chosen: bool | frozenset[str]) -> list[str]:
    if isinstance(chosen, bool):
        return list(VARIATIONS) if chosen else []
    return [name for name in VARIATIONS if name in chosen]


def _one(name: str, variation: Callable[[Context], VariationResult], context: Context) -> VariationResult:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the circumstances are of our making, and nobody else's to mend
            context.subject.renew()  # others are made of the user's objects, as the user left them
            return variation(context)
    except Skip as reason:
        return VariationResult(name, None, f"skipped: {reason}")
    except BackwardError as error:
        return failed(name, f"the backward pass raises {str(error)[:200]}")
    except Exception as error:  # a forward pass may refuse a circumstance, for any reason
        text = first_line(error)[:120]
        return VariationResult(name, None, f"skipped: {type(error).__name__}: {text}")


def verdict(results: tuple[VariationResult, ...]) -> list[Verdict]:
    """Return the verdicts of those that ran."""
    return [result.verdict for result in results if result.verdict is not None]
