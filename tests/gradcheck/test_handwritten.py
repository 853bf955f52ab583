"""Hand-written gradients: what is verified, and a message of its own for everything that users get wrong."""

from __future__ import annotations

import functools
import math
import random

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import TargetError, UsageError
from gradcheck.subjects.handwritten import HandWritten

X = np.random.default_rng(0).normal(size=(8, 3))
T = np.random.default_rng(1).normal(size=8)


def loss(params):
    return np.mean((X @ params["w"] + params["b"] - T) ** 2)


def gradient(params):
    error = 2 * (X @ params["w"] + params["b"] - T) / len(T)
    return {"w": X.T @ error, "b": error.sum()}


def params():
    return {"w": np.array([0.5, -1.0, 2.0]), "b": 0.3}


def finding(tried=loss, claimed=gradient, at=None):
    """Return the structural findings of a subject."""
    return HandWritten(tried, at or params(), gradient=claimed).structural_findings()


def changed(**changes):
    """Return a gradient with some keys changed; None removes a key."""

    def claimed(p):
        given = gradient(p) | changes
        return {key: value for key, value in given.items() if value is not Ellipsis}

    return claimed


def test_a_right_gradient_passes():
    report = gradcheck.verify(loss, params(), gradient=gradient)
    assert report.ok
    assert set(report.parameters) == {"w", "b"}
    assert report.name == "loss"


def test_value_and_gradient_together_pass():
    assert gradcheck.verify(loss, params(), value_and_gradient=lambda p: (loss(p), gradient(p))).ok


def test_value_and_gradient_alone_is_a_subject():
    subject = HandWritten(None, params(), value_and_gradient=lambda p: (loss(p), gradient(p)))
    assert subject.evaluate({})[0] == loss(params())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.longdouble])
def test_every_float_format_passes(dtype):
    start = {"w": params()["w"].astype(dtype), "b": dtype(0.3)}

    def typed(p):
        return {key: np.asarray(value, dtype=dtype) for key, value in gradient(p).items()}

    assert gradcheck.verify(loss, start, gradient=typed).ok


def test_python_numbers_stay_python_numbers():
    def of_number(p):
        assert type(p[0]) is float
        return math.exp(p[0]) * p[1]

    start = [0.5, 2.0]
    report = gradcheck.verify(of_number, start, gradient=lambda p: [math.exp(p[0]) * p[1], math.exp(p[0])])
    assert report.ok


def test_a_bare_array_is_a_parameter():
    assert gradcheck.verify(lambda w: np.sum(np.sin(w)), np.ones((2, 3)), gradient=np.cos).ok


def test_complex_parameters_follow_pytorch():
    z = np.array([1 + 2j, 0.5 - 1j])
    assert gradcheck.verify(lambda z: np.sum(np.abs(z) ** 2), z, gradient=lambda z: 2 * z).ok


def test_the_other_complex_convention_is_told_as_such():
    z = np.array([1 + 2j, 0.5 - 1j])
    report = gradcheck.verify(lambda z: np.sum(np.abs(z) ** 2), z, gradient=lambda z: 2 * z.conj())
    assert not report.ok
    assert "complex conjugate" in report.parameters["params"].diagnoses[0].message


def test_structures_of_every_kind_are_walked():
    start = {"layers": [{"W": X[:2].copy()}, (1.5, None)]}

    def nested(p):
        return np.sum(p["layers"][0]["W"] ** 2) * p["layers"][1][0]

    def claimed(p):
        W, c = p["layers"][0]["W"], p["layers"][1][0]
        return {"layers": [{"W": 2 * c * W}, (np.sum(W**2), None)]}

    report = gradcheck.verify(nested, start, gradient=claimed)
    assert report.ok
    assert list(report.parameters) == ["layers[0].W", "layers[1][0]"]


def test_user_code_never_sees_our_copies_twice():
    start = params()
    before = {key: np.copy(value) for key, value in start.items()}
    gradcheck.verify(loss, start, gradient=gradient)
    assert all(np.array_equal(start[key], before[key]) for key in before)


# --- the gradient's structure ---------------------------------------------------------------------


def test_a_missing_key_fails_with_a_suggestion():
    found = finding(claimed=lambda p: {"weight": np.ones(3), "b": gradient(p)["b"]})
    assert found["w"].kind == "severed"
    assert "no key 'w'" in found["w"].message
    report = gradcheck.verify(loss, params(), gradient=changed(w=...))
    assert report.parameters["w"].verdict == "fail"
    assert report.parameters["b"].verdict == "pass"


def test_a_nearly_right_key_is_suggested():
    start = {"weights": params()["w"], "b": 0.3}
    subject = HandWritten(
        lambda p: loss({"w": p["weights"], "b": p["b"]}),
        start,
        gradient=lambda p: {"weigths": X[0], "b": 0.0},
    )
    assert "did you mean 'weigths'?" in subject.structural_findings()["weights"].message


def test_further_keys_are_left_aside_with_a_note():
    subject = HandWritten(loss, params(), gradient=changed(cache=X))
    assert subject.structural_findings() == {}
    assert subject.notes == ("the gradient has keys that are no parameters, left aside: 'cache'",)


@pytest.mark.parametrize("form", ["d{}", "grad_{}", "{}_grad"])
def test_keys_as_courses_write_them_are_understood(form):
    def claimed(p):
        return {form.format(key): value for key, value in gradient(p).items()}

    assert gradcheck.verify(loss, params(), gradient=claimed).ok


def test_a_tuple_in_the_order_of_the_parameters_is_understood():
    subject = HandWritten(loss, params(), gradient=lambda p: tuple(gradient(p).values()))
    assert subject.structural_findings() == {}
    assert "taken in the order w, b" in subject.notes[0]


def test_a_lone_array_for_a_lone_parameter_is_understood():
    assert gradcheck.verify(lambda p: np.sum(p["w"] ** 2), {"w": X}, gradient=lambda p: 2 * p["w"]).ok


def test_none_is_no_gradient():
    found = finding(claimed=changed(w=None))
    assert found["w"].kind == "severed"
    assert "None" in found["w"].message


def test_a_short_list_leaves_the_rest_without_gradient():
    subject = HandWritten(lambda p: p[0] * p[1], [1.0, 2.0], gradient=lambda p: [p[1]])
    assert "has 1 items, not 2" in subject.structural_findings()["[1]"].message


def test_a_transposed_shape_is_a_finding():
    start = {"W": np.ones((3, 2))}
    found = finding(lambda p: np.sum((X @ p["W"]) ** 2), lambda p: {"W": (2 * X.T @ X @ p["W"]).T}, start)
    assert found["W"].kind == "shape"
    assert found["W"].message == "W has shape (3, 2), its gradient (2, 3): is it transposed?"


def test_a_broadcast_shape_is_a_finding():
    found = finding(claimed=changed(w=np.ones((8, 3))))
    assert "is the sum over the broadcast axes forgotten?" in found["w"].message


def test_the_numbers_tell_what_a_wrong_shape_comes_from():
    def unsummed(p):
        error = 2 * (X @ p["w"] + p["b"] - T) / len(T)
        return {"w": X * error[:, None], "b": error.sum()}

    report = gradcheck.verify(loss, params(), gradient=unsummed)
    assert [d.kind for d in report.parameters["w"].diagnoses] == ["unreduced", "shape"]


def test_size_one_is_a_number_where_the_parameter_is_one():
    def claimed(p):
        return gradient(p) | {"b": np.array([[gradient(p)["b"]]])}

    assert gradcheck.verify(loss, params(), gradient=claimed).ok


def test_integer_gradients_are_pointed_out():
    subject = HandWritten(loss, params(), gradient=changed(w=np.zeros(3, dtype=int)))
    assert "integer type" in subject.notes[0]


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        (lambda p: None, "returned None: is its return statement missing"),
        (lambda p: {"v": 1.0}, "nothing that belongs to a parameter"),
        (lambda p: np.ones(4), "return the gradients in the same structure"),
        (lambda p: (1.0, 2.0, 3.0), "a tuple of 3"),
        (changed(w="steep"), "Expected numbers for the gradient of w but got str"),
        (lambda p: (loss(p), gradient(p)), "pass it as value_and_gradient="),
    ],
)
def test_gradients_that_cannot_be_used_are_refused(claimed, message):
    with pytest.raises(UsageError, match=message):
        finding(claimed=claimed)


# --- the loss and the parameters ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "message"),
    [
        (lambda p: (1.0, "cache"), "returned a tuple of 2, but a loss is one number"),
        (lambda p: (X @ p["w"]) ** 2, r"shape \(8,\), but a loss is one number: return its sum or its mean"),
        (lambda p: None, "return statement missing"),
        (lambda p: "low", "returned str"),
        (lambda p: np.sum(p["w"]) * 1j, "complex"),
        (lambda p: np.log(-np.sum(p["w"] ** 2)), "The loss is nan at the given parameters"),
        (lambda p: np.float64(1) / 0 * p["b"], "The loss is inf"),
    ],
)
def test_losses_that_are_none_are_refused(tried, message):
    with pytest.raises(UsageError, match=message):
        finding(tried)


def test_a_loss_of_one_entry_is_a_number():
    assert gradcheck.verify(lambda p: np.array([[loss(p)]]), params(), gradient=gradient).ok


def test_a_loss_that_reads_its_parameters_elsewhere_is_refused():
    fixed = params()
    with pytest.raises(UsageError, match="does not change however its argument is changed"):
        finding(lambda p: loss(fixed))


def test_a_flat_loss_with_zero_gradient_is_right():
    zero = {"w": np.zeros(3), "b": 0.0}
    assert gradcheck.verify(lambda p: 1.0, params(), gradient=lambda p: zero).ok


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"w": np.array([1, 2, 3]), "b": 0.3}, r"use w\.astype\(float\)"),
        ({"w": params()["w"], "b": 1}, "write it with a decimal point"),
        ({}, "There are no parameters"),
        ({"w": "steep"}, "Expected floating-point arrays as parameters but got str"),
        ({"w": np.array([1.0, np.nan, 0.0]), "b": 0.3}, "w holds NaN or infinity"),
    ],
)
def test_parameters_that_cannot_be_moved_are_refused(start, message):
    with pytest.raises(UsageError, match=message):
        finding(at=start) if start else HandWritten(loss, start, gradient=gradient)


def test_constants_among_the_parameters_are_left_alone():
    start = params() | {"power": 2, "name": "ridge"}
    report = gradcheck.verify(lambda p: loss(p) ** p["power"], start, gradient=lambda p: {
        key: 2 * loss(p) * g for key, g in gradient(p).items()
    })  # fmt: skip
    assert report.ok
    assert set(report.parameters) == {"w", "b"}


@pytest.mark.parametrize("given", [{}, {"gradient": gradient, "value_and_gradient": gradient}])
def test_exactly_one_gradient_is_wanted(given):
    with pytest.raises(UsageError, match="exactly one of gradient= and value_and_gradient="):
        HandWritten(loss, params(), **given)


def test_the_gradient_itself_is_no_function():
    with pytest.raises(UsageError, match="pass the function itself"):
        HandWritten(loss, params(), gradient=gradient(params()))


def test_two_different_losses_are_refused():
    with pytest.raises(UsageError, match="two different functions"):
        HandWritten(loss, params(), value_and_gradient=lambda p: (2 * loss(p), gradient(p)))


def test_value_and_gradient_that_is_no_pair_is_refused():
    with pytest.raises(UsageError, match="is to return a pair"):
        HandWritten(None, params(), value_and_gradient=gradient)


def test_what_the_users_code_raises_is_told_as_theirs():
    with pytest.raises(TargetError, match="The gradient function raised KeyError") as caught:
        finding(claimed=lambda p: p["missing"])
    assert isinstance(caught.value.__cause__, KeyError)


# --- calls that do more than compute --------------------------------------------------------------


def test_a_gradient_that_updates_its_parameters():
    def updating(p):
        g = gradient(p)
        p["w"] -= 0.1 * g["w"]
        return g

    found = finding(claimed=updating)
    assert found["w"].kind == "mutates"
    assert "by the gradient function" in found["w"].message
    assert "b" not in found


def test_a_loss_that_changes_its_parameters():
    def normalising(p):
        p["w"] /= np.linalg.norm(p["w"])
        return np.sum(np.exp(p["w"])) + p["b"]

    found = finding(normalising)
    assert found["w"].kind == "mutates"
    assert "by the loss" in found["w"].message


def test_data_changed_in_place_are_named_and_put_back():
    data = X.copy()

    def scaling(p):
        data[:] *= 1.1
        return np.sum((data @ p["w"]) ** 2) + p["b"]

    found = finding(scaling)
    assert found["w"].kind == "mutates"
    assert found["w"].message.startswith("data, which the loss uses, is changed in place")


def test_buffers_that_are_reused_are_no_mistake():
    buffer = np.zeros(3)

    def into_buffer(p):
        np.matmul(X.T, 2 * (X @ p["w"] + p["b"] - T) / len(T), out=buffer)
        return {"w": buffer, "b": gradient(p)["b"]}

    assert finding(claimed=into_buffer) == {}
    assert gradcheck.verify(loss, params(), gradient=into_buffer).ok


def test_a_gradient_that_accumulates():
    kept = {"w": np.zeros(3), "b": 0.0}

    def accumulating(p):
        for key, g in gradient(p).items():
            kept[key] = kept[key] + g
        return dict(kept)

    found = finding(claimed=accumulating)
    assert found["w"].kind == "accumulated"


def test_a_mask_drawn_from_an_unseen_generator():
    def dropping(p):
        return np.sum(np.random.default_rng().random(3) * p["w"]) + p["b"]

    found = finding(dropping)
    assert found["w"].kind == "nondeterministic"
    assert "The loss differs between two calls" in found["w"].message


def test_a_gradient_that_differs_from_call_to_call():
    found = finding(claimed=lambda p: gradient(p) | {"w": np.random.default_rng().random(3)})
    assert found["w"].kind == "nondeterministic"
    assert "b" not in found


GENERATOR = np.random.default_rng(3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.rand(3),  # noqa: NPY002 (what homework does)
        lambda: np.array([random.random() for _ in range(3)]),
        lambda: GENERATOR.random(3),
    ],
    ids=["numpy's global", "python's global", "a generator closed over"],
)
def test_random_masks_are_repeated(draw):
    def dropping(p):
        return np.sum((draw() > 0.5) * p["w"] ** 2) + p["b"]

    def claimed(p):
        return {"w": (draw() > 0.5) * 2 * p["w"], "b": 1.0}

    subject = HandWritten(dropping, params(), gradient=claimed)
    assert subject.structural_findings() == {}
    assert "random numbers are drawn" in subject.notes[0]
    assert gradcheck.verify(dropping, params(), gradient=claimed).ok


def test_the_users_random_state_is_left_alone():
    np.random.seed(5)  # noqa: NPY002 (the state that must survive)
    random.seed(5)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 (see above)
    gradcheck.verify(lambda p: loss(p) + 0 * np.random.rand(), params(), gradient=gradient)  # noqa: NPY002
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002 (see above)
    assert random.getstate() == before[1]


def test_a_gradient_may_use_what_the_loss_left_in_a_cache():
    cache = {}

    def remembering(p):
        cache["error"] = X @ p["w"] + p["b"] - T
        return np.mean(cache["error"] ** 2)

    def from_cache(p):
        error = 2 * cache["error"] / len(T)
        return {"w": X.T @ error, "b": error.sum()}

    assert gradcheck.verify(remembering, params(), gradient=from_cache).ok


# --- what is known of the surroundings ------------------------------------------------------------


def test_factors_are_named_from_what_the_loss_closes_over():
    x, t, strength = X.copy(), T.copy(), 0.25

    def ridge(p):
        return np.mean((x @ p["w"] - t) ** 2) + strength * np.sum(p["w"] ** 2)

    def summed(p):
        return {"w": 2 * x.T @ (x @ p["w"] - t) + 2 * strength * p["w"]}

    facts = HandWritten(ridge, {"w": params()["w"]}, gradient=summed).facts()
    assert facts.numbers["the length of t and x (the batch size?)"] == 8
    assert facts.numbers["strength"] == 0.25
    assert set(facts.arrays) == {"x", "t"}
    report = gradcheck.verify(ridge, {"w": params()["w"]}, gradient=summed)
    message = report.parameters["w"].diagnoses[0].message
    assert "8 is the length of t and x (the batch size?)" in message
    assert "0.25 is strength" in message


class Model:
    def __init__(self, x, scale=3.0):
        self.x, self.scale = x, scale

    def loss(self, p):
        return self.scale * np.sum((self.x @ p["w"]) ** 2)

    def gradient(self, p, again=0.5):
        return {"w": 2 * self.scale * self.x.T @ (self.x @ p["w"])}


def test_methods_partials_and_defaults_are_looked_into():
    model = Model(X)
    start = {"w": params()["w"]}
    subject = HandWritten(model.loss, start, gradient=functools.partial(model.gradient, again=0.7))
    facts = subject.facts()
    assert facts.numbers["scale"] == 3.0
    assert facts.numbers["again"] == 0.7
    assert np.array_equal(facts.arrays["x"], X)
    assert subject.name == "loss"


def test_the_format_of_the_loss_bounds_what_can_be_resolved():
    subject = HandWritten(lambda p: np.float32(loss(p)), params(), gradient=gradient)
    assert subject.epsilon == pytest.approx(1.2e-7, rel=0.01)
    assert subject.precision == pytest.approx(2.2e-16, rel=0.01)


def test_a_narrow_subject_has_a_double_twin():
    start = {"w": params()["w"].astype(np.float32), "b": 0.3}
    subject = HandWritten(loss, start, gradient=gradient)
    assert subject.dtypes == {"w": "float32", "b": "float64"}
    twin = subject.in_double()
    assert twin is not None
    assert twin.dtypes == {"w": "float64", "b": "float64"}
    assert twin.in_double() is None
