"""The same again: a second backward pass over one graph, a fresh forward pass, and everything unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from gradcheck.report.records import VariationResult
from gradcheck.subjects.torch import TorchSubject, graph
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations.base import Context, Gradients, Skip, differing, enters, failed, passed

_TENTH = 0.1


@dataclass(frozen=True)
class _Twice:
    """The gradients of two backward passes over one graph; ``refusal`` is what the second one raised.

    ``overwritten`` are the hand-written Functions, by name, whose saved tensors the first one changed; None
    where that cannot be laid to a backward pass.
    """

    first: Gradients
    second: Gradients | None = None
    refusal: str = ""
    overwritten: tuple[str, ...] | None = None

    def fault(self, context: Context) -> tuple[str, Sequence[str]] | None:
        """Return what is wrong, and with which leaves."""
        names = context.subject.names
        if self.overwritten is not None:
            whose = f" of {', '.join(self.overwritten[:4])}" if self.overwritten else ""
            what = f"backward changes saved tensors{whose} in place: a second backward pass raises"
            return what + enters(context, self.overwritten), ()
        wrong = differing(context, self.second, self.first, names) if self.second is not None else []
        if wrong:
            return (
                "a second backward pass over the same graph gives another gradient: "
                "saved tensors change, or gradients accumulate"
            ), wrong
        wrong = differing(context, self.first, context.gradients, names)
        if wrong:
            return "the gradient differs from one run to the next, with nothing changed in between", wrong
        return None


def repeated_backward(context: Context) -> VariationResult:
    """Go backward twice over one graph, then a fresh one: accumulation, spoilt saved tensors, chance.

    Where code is not PyTorch's own, another forward pass comes before the first backward pass. What is kept
    per class or module, rather than per call, is the other's by then.
    """
    name = "repeated backward"
    own = context.own_code
    crossed = _twice(context, crossed=True) if own.backwards or own.opaque else None
    if crossed is not None and crossed.fault(context) is None and not crossed.refusal:
        return passed(name)
    alone = _twice(context)
    assert alone is not None  # with nothing in between
    fault = alone.fault(context)
    if fault is not None:
        return failed(name, *fault)
    wrong = [] if crossed is None else differing(context, crossed.first, alone.first, context.subject.names)
    if wrong:
        return failed(
            name,
            "after another forward pass, on other numbers, the gradient of the first is another one: "
            "is something kept per class or module rather than per call (ctx)?",
            wrong,
        )
    if alone.refusal:
        raise Skip(f"the graph cannot be kept for a second pass ({alone.refusal[:80]})")
    return passed(name)


def _twice(context: Context, crossed: bool = False) -> _Twice | None:
    """Go forward, and backward twice. ``crossed``: with another forward pass in between.

    None where that pass, or the backward pass after it, is refused: PyTorch notices when a buffer changes
    that it has saved.
    """
    subject = context.subject
    with torch.enable_grad(), subject.running({}) as (leaves, outputs):
        if crossed and not _goes_forward_again(subject):
            return None
        kept = _versions(subject)
        try:
            first = _copied(subject.gradients(leaves, outputs, context.cotangents, retain_graph=True))
        except BackwardError as error:
            if crossed:
                return None
            if "retain_graph=False" not in str(error):
                raise
            raise Skip("a compiled graph cannot be kept for a second pass") from error
        try:
            second = subject.gradients(leaves, outputs, context.cotangents)
        except BackwardError as error:
            changed = graph.MODIFIED in str(error) and kept == _versions(subject)
            return _Twice(first, None, str(error), _overwritten(subject, outputs) if changed else None)
        return _Twice(first, _copied(second))


def _goes_forward_again(subject: TorchSubject) -> bool:
    try:
        subject.run_beside(
            {key: _nearby(value, i) for i, (key, value) in enumerate(subject.variables.items())}
        )
    except Exception:  # a forward pass may refuse other numbers, or to be run twice, for any reason
        return False
    return True


def _nearby(value: torch.Tensor, seed: int) -> torch.Tensor:
    """Return numbers of the same signs, up to a tenth smaller: in the domain of most functions."""
    if value.layout is not torch.strided:
        return value.clone()
    chance = torch.rand(value.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return value * (1 - _TENTH * chance).to(value.device, value.real.dtype)


def _versions(subject: TorchSubject) -> list[int]:
    """Return the versions of parameters, buffers and constants, which hooks may change going backward."""
    return [tensor._version for tensor, _ in subject._originals]


def _copied(gradients: Gradients) -> Gradients:
    return {key: None if g is None else g.clone() for key, g in gradients.items()}


def _overwritten(subject: TorchSubject, outputs: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    return tuple(graph.overwritten([outputs[path] for path in subject.output_paths]))


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
