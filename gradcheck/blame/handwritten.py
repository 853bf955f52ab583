"""The hand-written backward passes of a run: where to look when only changed circumstances show a fault."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.blame import messages
from gradcheck.blame.chance import Chance
from gradcheck.blame.computation import OfSubject
from gradcheck.blame.recording import record
from gradcheck.report.records import Blame


def handwritten(subject: Any) -> tuple[Blame, ...]:
    """Return a blame for each hand-written backward pass of a started, open subject.

    PyTorch's own operations are taken to be right in every circumstance, so a fault that only a changed
    circumstance shows is in the user's code.
    """
    calls = record(OfSubject(subject), Chance(np.random.default_rng(0))).calls
    found = {
        (messages.backward_name(call), call.backward or call.place): call
        for call in calls
        if call.user_defined
    }
    return tuple(
        messages.blame(name, place, "a hand-written backward pass" + messages.called(call.place))
        for (name, place), call in found.items()
    )
