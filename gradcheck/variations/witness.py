"""PyTorch's own gradient of the same forward pass, as a witness where a hand-written one goes wrong.

The forward passes of hand-written Functions are run as if they were plain code. Where that is right at the
given inputs, and goes wrong in the same way at others, the point is at fault: equal eigenvalues have no
vectors of their own, for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck import conventions, judge
from gradcheck.blame import patches
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.subjects.torch import TorchSubject
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.variations.base import Context

# What may be spent on single entries of PyTorch's own gradient.
_LOCATE_SECONDS = 0.1


def fails_by_itself(context: Context, subject: TorchSubject, outcome: Outcome, wrong: Sequence[str]) -> bool:
    """Whether PyTorch's own backward passes, right at the given inputs, go wrong here in the same way.

    A NaN where theirs is one is none of the user's making; a number where theirs is NaN may well be.
    """
    found = _own(subject)
    if found is None:
        return False
    undefined = set(outcome.pulls[0].finite)
    if found.raises:
        return bool(undefined)
    alike = [name in found.undefined if name in undefined else name in found.wrong for name in wrong]
    given = _own(context.subject) if all(alike) else None
    return given is not None and not (given.raises or set(wrong) & (given.wrong | given.undefined))


@dataclass(frozen=True)
class _Own:
    """What PyTorch's own backward passes do: the leaves whose gradients are wrong numbers, or none."""

    wrong: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()
    raises: bool = False


def _own(at: TorchSubject) -> _Own | None:
    """Examine the forward passes of hand-written Functions under autograd; None where that cannot be done."""
    plain: list[Any] = []
    subject = TorchSubject(at.function, at.args, at.kwargs, name=at.name, double=at.double, names=at.names)
    try:
        with patches.function_apply(_in_the_open(plain)), subject:
            subject.start()
            subject.coarsen(at.epsilon)
            dtypes = dict.fromkeys(subject.names, judge.format_of(at.epsilon))
            outcome = examine_subject(
                subject, Options.of(effort="probe"), dtypes, locate_seconds=_LOCATE_SECONDS
            )
            conventions.accept(outcome)
    except BackwardError:
        return _Own(raises=True) if plain else None
    except Exception:  # a forward pass that is not made to be differentiated is no witness
        return None
    undefined = frozenset(outcome.pulls[0].finite)
    return _Own(frozenset(outcome.failing) - undefined, undefined) if plain else None


def _in_the_open(seen: list[Any]) -> patches.Applied:
    """Return what runs a Function's forward pass as if it were plain code, and keeps which ones."""

    def visit(cls: Any, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if cls.__module__.partition(".")[0] == "torch" or kwargs:
            return real(*args, **kwargs)
        seen.append(cls)
        if cls.setup_context is not torch.autograd.Function.setup_context:
            return cls.forward(*args)
        return cls.forward(_Notes(), *args)

    return visit


class _Notes:
    """What stands for ``ctx`` in a forward pass whose backward pass is never run."""

    def save_for_backward(self, *_: Any) -> None: ...

    save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = save_for_backward

    def __getattr__(self, name: str) -> Any:
        if name == "needs_input_grad":
            return _Always()
        raise AttributeError(name)


class _Always:
    def __getitem__(self, _: Any) -> bool:
        return True
