"""What of a run is not PyTorch's own: where to look when only changed circumstances show a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.blame import messages
from gradcheck.blame.chance import Chance
from gradcheck.blame.computation import OfSubject
from gradcheck.blame.recording import record
from gradcheck.report.records import Blame


@dataclass(frozen=True)
class OwnCode:
    """The user's part in a run: ``backwards``, hand-written ones, as blames.

    ``opaque``: whether values may pass of which autograd does not know (detached, through NumPy), hooks
    change gradients, or something could not be looked into. Without either, a run is right wherever
    PyTorch's own operations are.
    """

    backwards: tuple[Blame, ...] = ()
    opaque: bool = True


def own_code(subject: Any) -> OwnCode:
    """Look for the user's own code in one run of a started, open subject.

    PyTorch's own operations are taken to be right in every circumstance, so a fault that only a changed
    circumstance shows is in the user's code.
    """
    recording = record(OfSubject(subject), Chance(np.random.default_rng(0)))
    found = {
        (messages.backward_name(call), call.backward or call.place): call
        for call in recording.calls
        if call.user_defined
    }
    backwards = tuple(
        messages.blame(name, place, "a hand-written backward pass" + messages.called(call.place))
        for (name, place), call in found.items()
    )
    passing = any(call.suspicious for call in recording.calls)
    return OwnCode(backwards, passing or bool(recording.unseen or recording.hooks.hooks))
