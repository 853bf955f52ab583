"""Before an entry is called wrong it is looked at with other steps, and at points nearby."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plain_subject import TOLERANCE, Plain, examined, squares

from gradcheck.confirmation import confirm
from gradcheck.locate import examine


def confirmed(subject, change=None, name="x"):
    exam, pulled = examined(subject)
    entries = examine(exam, pulled, name, np.arange(exam.values[name].size), exact=True)
    entries = change(entries) if change else entries
    wrong = np.flatnonzero(entries.discrepancy > entries.uncertainty + 1e-6)
    assert wrong.size
    largest = float(np.abs(pulled.gradients[name]).max(initial=0))
    return confirm(exam, pulled, name, entries, wrong, TOLERANCE, largest)


def product_with_sign(claimed):
    """Return x sign(y) at y = 0: smooth along x, with derivatives from -1 to 1 all around."""
    return Plain(
        {"x": np.array([1.5]), "y": np.zeros(1)},
        lambda x, y: [x * np.sign(y)],
        lambda us, x, y: {"x": claimed * us[0], "y": np.zeros(1)},
    )


@pytest.mark.parametrize("error", [1.0, 1e-4])
def test_an_error_on_smooth_ground_stands(error):
    off = np.zeros(6)
    off[2] = error
    assert confirmed(squares({"x": np.linspace(1, 2, 6)}, {"x": off})) == "wrong"


@pytest.mark.parametrize(
    ("claimed", "outcome"), [(1.0, "kink"), (-0.5, "kink"), (0.9, "kink"), (3.0, "wrong"), (-2.0, "wrong")]
)
def test_where_derivatives_jump_nearby_anything_between_them_is_a_subgradient(claimed, outcome):
    assert confirmed(product_with_sign(claimed)) == outcome


def test_a_discrepancy_that_another_step_does_not_show_is_unclear():
    def blurred(entries):
        return replace(entries, expected=entries.expected + 0.1)

    assert confirmed(squares({"x": np.linspace(1, 2, 3)}), blurred) == "unclear"


def test_one_entry_that_is_wrong_outweighs_others_at_kinks():
    subject = Plain(
        {"x": np.array([1.5, 2.0]), "y": np.zeros(1)},
        lambda x, y: [x * np.array([np.sign(y[0]), 1.0])],
        lambda us, x, y: {"x": us[0] * np.array([1.0, 1.3]), "y": np.zeros(1)},
    )
    assert confirmed(subject) == "wrong"


def test_a_complex_entry_has_no_way_out_at_a_kink():
    z = np.array([1 + 1j])
    assert confirmed(Plain({"x": z}, lambda x: [2 * x], lambda us, x: {"x": 3 * us[0]})) == "wrong"
