"""Nested parameters and their names, both ways."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.subjects.structure import flatten, rebuild

Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Layer:
    W: Any
    b: Any = None


TREE = {
    "W1": np.ones(2),
    "layers": [{"W": 1.0, "b": 2.0}, Layer(3.0)],
    "pair": Pair(4.0, (5.0,)),
    "fc.weight": 6.0,
    "two words": 7.0,
    3: 8.0,
}
NAMES = [
    "W1",
    "layers[0].W",
    "layers[0].b",
    "layers[1].W",
    "pair.left",
    "pair.right[0]",
    "fc.weight",
    '["two words"]',
    "[3]",
]


def test_leaves_are_named_by_their_path():
    assert list(flatten(TREE)) == NAMES


def test_a_bare_leaf_and_bare_sequences_have_names_too():
    assert list(flatten(np.ones(2))) == ["params"]
    assert list(flatten([1.0, (2.0, 3.0)])) == ["[0]", "[1][0]", "[1][1]"]


def test_rebuilding_keeps_containers_and_replaces_leaves():
    leaves = {name: i for i, name in enumerate(NAMES)}
    built = rebuild(TREE, leaves)
    assert flatten(built) == leaves
    assert isinstance(built["pair"], Pair)
    assert isinstance(built["layers"][1], Layer)
    assert built["layers"][1].b is None
    assert TREE["layers"][0]["W"] == 1.0, "the original is left alone"


def test_rebuilding_with_no_leaves_copies_the_containers_only():
    built = rebuild(TREE, {})
    assert built["layers"] is not TREE["layers"]
    assert built["W1"] is TREE["W1"]


def test_special_mappings_stay_what_they_are():
    tree = OrderedDict(b=1.0, a=2.0)
    built = rebuild(tree, {"a": 3.0})
    assert isinstance(built, OrderedDict)
    assert list(built.items()) == [("b", 1.0), ("a", 3.0)]


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(UsageError, match=r"Two parameters are called a\.b"):
        flatten({"a": {"b": 1.0}, "a.b": 2.0})


class Weights(NamedTuple):
    W: np.ndarray
    b: np.ndarray


@dataclass
class Activated:
    W: np.ndarray
    b: np.ndarray
    activation: str = "tanh"


@pytest.mark.parametrize(
    "params", [Weights(np.ones((2, 3)), np.ones(3)), Activated(np.ones((2, 3)), np.ones(3))]
)
@pytest.mark.parametrize("form", [tuple, list, "same"])
def test_fields_are_given_by_name_or_in_order_and_text_beside_them_has_no_gradient(params, form):
    def loss(p):
        return np.sum(np.tanh(p.W) ** 2) + np.sum(p.b**2)

    def gradient(p, b=2.0):
        both = 2 * np.tanh(p.W) * (1 - np.tanh(p.W) ** 2), b * p.b
        return type(p)(*both) if form == "same" else form(both)

    assert gradcheck.verify(loss, params, gradient=gradient).ok
    wrong = gradcheck.verify(loss, params, gradient=lambda p: gradient(p, b=1.0))
    assert [name for name, result in wrong.parameters.items() if result.verdict == "fail"] == ["b"]
