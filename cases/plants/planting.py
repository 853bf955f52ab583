"""What a planting is: it finds an operation its operands in a growing graph, and applies it."""

from __future__ import annotations

from collections.abc import Callable

from cases.operands import Growing

# Returns the name of the node; raises Unsuitable where nothing fits.
Planting = Callable[[Growing], str]
