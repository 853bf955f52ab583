"""Where NaN enters a gradient although every operation alone is right: zero times an infinite slope.

``where(x > 0, sqrt(x), 0)`` hides the value of a root that has none, but its backward pass still multiplies
that root's slope, which is no number, by a cotangent of zero. PyTorch's anomaly mode knows the node at which
a gradient stops being a number, and where its forward pass was called.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from gradcheck.blame import messages
from gradcheck.blame.location import listed_in
from gradcheck.report.records import Blame, Call

_NODE = re.compile(r"Function '(\w+?)(?:Backward\d*)?' returned nan values")
_WHAT = (
    "its gradient is not a number where its result is not used: a cotangent of zero times a slope that "
    "is infinite or undefined. A mask or a where() behind it hides the value, not the gradient; choose "
    "the input so that it is defined there"
)


def find_undefined(
    subject: Any, cotangents: Sequence[torch.Tensor], trace: Sequence[Call]
) -> tuple[Blame, ...]:
    """Return the operation at which the gradient of a started, open subject stops being a number."""
    with warnings.catch_warnings(record=True) as warned, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        try:
            with torch.enable_grad(), subject.running({}) as (leaves, outputs):
                subject.gradients(leaves, outputs, list(cotangents))
        except Exception as error:  # what anomaly mode raises passes through our own errors
            found = _NODE.search(str(error))
            if found is None:
                return ()
            place = listed_in("".join(str(warning.message) for warning in warned))
            return (messages.blame(_operation(found.group(1), str(place), trace), place, _WHAT),)
    return ()


def _operation(node: str, place: str, trace: Sequence[Call]) -> str:
    """Return the name of the call behind a node, as reports have it."""
    here = [call.operation for call in trace if call.location == place]
    alike = [operation for operation in here if node.lower() in operation.lower().replace("_", "")]
    return (alike or [node])[0]
