"""What a variation is given, and how its gradients are compared with those already found right.

Most variations need no finite differences of their own: the mathematics has been verified at the base
point, and a changed layout, a subset of requires_grad or a second backward pass must give the same numbers.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gradcheck import judge
from gradcheck.blame.handwritten import OwnCode
from gradcheck.examination import Examination
from gradcheck.options import Options
from gradcheck.probes import Pulled
from gradcheck.report.records import Blame, VariationResult, Verdict
from gradcheck.subjects.torch import TorchSubject

Gradients = Mapping[str, torch.Tensor | None]


@dataclass(frozen=True)
class Context:
    """A verified subject: its cotangent u, the gradients g of <u, outputs> it was verified with.

    ``blame_at`` finds the guilty operations of the subject at changed inputs. ``deadline`` is when to stop.
    ``imprecise`` are the leaves whose gradients pass with the rounding errors of single precision,
    ``holding`` those whose gradients are meant for values held constant.
    """

    subject: TorchSubject
    exam: Examination
    pulled: Pulled
    gradients: Gradients
    options: Options
    blame_at: Callable[[TorchSubject], Sequence[Blame] | None]
    deadline: float = math.inf
    find_own_code: Callable[[], OwnCode] = OwnCode
    imprecise: frozenset[str] = frozenset()
    holding: frozenset[str] = frozenset()

    @functools.cached_property
    def own_code(self) -> OwnCode:
        """What of a run is not PyTorch's own; looked for when first asked."""
        return self.find_own_code()

    @property
    def handwritten(self) -> bool:
        """Whether the run has a backward pass that is not PyTorch's own."""
        return bool(self.own_code.backwards)

    @property
    def cotangents(self) -> list[torch.Tensor]:
        """The cotangent u, one tensor per output."""
        return self.pulled.cotangents

    @property
    def inputs(self) -> list[str]:
        """The leaves that are inputs rather than parameters."""
        return [name for name in self.subject.names if name in self.subject.inputs]


Variation = Callable[[Context], VariationResult]


class Skip(Exception):
    """Raised by a variation that does not apply; the text says why."""


@contextlib.contextmanager
def started(subject: TorchSubject) -> Iterator[TorchSubject | None]:
    """Give a subject open and started; None where its forward pass raises, as it may at changed arguments."""
    with subject:
        try:
            subject.start()
        except Exception:  # outside its domain a forward pass raises what it likes
            yield None
        else:
            yield subject


def passed(name: str, message: str = "") -> VariationResult:
    """Return the result of a variation under which nothing changed."""
    return VariationResult(name, Verdict.PASS, message)


def failed(name: str, message: str, parameters: Sequence[str] = ()) -> VariationResult:
    """Return the result of a variation under which the gradient is wrong."""
    return VariationResult(name, Verdict.FAIL, message, tuple(parameters))


def enters(context: Context, functions: Sequence[str]) -> str:
    """Return "; enters at ..." for the backward pass of the first of these hand-written Functions."""
    known = {blame.operation: blame for blame in context.own_code.backwards}
    found = [known[f"{name}.backward"] for name in functions if f"{name}.backward" in known]
    return f"; enters at {found[0].location}, {found[0].operation}" if found else ""


def differing(context: Context, found: Gradients, expected: Gradients, names: Sequence[str]) -> list[str]:
    """Return the leaves whose gradients differ by more than rounding."""
    own = context.subject.epsilon
    spacing = {name: max(own, judge.SINGLE) if name in context.imprecise else own for name in names}
    return [n for n in names if not _close(found.get(n), expected.get(n), context, n, spacing[n])]


def apart(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    """Return the largest difference of two gradients as a share of the second's largest entry."""
    if a is None or b is None or a.shape != b.shape:
        return math.inf
    a, b = _dense(a), _dense(b)
    largest = _largest(b)
    return _largest(a - b) / largest if largest > 0 else math.inf


def _close(
    a: torch.Tensor | None, b: torch.Tensor | None, context: Context, name: str, epsilon: float
) -> bool:
    if a is None or b is None:
        other = b if a is None else a
        return other is None or _is_small(other, context, name, epsilon)
    if a.shape != b.shape:
        return False
    a, b = _dense(a), _dense(b)
    largest = _largest(a - b)
    if math.isfinite(largest):  # and so is every entry
        return largest == 0 or largest <= _allowed(context, name, epsilon, _usual(b, context, name))
    difference = torch.nan_to_num((a - b).abs(), nan=0.0, posinf=0.0, neginf=0.0)
    if bool((torch.isfinite(a) != torch.isfinite(b)).any()):
        return False
    return _is_small(
        difference, context, name, epsilon, float(torch.nan_to_num(b.abs()).max()) if b.numel() else 0.0
    )


def _usual(b: torch.Tensor, context: Context, name: str) -> float:
    """Return the size in which rounding is counted: that of the gradient under a random cotangent, if larger.

    What a constant cotangent gives may be all cancellation: behind a batch norm it is zero.
    """
    usual = context.gradients.get(name)
    known = 0.0 if usual is None else _largest(torch.nan_to_num(_dense(usual), posinf=0.0, neginf=0.0))
    return max(_largest(b), known)


def _is_small(
    difference: torch.Tensor, context: Context, name: str, epsilon: float, largest: float = 0.0
) -> bool:
    return _largest(_dense(difference)) <= _allowed(context, name, epsilon, largest)


def _largest(tensor: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, ord=math.inf)) if tensor.numel() else 0.0


def _allowed(context: Context, name: str, epsilon: float, largest: float) -> float:
    """Return what rounding may make of a gradient whose largest entry is given.

    Outputs of zero do not tell the size of what they are the difference of: that of the leaf is taken for it.
    """
    size = context.exam.magnitude or context.exam.largest[name]
    floor = epsilon * size / max(float(np.min(context.exam.scales[name])), 1e-300)
    return judge.rounded_again(epsilon) * largest + 1e3 * floor


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.to_dense() if tensor.layout is not torch.strided else tensor
