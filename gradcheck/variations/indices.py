"""Indices at either end: zero, and the last that a table has.

Where a table ends, no index says, and one beyond it must not be tried: not every kernel looks. But the
gradient of a table tells. Rows that no index names get none; so an axis with gradients just where the indices
point is the one that they are looked up in, and its length is known.
"""

from __future__ import annotations

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.variations.base import Context, Skip, failed, passed
from gradcheck.variations.elsewhere import at
from gradcheck.variations.keeping import INDICES, Change
from gradcheck.variations.points import NoPoint
from gradcheck.variations.special_values import special

NAME = "zero indices"


def zero_and_last(context: Context) -> VariationResult:
    """Let the least positive index be zero, then the largest one the last of its table."""
    try:
        zero, reason = special(NAME)(context), ""
    except Skip as skipped:
        zero, reason = None, str(skipped)
    if zero is not None and zero.verdict is Verdict.FAIL:
        return zero
    last = _last(context)
    if last is not None and last.verdict is Verdict.FAIL:
        return failed(NAME, last.message, last.parameters)
    found = [result for result in (zero, last) if result is not None]
    if not found:
        raise Skip(reason)
    return passed(NAME, "; ".join(result.message for result in found if result.message))


def _last(context: Context) -> VariationResult | None:
    for place, (name, t) in enumerate(context.subject.inputs.items()):
        length = _table_length(context, t) if t.dtype in INDICES else None
        if length is not None:
            label = f"an index of {name} made {length - 1}, the last"
            try:
                result = at(context, label, _largest_made(length - 1, place))
            except NoPoint:
                continue
            if result is not None:
                return passed(NAME, result.message or label) if result.verdict is Verdict.PASS else result
    return None


def _table_length(context: Context, indices: torch.Tensor) -> int | None:
    """Return the length of the axis that indices are looked up in, where its end is out of their reach."""
    used = torch.tensor(sorted({i for i in indices.flatten().tolist() if i >= 0}), dtype=torch.int64)
    if used.numel() < 2:  # one row may be all that has a gradient for another reason
        return None
    lengths = [
        length
        for gradient in context.gradients.values()
        if gradient is not None and gradient.layout is torch.strided
        for axis, length in enumerate(gradient.shape)
        if length > int(used[-1]) + 1 and _is_looked_up(gradient, axis, used)
    ]
    return min(lengths, default=None)


def _is_looked_up(gradient: torch.Tensor, axis: int, used: torch.Tensor) -> bool:
    """Whether just those entries of an axis have a gradient; a row for padding may have none."""
    rows = (gradient.movedim(axis, 0).flatten(1) != 0).any(1) if gradient.ndim > 1 else gradient != 0
    there = rows[used.to(rows.device)]
    others = int(rows.sum()) - int(there.sum())
    return others == 0 and int((~there).sum()) <= (1 if used.numel() > 2 else 0)


def _largest_made(index: int, place: int) -> Change:
    def change(t: torch.Tensor, number: int) -> torch.Tensor:
        if number != place:
            return t
        flat = t.clone().reshape(-1)
        flat[flat.argmax()] = index
        return flat.reshape(t.shape)

    return change
