"""What several parameters tell together: one factor, exchanged gradients, and where the error enters."""

from __future__ import annotations

import numpy as np

from gradcheck.diagnose import Discrepancy, Facts, diagnose

RNG = np.random.default_rng(5)
SHAPES = {"W1": (3, 4), "b1": (4,), "W2": (4, 4), "b2": (4,), "W3": (4, 2)}
TRUE = {name: RNG.normal(size=shape) for name, shape in SHAPES.items()}
ORDER = tuple(SHAPES)


def found(changes, order=ORDER, numbers=None):
    discrepancies = {
        name: Discrepancy(name, changes.get(name, lambda g: g)(true), true, 1e-12)
        for name, true in TRUE.items()
    }
    return diagnose(discrepancies, Facts(numbers or {}, order=order))


def garbled(gradient):
    return gradient + np.random.default_rng(gradient.size).normal(size=gradient.shape)


def test_one_factor_upstream_is_told_once():
    told = found({name: lambda g: g / 8 for name in ("W1", "b1", "W2", "b2")}, numbers={"the batch size": 8})
    joint = told.joint[0]
    assert joint.kind == "scale"
    assert joint.details["parameters"] == ["W1", "b1", "W2", "b2"]
    assert "1/8, and 8 is the batch size" in joint.message
    assert "everything after b2 is right" in joint.message
    assert told.headline == joint


def test_one_factor_everywhere_is_in_the_loss():
    told = found(dict.fromkeys(ORDER, np.negative))
    assert told.headline.kind == "sign"
    assert "that is every parameter" in told.headline.message


def test_exchanged_gradients_are_one_finding():
    discrepancies = {
        "b1": Discrepancy("b1", TRUE["b2"], TRUE["b1"], 1e-12),
        "b2": Discrepancy("b2", TRUE["b1"], TRUE["b2"], 1e-12),
    }
    told = diagnose(discrepancies)
    assert [d.kind for d in told.joint] == ["swapped"]
    assert told.headline.message == "The gradients of b1 and b2 are exchanged."


def test_a_gradient_copied_from_another_parameter_is_not_an_exchange():
    discrepancies = {
        "b1": Discrepancy("b1", TRUE["b2"], TRUE["b1"], 1e-12),
        "b2": Discrepancy("b2", TRUE["b2"], TRUE["b2"], 1e-12),
    }
    told = diagnose(discrepancies)
    assert told.of("b1")[0].message == "b1's gradient is the true gradient of b2."
    assert told.joint == ()


def test_right_down_to_a_layer_says_where_the_error_enters():
    told = found({"W1": garbled, "b1": garbled, "W2": np.transpose})
    assert told.between == ("W2", "b2")
    assert told.profile.startswith("Right from the output down to b2, wrong from W2 on: the error enters")
    assert told.headline.kind == "transposed"


def test_a_wrong_parameter_before_right_ones_is_wrong_by_itself():
    told = found({"W2": np.transpose})
    assert told.between is None
    assert "Only W2 is wrong, while W1 and b1, further from the output, are right" in told.profile


def test_an_order_that_was_not_given_is_said_to_be_assumed():
    told = found({"W1": garbled, "b1": garbled}, order=())
    assert "in the order in which they are listed" in told.profile


def test_scattered_mistakes_have_no_profile():
    told = found({"W1": garbled, "W2": garbled, "W3": garbled})
    assert told.profile == ""
    assert told.between is None


def test_paths_cut_in_one_place():
    told = found({"W1": np.zeros_like, "b1": np.zeros_like})
    assert told.joint[0].kind == "severed"
    assert told.joint[0].details["parameters"] == ["W1", "b1"]


def test_nothing_wrong_tells_nothing():
    told = found({})
    assert (told.parameters, told.joint, told.between, told.profile, told.headline) == (
        {},
        (),
        None,
        "",
        None,
    )


def test_a_factor_that_an_input_shares_is_told_although_inputs_have_no_place_in_the_order():
    told = found({name: lambda g: g / 2 for name in ("W1", "b1")}, order=("W1", "b1", "W2"))
    assert "everything after b1 is right, so one factor enters there." in told.joint[0].message
    names = {"W3", "W1"}  # W3 stands for an input
    told = found({name: lambda g: g / 2 for name in names}, order=("W1", "b1", "W2"))
    assert set(told.joint[0].details["parameters"]) == names


def test_where_an_input_is_wrong_too_the_order_of_the_others_tells_nothing():
    changes = {"b1": garbled}
    assert found(changes, order=("W1", "b1", "W2")).profile.startswith("Only b1 is wrong")
    assert found({**changes, "W3": garbled}, order=("W1", "b1", "W2")).profile == ""
