"""Choices from a seed are the same everywhere, and cover what they are asked to cover."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from cases import ALL_FAMILIES, generate, to_json
from cases.choices import SeededChoices, bell, permutation

DIGEST = """
import hashlib, cases
for family in cases.ALL_FAMILIES:
    for seed in range(4):
        print(hashlib.sha256(cases.to_json(cases.generate(family, seed)).encode()).hexdigest())
"""
GOLDEN_INTEGERS = [705, 579, 327, 458, 738, 396]
GOLDEN_ARRAY = [-0.7442765294538012, 0.6303639161356198]


def test_the_raw_choices_never_change():
    choices = SeededChoices("dag", 7)
    assert [choices.integer(0, 999) for _ in range(6)] == GOLDEN_INTEGERS
    assert choices.array((2,), -1.0, 1.0).tolist() == GOLDEN_ARRAY


def test_another_process_with_another_hash_seed_makes_the_same_cases():
    expected = [
        hashlib.sha256(to_json(generate(family, seed)).encode()).hexdigest()
        for family in ALL_FAMILIES
        for seed in range(4)
    ]
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == expected


def test_the_order_of_generation_does_not_matter():
    later = [to_json(generate("dag", seed)) for seed in (3, 1, 2)]
    assert [to_json(generate("dag", seed)) for seed in (1, 2, 3)] == [later[1], later[2], later[0]]


def test_families_and_seeds_make_different_choices():
    drawn = {
        (family, seed): tuple(SeededChoices(family, seed).integer(0, 2**60) for _ in range(2))
        for family in ("dag", "gad", "mlp")
        for seed in range(20)
    }
    assert len(set(drawn.values())) == len(drawn)


def test_integers_reach_both_ends_and_no_further():
    choices = SeededChoices("test", 0)
    assert {choices.integer(-2, 2) for _ in range(200)} == {-2, -1, 0, 1, 2}
    assert set(choices.integers((200,), -2, 2).tolist()) == {-2, -1, 0, 1, 2}
    assert {choices.one_of("ab") for _ in range(50)} == {"a", "b"}
    assert {len(list(choices.repeat(1, 3))) for _ in range(50)} == {1, 2, 3}


def test_seeds_take_options_in_turn():
    drawn = [SeededChoices("test", seed).in_turn("abc") for seed in range(7)]
    assert "".join(drawn) == "abcabca"


def test_whose_turn_it_is_leaves_the_other_choices_alone():
    one, other = SeededChoices("test", 5), SeededChoices("test", 5)
    one.in_turn("abc")
    assert one.integer(0, 2**60) == other.integer(0, 2**60)


def test_probabilities_are_kept():
    choices = SeededChoices("test", 1)
    assert 0.17 < np.mean([choices.boolean(0.2) for _ in range(4000)]) < 0.23
    assert not any(choices.boolean(0.0) for _ in range(100))


def test_arrays_are_uniform_between_their_bounds():
    values = SeededChoices("test", 2).array((50, 100), -3.0, 1.0)
    assert values.min() >= -3.0
    assert values.max() < 1.0
    assert values.mean() == pytest.approx(-1.0, abs=0.06)
    assert values.dtype == np.float64


def test_arrays_without_entries_have_their_shape():
    choices = SeededChoices("test", 3)
    assert choices.array((2, 0, 3)).shape == choices.integers((2, 0, 3), 0, 1).shape == (2, 0, 3)


def test_bell_has_the_deviation_asked_for():
    values = bell(SeededChoices("test", 4), (20_000,), 0.5)
    assert values.std() == pytest.approx(0.5, rel=0.03)
    assert abs(values).max() <= 1.5


def test_permutations_are_permutations():
    choices = SeededChoices("test", 5)
    found = {permutation(choices, 3) for _ in range(100)}
    assert found == {(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)}
