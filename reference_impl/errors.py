"""What can be wrong with a graph, one class each, so that a caller can tell them apart without reading."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GraphError(ValueError):
    """A graph cannot be built. The sentence names the node and ends in the next action."""


class UnknownOperation(GraphError):
    """A node's operation is not in the table of rules."""


class WrongArity(GraphError):
    """A node has too few or too many inputs for its operation."""


class WrongAttribute(GraphError):
    """A node's attribute is not one of its operation's, is missing, or has a value it cannot have."""


class ShapeMismatch(GraphError):
    """A node's inputs have shapes that its operation cannot take."""


class Cycle(GraphError):
    """A node's value depends on itself."""


class MissingName(GraphError):
    """A name is read that no leaf and no node has."""


class DuplicateName(GraphError):
    """Two values have the same name."""


class UnusedValue(GraphError):
    """A node's value does not reach the output."""


class ValuesError(ValueError):
    """The values, cotangent or names handed to a pass do not fit its graph; the sentence names which."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the nearest of the known names, "" where none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=2)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
