"""The same again: a second backward pass over one graph, a fresh forward pass, and everything unchanged."""

from __future__ import annotations

import torch

from gradcheck.report.records import VariationResult
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations.base import Context, Skip, differing, failed, passed


def repeated_backward(context: Context) -> VariationResult:
    """Go backward twice over one graph, then a fresh one: accumulation, spoilt saved tensors, chance."""
    name = "repeated backward"
    subject = context.subject
    with torch.enable_grad(), subject.running({}) as (leaves, outputs):
        try:
            first = subject.gradients(leaves, outputs, context.cotangents, retain_graph=True)
        except BackwardError as error:
            if "retain_graph=False" not in str(error):
                raise
            raise Skip("a compiled graph cannot be kept for a second pass") from error
        first = {key: None if g is None else g.clone() for key, g in first.items()}
        try:
            second = subject.gradients(leaves, outputs, context.cotangents)
        except BackwardError as error:
            raise Skip(f"the graph cannot be kept for a second pass ({str(error)[:80]})") from error
        second = {key: None if g is None else g.clone() for key, g in second.items()}
    wrong = differing(context, second, first, subject.names)
    if wrong:
        return failed(
            name,
            "a second backward pass over the same graph gives another gradient: "
            "saved tensors change, or gradients accumulate",
            wrong,
        )
    wrong = differing(context, first, context.gradients, subject.names)
    if wrong:
        return failed(
            name, "the gradient differs from one run to the next, with nothing changed in between", wrong
        )
    return passed(name)


def unchanged(context: Context) -> VariationResult:
    """Check that neither pass changes inputs, parameters or cotangents in place."""
    name = "nothing changed in place"
    subject = context.subject
    us = [u.clone() for u in context.cotangents]
    with torch.enable_grad(), subject.running({}) as (leaves, outputs):
        after_forward = {key: leaf.detach().clone() for key, leaf in leaves.items()}
        kept = {path: out.detach().clone() for path, out in outputs.items()}
        subject.gradients(leaves, outputs, us)
        touched = [key for key, leaf in leaves.items() if not _equal(leaf, after_forward[key])]
        outputs_touched = [path or "output" for path, out in outputs.items() if not _equal(out, kept[path])]
    if touched:
        return failed(
            name,
            f"backward changes {', '.join(touched[:4])} in place",
            [n for n in touched if n in subject.names],
        )
    if outputs_touched:
        return failed(name, f"backward changes the output in place ({', '.join(outputs_touched[:4])})")
    if not all(_equal(u, v) for u, v in zip(us, context.cotangents, strict=True)):
        return failed(
            name, "backward changes its cotangent in place: other users of that tensor get wrong gradients"
        )
    base = {**subject._parameter_data, **subject._input_data}
    changed = [key for key in subject.names if key in base and not _equal(after_forward[key], base[key])]
    if changed:
        return failed(name, f"the forward pass changes {', '.join(changed[:4])} in place", changed)
    return passed(name)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    a, b = a.detach(), b.detach()
    if a.layout is not torch.strided:
        a, b = a.to_dense(), b.to_dense()
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
