"""The same numbers in other circumstances: layouts, subsets that require grad, one tensor twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch

from gradcheck.report.records import VariationResult, Verdict
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations import supersets
from gradcheck.variations.base import Context, Gradients, Skip, differing, failed, passed

# What torch.autograd.grad says inside a backward pass where something is frozen that it asks for: a refusal
# that no user overlooks, and no wrong gradient.
_FROZEN = "One of the differentiated Tensors does not require grad"
_SUBSETS = 6
_PAIRS = 3


def layouts(context: Context) -> VariationResult:
    """Run with every input non-contiguous: between other numbers, and as images are laid out."""
    name = "non-contiguous inputs"
    subject = context.subject
    if not any(t.numel() > 1 for t in subject.inputs.values()):
        raise Skip("there is no input of more than one entry")
    result = _laid_out(context, name, _strided)
    images = any(_image_format(t) is not None for t in subject.inputs.values())
    if result.verdict is Verdict.PASS and images:
        return _laid_out(context, name, _channels_last)
    return result


def _laid_out(
    context: Context, name: str, change: Callable[[str, torch.Tensor], torch.Tensor]
) -> VariationResult:
    subject = context.subject
    try:
        with torch.enable_grad(), subject.running({}, change=change) as (leaves, outputs):
            values = [outputs[path].detach().clone() for path in subject.output_paths]
            found = subject.gradients(leaves, outputs, context.cotangents)
    except BackwardError as error:
        if context.handwritten:
            raise
        raise Skip(f"PyTorch's own backward pass does not take them ({_first_line(error)})") from error
    except Exception as error:  # a forward pass may refuse a layout, for any reason
        raise Skip(f"the forward pass does not take them ({_first_line(error)})") from error
    for value, expected, size in zip(values, subject.outputs, context.exam.sizes, strict=True):
        if not _same_values(value, expected, subject.epsilon, size):
            if not context.handwritten:
                raise Skip("the function depends on strides: its value changes")
            return failed(
                name,
                "the forward pass itself gives another value for a non-contiguous input: "
                "check its use of strides",
            )
    wrong = differing(context, found, context.gradients, subject.names)
    if wrong:
        return failed(
            name, "a non-contiguous input gives another gradient than the same numbers contiguous", wrong
        )
    return passed(name)


def _strided(_: str, data: torch.Tensor) -> torch.Tensor:
    if data.layout is not torch.strided or data.numel() < 2 or type(data) is not torch.Tensor:
        return data
    wide = torch.empty((*data.shape, 2), dtype=data.dtype, device=data.device)
    wide[..., 0] = data
    wide[..., 1] = data.flatten()[0]
    return wide[..., 0] if data.is_contiguous() else data.contiguous()


def _image_format(data: torch.Tensor) -> torch.memory_format | None:
    if data.layout is not torch.strided:
        return None
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(data.ndim)


def _channels_last(_: str, data: torch.Tensor) -> torch.Tensor:
    memory_format = _image_format(data)
    return data if memory_format is None else data.contiguous(memory_format=memory_format)


def _same_values(a: torch.Tensor, b: torch.Tensor, epsilon: float, size: float = 0.0) -> bool:
    if a.shape != b.shape:
        return False
    difference = torch.nan_to_num((a - b).abs())
    largest = max(float(torch.nan_to_num(b.abs()).max()), size) if b.numel() else 0.0
    return not a.numel() or float(difference.max()) <= max(1e4 * epsilon, epsilon**0.5) * max(largest, 1e-30)


def requires_grad_subsets(context: Context) -> VariationResult:
    """Let only some leaves require grad: the gradients of those must not change. Then inputs, too."""
    name = "requires_grad subsets"
    subject = context.subject
    beyond = supersets.inputs_too(context, name)
    if beyond is not None:
        return beyond
    if len(subject.names) < 2:
        raise Skip("only one leaf requires grad")
    if subject.accumulates:  # without an input that requires grad, PyTorch never calls such a backward pass
        raise Skip("a backward pass calls backward() itself, which fills every .grad")
    refused = ""
    for subset in _subsets(subject.names, context.inputs):
        try:
            fault = _fault_of_subset(context, subset)
        except BackwardError as error:
            if _FROZEN not in str(error):
                raise
            refused = f"when only {_listed(subset)} requires grad, backward raises {str(error)[:120]}"
            continue
        if fault is not None:
            return failed(name, *fault)
    return passed(name, f"{refused}: is it meant to work there?" if refused else "")


def _fault_of_subset(context: Context, subset: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """Say what is wrong where only some leaves require grad, and with which leaves."""
    found = _with_subset(context, subset)
    if found is None:
        return None
    wrong = differing(context, found, context.gradients, subset)
    if wrong:
        return f"when only {_listed(subset)} requires grad, {_what_arrives(found, wrong)}", wrong
    extra = [key for key, g in found.items() if key not in subset and g is not None]
    return (f"a gradient is returned for {extra[0]}, which does not require it", extra) if extra else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _what_arrives(found: Gradients, wrong: Sequence[str]) -> str:
    if any(found[name] is not None for name in wrong):
        return "its gradient is another one"
    return "no gradient arrives: is ctx.needs_input_grad read at the right index?"


def _subsets(names: Sequence[str], inputs: Sequence[str]) -> list[list[str]]:
    """Return each leaf alone and all but each, where these are few; else inputs, parameters, halves."""
    if len(names) <= _SUBSETS:
        alone = [[name] for name in names]
        all_but = [[other for other in names if other != name] for name in names] if len(names) > 2 else []
        return alone + all_but
    parameters = [name for name in names if name not in inputs]
    chosen = [list(inputs), parameters, list(names[::2]), list(names[1::2]), [names[0]], [names[-1]]]
    return [subset for subset in chosen if subset and len(subset) < len(names)]


def _with_subset(context: Context, subset: Sequence[str]) -> Gradients | None:
    subject = context.subject
    with torch.enable_grad(), subject.running({}, names=subset) as (leaves, outputs):
        given = [outputs[path] for path in subject.output_paths]
        if not any(out.requires_grad for out in given) or not _unmoved(context, given):
            return None
        return subject.gradients(leaves, outputs, context.cotangents)


def _unmoved(context: Context, outputs: Sequence[torch.Tensor]) -> bool:
    """Whether the outputs are those verified: some forward passes take another road, to other values.

    PyTorch's transformer encoder leaves out what is padded unless its first layer requires grad.
    """
    subject = context.subject
    pairs = zip(outputs, subject.outputs, context.exam.sizes, strict=True)
    return all(_same_values(out.detach(), expected, subject.epsilon, size) for out, expected, size in pairs)


def same_tensor_twice(context: Context) -> VariationResult:
    """Pass one tensor for two inputs: its gradient is the sum of both."""
    name = "same tensor twice"
    subject = context.subject
    pairs = [
        (a, b)
        for a, b in itertools.combinations(context.inputs, 2)
        if _alike(subject._input_data[a], subject._input_data[b])
    ][:_PAIRS]
    if not pairs:
        raise Skip("no two inputs have the same shape and dtype")
    done = 0
    for a, b in pairs:
        outcome = _alias(context, a, b)
        if outcome is None:
            continue
        done += 1
        if not outcome:
            return failed(
                name, f"with one tensor passed as {a} and {b}, its gradient is not the sum of theirs", [a, b]
            )
    if not done:
        raise Skip("the forward pass does not take one tensor for two inputs")
    return passed(name)


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.numel() > 0


def _alias(context: Context, a: str, b: str) -> bool | None:
    """Return whether the gradient of an aliased input is the sum; None where that cannot be asked."""
    subject, us = context.subject, context.cotangents
    value = subject._input_data[a]
    try:
        with torch.enable_grad(), subject.running({b: value.clone()}) as (leaves, outputs):
            expected = [outputs[path].detach() for path in subject.output_paths]
            if any(e.shape != u.shape for e, u in zip(expected, us, strict=True)) or not _finite(expected):
                return None
            apart = subject.gradients(leaves, outputs, us)
        with torch.enable_grad(), subject.running({}, aliases={b: a}) as (leaves, outputs):
            together = subject.gradients(leaves, outputs, us)[a]
    except Exception:  # a forward pass may refuse equal inputs, for any reason
        return None
    both = [g for g in (apart[a], apart[b]) if g is not None]
    total = sum(both[1:], start=both[0]) if both else None
    if total is not None and not _finite([total]):
        return None
    return not differing(context, {a: together}, {a: total}, [a])


def _finite(tensors: Sequence[torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in tensors)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
