"""A plain implementation of the same function as ground truth, by the yardstick of FlashAttention's tests.

Truth is the reference differentiated in float64. In its own number format the subject may err at most twice
as much as the reference does in that format, plus a few roundings. The values are compared before the
gradients: where they differ, the two are not the same function and nothing else can be concluded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gradcheck.errors import GradcheckError, TargetError, first_line
from gradcheck.numerical import directions
from gradcheck.report.records import Comparison, Verdict
from gradcheck.subjects.torch import TorchSubject, layout

WITNESS = "reference"
_YARDSTICK = 2.0
# Roundings of the largest entry that any implementation may add.
_ROUNDINGS = 8.0


def compare(subject: TorchSubject, reference: Callable[..., Any]) -> tuple[dict[str, Comparison], str]:
    """Return a comparison per leaf that the reference has too, and a message where the values differ.

    ``subject`` must be suspended: both are run in the user's own format, the reference in float64 as well.
    """
    names = subject.names
    with subject.at(subject.args, subject.kwargs, double=False) as own:
        own.start()
        cotangents = _cotangents(own.outputs)
        claimed = own.pull_back(cotangents)
        values = own.outputs
    try:
        plain, plain_values = _gradients(reference, subject, cotangents, double=False)
        true, true_values = _gradients(reference, subject, cotangents, double=True)
    except GradcheckError:
        raise
    except Exception as error:  # users' code raises what it likes
        text = first_line(error).rstrip(".")
        raise TargetError(
            f"The reference raises {type(error).__name__}: {text}; pass a plain implementation that takes "
            "the same arguments, in float64 too."
        ) from error
    epsilon = max(layout.spacing(t.dtype) for t in [*own.variables.values(), *values])
    for value, mine, expected in zip(values, plain_values, true_values, strict=True):
        comparison = _judge(
            directions.to_numpy(value), directions.to_numpy(mine), directions.to_numpy(expected), epsilon
        )
        if comparison.verdict is Verdict.FAIL:
            return {}, (
                f"the forward pass differs from the reference: {comparison.claimed:.6g} against "
                f"{comparison.expected:.6g} at {list(comparison.index or ())}"
            )
    shared = [name for name in names if name in true]
    return {
        name: _judge(
            _numpy(claimed[name], true[name]),
            _numpy(plain[name], true[name]),
            _numpy(true[name], true[name]),
            epsilon,
        )
        for name in shared
        if true[name] is not None
    }, ""


def _cotangents(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    generator = np.random.default_rng(0)
    return [directions.like(out, generator.standard_normal(tuple(out.shape))) for out in outputs]


def _gradients(
    reference: Callable[..., Any], subject: TorchSubject, cotangents: Sequence[torch.Tensor], double: bool
) -> tuple[dict[str, torch.Tensor | None], list[torch.Tensor]]:
    twin = TorchSubject(
        reference,
        subject.args,
        subject.kwargs,
        name="reference",
        double=double,
        names=_shared(reference, subject),
    )
    with twin:
        twin.start()
        if len(twin.outputs) != len(cotangents):
            raise TargetError(
                f"The reference returns {len(twin.outputs)} differentiable outputs, "
                f"{subject.name} {len(cotangents)}: let both return the same."
            )
        for out, u in zip(twin.outputs, cotangents, strict=True):
            if out.shape != u.shape:
                raise TargetError(
                    f"The reference returns shape {tuple(out.shape)}, "
                    f"{subject.name} {tuple(u.shape)}: let both return the same."
                )
        us = [u.to(out.dtype) for u, out in zip(cotangents, twin.outputs, strict=True)]
        return twin.pull_back(us), twin.outputs


def _shared(reference: Callable[..., Any], subject: TorchSubject) -> list[str]:
    twin = TorchSubject(reference, subject.args, subject.kwargs, names=[])
    return [name for name in subject.names if name in twin.parameters or name in twin.inputs]


def _numpy(gradient: torch.Tensor | None, like: torch.Tensor | None) -> np.ndarray:
    if gradient is not None:
        return directions.to_numpy(gradient)
    assert like is not None
    return np.zeros(tuple(like.shape))


def _judge(claimed: np.ndarray, plain: np.ndarray, true: np.ndarray, epsilon: float) -> Comparison:
    """Compare by the largest error, which is how the yardstick is defined."""
    difference = np.abs(claimed - true)
    own = float(np.abs(plain - true).max(initial=0))
    largest = float(np.abs(true).max(initial=0))
    tau = _YARDSTICK * own + _ROUNDINGS * epsilon * largest
    at = (
        tuple(int(k) for k in np.unravel_index(int(np.argmax(difference)), difference.shape))
        if difference.size
        else ()
    )
    wrong = int((~(difference <= tau)).sum())
    mine, expected = (claimed[at], true[at]) if difference.size else (0.0, 0.0)
    size = max(abs(mine), abs(expected))
    return Comparison(
        witness=WITNESS,
        claimed=complex(mine) if np.iscomplexobj(mine) else float(mine),
        expected=complex(expected) if np.iscomplexobj(expected) else float(expected),
        index=at,
        abs_error=float(abs(mine - expected)),
        rel_error=float(abs(mine - expected) / size) if size else 0.0,
        uncertainty=own,
        tolerance=tau,
        mismatched=wrong,
        compared=int(difference.size),
        verdict=Verdict.FAIL if wrong else Verdict.PASS,
    )
