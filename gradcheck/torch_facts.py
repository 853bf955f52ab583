"""What else a diagnosis may use of a torch run: other arguments, cotangents, a second call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gradcheck import contributions
from gradcheck.diagnose import Facts
from gradcheck.explanation import numbers_among, numbers_of
from gradcheck.numerical import directions
from gradcheck.numerical.line import flatten
from gradcheck.pipeline import Outcome
from gradcheck.probes import Pulled
from gradcheck.slips.nearby import AWAY, about_right
from gradcheck.slips.record import Rerun
from gradcheck.subjects.torch import TorchSubject

# Larger arrays are not looked at.
_LARGEST = 100_000
# With more entries of the leaves the backward pass is not run again with changes in it.
_RERUN = 1_000_000


def gather(subject: TorchSubject, outcome: Outcome) -> Facts:
    """Return the facts; pulls back twice more where something is wrong."""
    order = tuple(name for name in subject.names if name in subject.parameters)
    facts = Facts(numbers=numbers(subject), order=order, listed=False)
    if not outcome.failing:
        return facts
    arrays = _arrays(subject, outcome)
    outputs = [f"output{path}" for path in subject.output_paths]
    return replace(
        facts,
        numbers={**facts.numbers, **shares(arrays)},
        arrays=arrays,
        second_call=second_call(outcome),
        rerun=_rerun(outcome),
        **of_cotangents(outcome, outputs),
    )


def _rerun(outcome: Outcome) -> Rerun | None:
    """Return how the backward pass is run again, under the cotangents whose gradients are explained.

    None of a large computation, which is not run a thousand times, and where tensors are no plain arrays.
    """
    exam, pulled = outcome.exam, _pulled(outcome)
    subject = exam.subject
    plain = all(tensor.layout is torch.strided for tensor in subject.variables.values())
    if not plain or sum(value.size for value in exam.values.values()) > _RERUN:
        return None
    before = {name: tensor.detach().clone() for name, tensor in subject.variables.items()}

    def gradients() -> Mapping[str, np.ndarray | None]:
        counted = exam.forward_evaluations, exam.backward_evaluations
        try:
            again = exam.pull(pulled.cotangents)
        finally:  # how many fit into the time says nothing of the verification
            exam.forward_evaluations, exam.backward_evaluations = counted
        unshaped = {name: again.raw.get(name) for name in again.misshapen}
        return {**again.gradients, **again.raw, **unshaped}

    def restore() -> None:
        for name, tensor in subject.variables.items():
            if not tensor.detach().equal(before[name]):
                tensor.detach().copy_(before[name])

    def elsewhere(names: Sequence[str]) -> bool:
        try:
            return _is_right_nearby(outcome, pulled, names)
        except Exception:  # outside its domain a forward pass raises what it likes
            return True

    return Rerun(gradients, lambda: subject.evaluate(dict(before)), restore=restore, elsewhere=elsewhere)


def _is_right_nearby(outcome: Outcome, pulled: Pulled, names: Sequence[str]) -> bool:
    """Whether the gradients of the named leaves are about right at a point nearby."""
    exam = outcome.exam
    subject, random = exam.subject, np.random.default_rng(0)
    away = {name: AWAY * (exam.largest[name] or 1.0) for name in subject.variables}
    near = {
        name: directions.moved(
            value, directions.like(value, random.normal(size=tuple(value.shape))), away[name]
        )
        for name, value in subject.variables.items()
    }
    drawn = {
        name: random.normal(size=tuple(near[name].shape)) * (exam.largest[name] or 1.0) for name in names
    }
    with torch.enable_grad(), subject.running(near) as (leaves, outputs):  # type: ignore[attr-defined]  # a TorchSubject
        claims = subject.gradients(leaves, outputs, pulled.cotangents)  # type: ignore[attr-defined]  # as above
    terms = [np.real(np.conj(_numbers(claims[name], v)) * v) for name, v in drawn.items()]

    def at(step: float) -> float:
        moved = {n: directions.moved(near[n], directions.like(near[n], v), step) for n, v in drawn.items()}
        return float(pulled.flat @ flatten(subject.evaluate({**near, **moved})))

    return about_right(terms, at)


def _numbers(gradient: torch.Tensor | None, like: np.ndarray) -> np.ndarray:
    return np.zeros_like(like) if gradient is None else directions.to_numpy(gradient)


def of_cotangents(outcome: Outcome, outputs: Sequence[str]) -> dict[str, Any]:
    """Return the facts that other cotangents bring to light; ``outputs`` are the names of the outputs."""
    exam, pulled = outcome.exam, _pulled(outcome)
    slopes = contributions.slopes(exam, pulled, outcome.failing)
    return {
        "linear": _odd(outcome),
        "contributions": contributions.measure(exam, pulled, slopes, outputs),
        "mistaken": contributions.mistaken(exam, pulled, slopes, outputs),
    }


def shares(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return what a mean over some entries may be mistaken for: shares of masks and labels, mean weights."""
    return dict(_shares(arrays))


def _shares(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    for name, array in arrays.items():
        if array.size < 2 or array.dtype.kind not in "biuf":
            continue
        if array.dtype.kind in "iu" and (array < 0).any():
            yield f"the share of {name} that is not negative", float((array >= 0).mean())
        elif array.dtype.kind == "b" or np.isin(array, (0, 1)).all():
            yield f"the share of {name} that is not zero", float((array != 0).mean())
    for weights, w in arrays.items():
        for labels, places in arrays.items():
            fits = w.ndim == 1 and w.dtype.kind == "f" and places.dtype.kind in "iu" and places.size > 1
            if fits and places.min() >= 0 and places.max() < w.size:
                yield f"the mean of {weights} at {labels}", float(w[places].mean())


def _odd(outcome: Outcome) -> bool:
    """Whether the claimed gradients change their sign with the cotangent's, and nothing else."""
    first = _pulled(outcome)
    again = outcome.exam.pull([-u for u in first.cotangents]).gradients
    return all(
        name in again and np.allclose(again[name], -gradient, rtol=1e-9, atol=0.0, equal_nan=True)
        for name, gradient in first.gradients.items()
    )


def numbers(subject: TorchSubject) -> dict[str, float]:
    """Return quantities by which a gradient is often off: sizes, and numbers among the arguments."""
    shapes = {name: tuple(tensor.shape) for name, tensor in subject.inputs.items()}
    shapes |= {
        f"output{path}": tuple(out.shape)
        for path, out in zip(subject.output_paths, subject.outputs, strict=True)
    }
    return {**numbers_of(shapes), **numbers_among(_given(subject.args, subject.kwargs))}


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"inputs[{i}]", value) for i, value in enumerate(args))
    yield from ((f'kwargs["{key}"]', value) for key, value in kwargs.items())


def _arrays(subject: TorchSubject, outcome: Outcome) -> dict[str, np.ndarray]:
    """Return the inputs that are not verified (masks, labels), and the cotangents that were used."""
    found = {
        name: tensor.detach().numpy(force=True)
        for name, tensor in subject.inputs.items()
        if name not in subject.names and tensor.numel() <= _LARGEST and not tensor.dtype.is_complex
    }
    for path, u in zip(subject.output_paths, _pulled(outcome).cotangents, strict=True):
        if u.numel() <= _LARGEST:
            found[f"the cotangent of {f'output{path}' if path else 'the output'}"] = directions.to_numpy(u)
    return found


def _pulled(outcome: Outcome) -> Pulled:
    """Return the pull whose gradients are explained."""
    entries = [outcome.findings[name].entries for name in outcome.failing]
    pulls = [found.pulled for found in entries if found is not None and found.pulled is not None]
    return pulls[0] if pulls else outcome.pulls[0]


def second_call(outcome: Outcome) -> dict[str, np.ndarray | None]:
    """Return the gradients that a call right after the first would claim, by leaf.

    Other calls came in between: what a buffer has gathered in them is left out. Pulls back twice.
    """
    first = _pulled(outcome)
    once, again = outcome.exam.pull(first.cotangents), outcome.exam.pull(first.cotangents)
    return {name: _followed(name, first, once, again) for name in first.gradients}


def _followed(name: str, first: Pulled, once: Pulled, again: Pulled) -> np.ndarray | None:
    pulls = [pulled.gradients.get(name) for pulled in (first, once, again)]
    if any(gradient is None or name in first.finite for gradient in pulls):
        return None
    a, b, c = pulls
    assert a is not None  # as are the others; the sum below is the first where nothing changes
    assert b is not None
    assert c is not None
    followed: np.ndarray = a + (c - b)
    return followed
