"""What is said about each fault: the operation, what is wrong with it, and where it is called."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gradcheck.blame.calls import TracedCall
from gradcheck.blame.hooks import WatchedHook
from gradcheck.blame.location import Place
from gradcheck.report.records import Blame

WITHOUT_GRAD = "runs without grad mode (torch.no_grad or torch.inference_mode)"
_NAMED = 4


def at(place: Place | None) -> str:
    """Return " at file:line", nothing where the place is unknown."""
    return f" at {place}" if place else ""


def called(place: Place | None) -> str:
    """Return "; called at file:line", nothing where the place is unknown."""
    return f"; called at {place}" if place else ""


def blame(operation: str, place: Place | None, message: str) -> Blame:
    """Return the record for a fault at a place."""
    return Blame(operation, str(place) if place else None, message, place.source if place else None)


def backward_name(call: TracedCall) -> str:
    """Return what a wrong operation is called: its backward pass where the user wrote one."""
    if not call.user_defined:
        return call.operation
    return f"{call.operation.removesuffix('.apply')}.backward"


def wrong_calls(calls: Sequence[TracedCall]) -> Blame:
    """Return the blame of calls of one operation in one place; the first speaks for all."""
    call = calls[0]
    place = call.backward if call.user_defined and call.backward else call.place
    spots = list(dict.fromkeys(str(c.place) for c in calls if c.place))
    from_ = "" if place == call.place or not spots else f"; called at {listed(spots)}"
    times = f" ({len(calls)} calls)" if len(calls) > 1 else ""
    found = blame(backward_name(call), place, _what(call) + from_ + times)
    return replace(found, diagnoses=call.diagnoses)


def _what(call: TracedCall) -> str:
    found = call.verification
    assert found is not None
    order = "in second order, " if found.order == 2 else ""
    if math.isnan(found.claimed) and found.message:
        return order + found.message
    arguments = f" for {listed(found.arguments)}" if found.arguments else ""
    adjective = "imprecise" if found.suspect else "wrong"
    numbers = (
        f"{found.message or 'along a random direction'} it gives {found.claimed:.6g}, "
        f"finite differences {found.expected:.6g} ± {found.uncertainty:.1g}"
    )
    if found.claimed == 0.0:
        return f"{order}no gradient{arguments}: {numbers}"
    return f"{order}{adjective} gradient{arguments}: {numbers}"


def severed(call: TracedCall, leaves: Iterable[str]) -> Blame:
    """Return the blame of a call that cuts the path to some leaves."""
    cut = listed(sorted(leaves))
    if call.hidden:
        read = call.hidden[0]
        operation = f"{call.operation.removesuffix('.apply')}.forward"
        what = f"reads {cut or 'a tensor'} without receiving it as an argument: it gets no gradient from here"
        return blame(operation, read.place, what + called(call.place))
    to = f" to {cut}" if cut else ""
    if call.rewrapped:
        how = "uses a new leaf (nn.Parameter) made of a tensor of the graph"
        return blame(call.operation, call.place, f"cuts the gradient{to}: it {how}")
    if call.unrecorded:
        how = "changes a tensor of the graph in place, and autograd does not know of it"
        return blame(call.operation, call.place, f"{how}: the gradient{to} misses the change")
    if not call.grad_mode:
        return blame(call.operation, call.place, f"cuts the gradient{to}: it {WITHOUT_GRAD}")
    if call.user_defined:
        what = f"cuts the gradient{to}: a result is marked non-differentiable"
        return blame(backward_name(call), call.backward or call.place, what + called(call.place))
    kind = "a Python or NumPy value" if call.severed_value else "a tensor without history"
    what = f"cuts the gradient{to}: it returns {kind}, and the outputs depend on it"
    return blame(call.operation, call.place, what)


def hook(watched: WatchedHook) -> Blame:
    """Return the blame of a hook that puts another gradient in the place of the right one."""
    if watched.kind == "checkpoint":
        return checkpoint(watched.attached)
    if watched.kind == "saved tensors":
        message = "tensors saved for the backward pass come back changed"
        return blame("saved_tensors_hooks", watched.attached, message)
    owner = watched.kind.removesuffix(" pre")
    owner = {"node": "a grad_fn", "leaf": "a leaf"}.get(owner, f"a {owner}")
    attached = f"; attached{at(watched.attached)}"
    if watched.attached is None or watched.attached == watched.place:
        attached = f"; defined{at(watched.place)}" if watched.place else ""
    message = f"a backward hook on {owner} alters the gradient that passes through{attached}"
    return blame(f"hook {watched.name}", watched.place or watched.attached, message)


def checkpoint(place: Place | None) -> Blame:
    """Return the blame of an activation checkpoint."""
    message = "the forward pass that is computed again in the backward pass differs from the first"
    return blame("torch.utils.checkpoint", place, message)


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
