"""The kinds of a record's fields, as its annotations name them."""

from __future__ import annotations

from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints


@cache
def hints(kind: type) -> dict[str, Any]:
    """Return the kind of each field of a dataclass."""
    return get_type_hints(kind)


def not_none(kind: Any) -> Any:
    """Return X of X | None."""
    (only,) = (of for of in get_args(kind) if of is not NoneType)
    return only


def item_kinds(kind: Any, length: int) -> list[Any]:
    """Return the kinds of a tuple's items; one of any length takes as many as asked for."""
    kinds = get_args(kind)
    return [kinds[0]] * length if len(kinds) == 2 and kinds[1] is Ellipsis else list(kinds)
