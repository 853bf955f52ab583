"""A returned gradient brought onto the parameters' names, however it was returned.

What can be read only one way is read, with a note: a tuple in the order of the parameters, keys "dW1" for
"W1". What cannot is no gradient for the parameter concerned, and the finding says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.report.words import with_article
from gradcheck.subjects.structure import ROOT, child_name, children, flatten
from gradcheck.suggest import did_you_mean

# How courses call the gradient of W in a dict of gradients.
_ALIASES = ("d{}", "grad_{}", "{}_grad", "g_{}", "dL_d{}", "grad{}")


@dataclass
class Matched:
    """``claims``: gradient by parameter name, None where there is none; ``problems``: why, by name."""

    claims: dict[str, NDArray[Any] | None] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def match(tree: Any, given: Any, leaves: Mapping[str, Any]) -> Matched:
    """Return the gradients of all leaves of a tree.

    Raises:
        UsageError: where nothing in ``given`` can be taken for the gradient of any parameter.
    """
    if given is None:
        raise UsageError("The gradient function returned None: is its return statement missing?")
    matched = Matched()
    names = [name for name, leaf in leaves.items() if _is_number(leaf)]
    if children(tree) is not None and not isinstance(given, Mapping) and not _alike(tree, given):
        _in_order(names, leaves, given, matched)
    else:
        _walk(tree, given, "", matched)
    if all(claim is None for claim in matched.claims.values()) and matched.problems:
        first = next(iter(matched.problems.values()))
        raise UsageError(f"The gradient function returned nothing that belongs to a parameter: {first}")
    return matched


def _alike(tree: Any, given: Any) -> bool:
    """Whether a gradient may be walked in parallel with the parameters: both have keys, or are sequences."""
    if _has_keys(tree):
        return _has_keys(given)
    return isinstance(given, list | tuple | np.ndarray | type(tree))


def _has_keys(tree: Any) -> bool:
    return isinstance(tree, Mapping) or hasattr(tree, "__dataclass_fields__") or hasattr(tree, "_fields")


def _is_number(leaf: Any) -> bool:
    """Whether a leaf may have a gradient: a name or a flag beside the parameters has none."""
    try:
        return np.asarray(leaf).dtype.kind in "fciu"
    except (ValueError, TypeError, RuntimeError):
        return True


def _in_order(names: list[str], leaves: Mapping[str, Any], given: Any, matched: Matched) -> None:
    """Take one array for the only parameter, or a sequence in the order of the parameters."""
    if len(names) == 1 and not isinstance(given, list | tuple):
        matched.claims[names[0]] = _array(names[0], leaves[names[0]], given, matched)
        return
    items = list(flatten(given).values()) if isinstance(given, list | tuple) else []
    if len(items) != len(names):
        raise UsageError(
            f"The gradient function returned {_describe(given)}, but the parameters are "
            f"{', '.join(names)}: return the gradients in the same structure as the parameters."
        )
    matched.notes.append(
        f"gradients were returned in {with_article(type(given).__name__)} and taken in the order "
        + ", ".join(names)
    )
    for name, item in zip(names, items, strict=True):
        matched.claims[name] = _array(name, leaves[name], item, matched)


def _describe(given: Any) -> str:
    if isinstance(given, list | tuple):
        return f"{with_article(type(given).__name__)} of {len(given)}"
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape}"
    return with_article(type(given).__name__)


def _walk(node: Any, given: Any, path: str, matched: Matched) -> None:
    inner = children(node)
    if inner is None:
        if node is not None:
            name = path or ROOT
            matched.claims[name] = _array(name, node, given, matched)
        return
    if given is None:
        _absent(node, path, f"{path or 'the gradient'} is None", matched)
    elif _has_keys(node):
        _walk_keys(inner, given, path, matched)
    else:
        _walk_items(inner, given, path, matched)


def _walk_keys(inner: Sequence[tuple[Any, Any]], given: Any, path: str, matched: Matched) -> None:
    pairs = children(given)
    if pairs is None or (isinstance(given, list | tuple) and not hasattr(given, "_fields")):
        for key, child in inner:
            reason = f"{path or 'the gradient'} is {_describe(given)} where the parameters have keys"
            _absent(child, child_name(path, key), reason, matched)
        return
    found, keys = dict(pairs), [key for key, _ in inner]
    for key, child in inner:
        name = child_name(path, key)
        used = key if key in found else _alias(key, found, keys)
        if used is None:
            hint = did_you_mean(str(key), [str(k) for k in found if k not in keys])
            reason = f"the gradient has no key {key!r}" + (f";{hint.replace(' Did', ' did')}" if hint else "")
            _absent(child, name, reason, matched)
            continue
        _walk(child, found.pop(used), name, matched)
    extra = [repr(key) for key in found if key not in keys]
    if extra:
        where = f" in {path}" if path else ""
        matched.notes.append(
            f"the gradient has keys that are no parameters{where}, left aside: {', '.join(extra[:8])}"
        )


def _alias(key: Any, found: Mapping[Any, Any], keys: Sequence[Any]) -> Any:
    """Return the key under which a course would file the gradient, if it is there and no parameter itself."""
    if not isinstance(key, str):
        return None
    for form in _ALIASES:
        if form.format(key) in found and form.format(key) not in keys:
            return form.format(key)
    return None


def _walk_items(inner: Sequence[tuple[Any, Any]], given: Any, path: str, matched: Matched) -> None:
    if (isinstance(given, np.ndarray) and given.ndim == 0) or not isinstance(
        given, list | tuple | np.ndarray
    ):
        for key, child in inner:
            reason = f"{path or 'the gradient'} is {_describe(given)} where the parameters are a sequence"
            _absent(child, child_name(path, key), reason, matched)
        return
    for key, child in inner:
        name = child_name(path, key)
        if key < len(given):
            _walk(child, given[key], name, matched)
        else:
            _absent(
                child, name, f"{path or 'the gradient'} has {len(given)} items, not {len(inner)}", matched
            )
    if len(given) > len(inner):
        matched.notes.append(
            f"{path or 'the gradient'} has {len(given)} items, of which {len(inner)} are used"
        )


def _absent(node: Any, path: str, reason: str, matched: Matched) -> None:
    for name in _leaf_names(node, path):
        matched.claims[name] = None
        matched.problems[name] = reason


def _leaf_names(node: Any, path: str) -> list[str]:
    inner = children(node)
    if inner is None:
        return [] if node is None else [path or ROOT]
    return [name for key, child in inner for name in _leaf_names(child, child_name(path, key))]


def _array(name: str, leaf: Any, given: Any, matched: Matched) -> NDArray[Any] | None:
    """Return a leaf's gradient as an array of its own."""
    if not _is_number(leaf):
        return None
    if given is None:
        matched.problems[name] = f"the gradient of {name} is None"
        return None
    try:
        array = np.array(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"The gradient of {name} cannot be read as an array: {error}.") from error
    if array.dtype.kind not in "fciub":
        raise UsageError(
            f"Expected numbers for the gradient of {name} but got {type(given).__name__}: return an array."
        )
    if np.ndim(leaf) == 0 and array.size == 1:
        array = array.reshape(())
    if array.dtype.kind in "iub":
        matched.notes.append(
            f"the gradient of {name} has the integer type {array.dtype}: are its digits cut off?"
        )
        array = array.astype(np.float64)
    if array.dtype.kind == "c" and not np.iscomplexobj(leaf):
        if array.imag.any():
            matched.notes.append(
                f"the gradient of {name} is complex, {name} is not: its real part is compared"
            )
        array = array.real.copy()
    return array
