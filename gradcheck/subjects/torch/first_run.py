"""The first run of a torch subject: whether it casts to narrower formats, or works in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.subjects.torch.backward import Run
from gradcheck.subjects.torch.widening import Widening, felt

if TYPE_CHECKING:
    from gradcheck.subjects.torch.subject import TorchSubject

# A point to look at casts from, which no narrow format holds: the golden ratio is the least rational number.
_NEARBY = 1 + 0.6180339887498949 * 2.0**-12
_ON_A_LEAF = "leaf Variable that requires grad"


def of(subject: TorchSubject, casts: Widening) -> Run:
    """Run forward under ``casts``, which end up active where the outputs feel them.

    Raises whatever the forward pass raises.
    """
    plain: Run | None = None
    try:
        plain = _possibly_on_copies(subject, casts)
    except Exception:
        if not (subject.double and casts.narrow):
            raise
    subject.learn_randomness()  # what this run has drawn the next ones must draw again
    if plain is None or (subject.double and casts.narrow and _feels(subject, casts)):
        casts.active = True
        plain = subject.run({}, track=True, under=casts)
        subject.learn_randomness()
    return plain


def _possibly_on_copies(subject: TorchSubject, casts: Widening) -> Run:
    """Run forward; where it changes an input in place, which no leaf admits, on copies of the inputs."""
    try:
        return subject.run({}, track=True, under=casts)
    except RuntimeError as error:
        if _ON_A_LEAF not in str(error):
            raise
    subject.on_copies = True
    run = subject.run({}, track=True, under=casts)
    subject.notes.append(
        "changes an input in place, which no leaf that requires grad admits: verified on a copy"
    )
    return run


def _feels(subject: TorchSubject, casts: Widening) -> bool:
    """Whether casts made wide change the outputs nearby: the leaves' own values may be narrow numbers."""
    nearby = {name: value * _NEARBY for name, value in subject.variables.items()}
    try:
        plain = subject.run(nearby, track=True, under=casts).outputs
        casts.active = True
        return felt(plain, subject.run(nearby, track=True, under=casts).outputs)
    except Exception:  # outside its domain a forward pass raises what it likes
        return False
    finally:
        casts.active = False
