"""Where NaN enters a gradient although every operation alone is right: at a slope that is infinite or none.

``where(x > 0, sqrt(x), 0)`` hides the value of a root that has none, but its backward pass still multiplies
that root's slope, which is no number, by a cotangent of zero. A root of exactly 0 has an infinite slope, of
which what lies before it makes NaN. Hooks on the nodes of the graph tell the first whose gradients are not
finite though what arrives is, and PyTorch's anomaly mode where its forward pass was called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from gradcheck.blame import messages
from gradcheck.blame.location import listed_in
from gradcheck.report.records import Blame, Call
from gradcheck.subjects.torch import graph

_UNUSED = (
    "its gradient is not a number where its result is not used: a cotangent of zero times a slope that "
    "is infinite or undefined. A mask or a where() behind it hides the value, not the gradient: mask its "
    "argument too"
)
_INFINITE = (
    "its slope is infinite at this input, and what lies before it makes NaN of that: keep its argument away "
    "from there (an epsilon under a root, say)"
)
_NO_NUMBER = "its gradient is not a number at this input, whatever cotangent arrives"
_TRACEBACK = "traceback_"


class _Watch:
    """Keeps the first node, in the order of the backward pass, whose gradients stop being finite."""

    def __init__(self) -> None:
        self.node: Any = None
        self.what = ""

    def on(self, node: Any) -> None:
        """Watch a node."""

        def hook(gradients: Sequence[torch.Tensor | None], arriving: Sequence[torch.Tensor | None]) -> None:
            made = [g for g in gradients if g is not None]
            given = [u for u in arriving if u is not None]
            if self.node is None and all(map(_finite, given)) and not all(map(_finite, made)):
                self.node, self.what = node, _how(made, given)

        node.register_hook(hook)


def find_undefined(
    subject: Any, cotangents: Sequence[torch.Tensor], trace: Sequence[Call]
) -> tuple[Blame, ...]:
    """Return the operation at which the gradient of a started, open subject stops being a number."""
    watch = _Watch()
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        try:
            with torch.enable_grad(), subject.running({}) as (leaves, outputs):
                for node in graph.nodes(outputs.values()):
                    watch.on(node)
                subject.gradients(leaves, outputs, list(cotangents))
        except Exception:  # what the user's backward passes make of it
            return ()
    if watch.node is None:
        return ()
    place = listed_in("".join(watch.node.metadata.get(_TRACEBACK, ())))
    if place is None:
        return ()
    name = str(watch.node.name()).rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")
    return (messages.blame(_operation(name, str(place), trace), place, watch.what),)


def _how(made: Iterable[torch.Tensor], given: Sequence[torch.Tensor]) -> str:
    if any(bool(torch.isinf(g).any()) for g in made):
        return _INFINITE
    return _UNUSED if any(bool((u == 0).any()) for u in given) else _NO_NUMBER


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _operation(node: str, place: str, trace: Sequence[Call]) -> str:
    """Return the name of the call behind a node, as reports have it."""
    here = [call.operation for call in trace if call.location == place]
    alike = [operation for operation in here if node.lower() in operation.lower().replace("_", "")]
    return (alike or [node])[0]
