"""What a search for a slip is given, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gradcheck.diagnose.words import listing

Array = NDArray[Any]
Gradients = Mapping[str, Array | None]


class AnotherValueError(Exception):
    """The forward pass that comes with a gradient gives another value than it did."""


@dataclass(frozen=True)
class Rerun:
    """How a backward pass is run again.

    ``gradients`` runs it at the same point and returns what it claims, and may raise what it likes.
    ``forward`` runs the forward pass alone. None where the two are one function, and ``gradients`` then
    raises AnotherValueError where the value is another one. ``kept`` runs it, too, and says whether its value
    is the one that it was: what both passes run may then be changed as long as it is. None where it is not
    to be changed at all. ``restore`` puts back what a changed backward pass may have changed in place.
    ``elsewhere`` says whether the gradients of some parameters are about right at another point, too: what
    fits at one may do so by chance.
    """

    gradients: Callable[[], Gradients]
    forward: Callable[[], Any] | None
    kept: Callable[[], bool] | None = None
    restore: Callable[[], None] = lambda: None
    elsewhere: Callable[[Sequence[str]], bool] = lambda names: True


@dataclass(frozen=True)
class Slip:
    """A change, and the parameters that it makes ``right``; ``all`` that were wrong, or some of them.

    ``place`` is "net.py:14"; ``before`` and ``after`` are the code there; ``what`` says what differs.
    """

    place: str
    before: str
    after: str
    what: str
    right: tuple[str, ...]
    all: bool

    @property
    def change(self) -> str:
        """Say the change in one line."""
        return f"`{self.after}` instead of `{self.before}`"

    @property
    def note(self) -> str:
        """Say it of all gradients together."""
        which = "every gradient is right"
        if not self.all:
            one = len(self.right) == 1
            which = f"{self.right[0]}'s gradient is" if one else f"the gradients of {listing(self.right)} are"
            which += " right"
        return f"With one change {which}: at {self.place}, {self.change}; {self.what}?"

    def message(self, name: str) -> str:
        """Return what to say of one parameter's gradient."""
        return f"{name}'s gradient is right with {self.change}, at {self.place}: {self.what}?"
