"""Every checker passes a right gradient and catches a wrong one, asked as the benchmarks ask it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from benchmarks.pairs import of_program
from benchmarks.peers import CAUGHT, NOT_TAKEN, PASSED, PEERS, ask
from benchmarks.sections.power import sine
from cases.programs import MISTAKES, program

NEEDS = {"JAX": "jax", "HIPS autograd": "autograd", "scipy": "scipy", "numdifftools": "numdifftools"}
SUFFICES = {"gradcheck", "scipy", "HIPS autograd"}  # for an error of one part in ten thousand


@pytest.fixture(params=PEERS, ids=lambda peer: peer.name)
def peer(request):
    needed = NEEDS.get(request.param.name)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return request.param


def test_a_right_gradient_passes(peer):
    assert ask(peer, sine(8, lambda g: g, 0)).outcome == PASSED


def test_a_doubled_gradient_is_caught(peer):
    assert ask(peer, sine(8, lambda g: 2 * g, 0)).outcome == CAUGHT


def test_a_small_error_tells_them_apart(peer):
    found = ask(peer, sine(8, lambda g: g * (1 + 1e-4), 0)).outcome
    if peer.name in SUFFICES:
        assert found == CAUGHT
    if peer.name in ("torch slow", "torch fast", "hand-rolled"):
        assert found == PASSED


def test_every_parameter_is_checked(peer):
    mistake = next(m for m in MISTAKES if (m.program, m.kind, m.at) == ("mlp_squared", "transposed", "W3"))
    assert ask(peer, of_program(mistake.plant(), mistake)).outcome == CAUGHT


def test_what_is_too_large_is_not_taken():
    limited = next(peer for peer in PEERS if peer.name == "numdifftools")
    assert ask(limited, sine(limited.most + 1, lambda g: g, 0)).outcome == NOT_TAKEN


def test_a_program_as_a_pair_is_the_same_function():
    made = program("mlp_logistic")
    pair = of_program(made)
    assert pair.loss(*pair.arrays) == pytest.approx(float(made.loss(made.params)))
    by_name = made.gradient(made.params)
    np.testing.assert_array_equal(pair.gradient(*pair.arrays)[0], by_name["layers"][0]["W"])
