"""Where in a file the reader is, so that everything it refuses is refused with the same kind of sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cases.record import CaseError

_SHOWN = 60


@dataclass(frozen=True)
class Place:
    """A value in a JSON document, its path as in JSONPath, and the name of the document."""

    source: str
    path: str
    value: Any

    def refuse(self, expected: str, action: str, got: str | None = None) -> CaseError:
        """Return the error for what is here: where, what was expected and found, and what to do."""
        shown = brief(self.value) if got is None else got
        return CaseError(f"{self.source}, at {self.path}: expected {expected} but got {shown}; {action}.")

    def key(self, name: str) -> Place:
        """Return the place of a key of the object here."""
        step = f".{name}" if re.fullmatch(r"\w+", name) else f"[{json.dumps(name)}]"
        return Place(self.source, self.path + step, self.value[name])

    def items(self) -> Iterator[Place]:
        """Yield the places in the list here."""
        for i, value in enumerate(self.value):
            yield Place(self.source, f"{self.path}[{i}]", value)

    def object(self) -> Mapping[str, Any]:
        """Return the object here, whatever its keys."""
        if not isinstance(self.value, dict):
            raise self.refuse("an object", "write one between braces")
        return self.value

    def record(self, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
        """Return the object here, which has all of the required keys and no unknown ones."""
        found = self.object()
        for name in required:
            if name not in found:
                raise self.refuse(f"the key {name!r}", "add it", f"only {listed(found)}")
        known = [*required, *optional]
        for name in found:
            if name not in known:
                near = get_close_matches(name, known, 1)
                action = f"did you mean {near[0]!r}" if near else "remove it"
                raise self.refuse(f"only {listed(known)}", action, f"the key {brief(name)}")
        return found

    def list(self) -> list[Any]:
        """Return the list here."""
        if not isinstance(self.value, list):
            raise self.refuse("a list", "write one between brackets")
        return self.value

    def text(self) -> str:
        """Return the string here."""
        if not isinstance(self.value, str):
            raise self.refuse("a string", "write it between quotes")
        return self.value

    def integer(self, least: int | None = None) -> int:
        """Return the integer here, which may have a least value."""
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not whole or (least is not None and self.value < least):
            wanted = "an integer" if least is None else f"an integer of at least {least}"
            raise self.refuse(wanted, "write one")
        return int(self.value)

    def boolean(self) -> bool:
        """Return the boolean here."""
        if not isinstance(self.value, bool):
            raise self.refuse("true or false", "write one of them")
        return self.value

    def shape(self) -> tuple[int, ...]:
        """Return the shape here: a list of lengths."""
        self.list()
        return tuple(length.integer(0) for length in self.items())


def brief(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def listed(names: Collection[str]) -> str:
    """Return names in quotes, or "none"."""
    return brief_list([repr(name) for name in names]) if names else "none"


def brief_list(parts: list[str], most: int = 12) -> str:
    """Return parts with commas between, the rest counted where they are many."""
    more = len(parts) - most
    return ", ".join(parts if more <= 0 else [*parts[:most], f"{more} more"])
