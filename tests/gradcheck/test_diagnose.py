"""Each kind of mistake on plain arrays: found exactly, through noise, from a sample, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.diagnose import KINDS, Discrepancy, Facts, diagnose

RNG = np.random.default_rng(3)
TRUE = RNG.normal(size=(5, 5))
VALUE = RNG.normal(size=(5, 5))


def first(claimed, expected=TRUE, facts=None, **more):
    """Return the best diagnosis of one parameter called W, None where there is none."""
    more.setdefault("uncertainty", 1e-11)
    more.setdefault("value", VALUE if expected.shape == VALUE.shape else None)
    found = diagnose({"W": Discrepancy("W", claimed, expected, **more)}, facts)
    return next(iter(found.of("W")), None)


def _mask(claimed):
    return np.where(VALUE < 0, 0.0, claimed)


MISTAKES = {
    "severed": np.zeros_like,
    "sign": np.negative,
    "scale": lambda g: 0.3 * g,
    "transposed": np.transpose,
    "permuted": lambda g: g[::-1],
    "missing-term": lambda g: g - 0.1 * VALUE,
    "partial": lambda g: g * np.array([1, 1, 1, 1, 0])[:, None],
    "masked": _mask,
    "non-finite": lambda g: np.where(g > 1, np.nan, g),
    "precision": lambda g: g.astype(np.float32).astype(float),
    "unreduced": lambda g: np.stack([0.25 * g, 0.75 * g]),
    "shape": lambda g: g[:3],
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_is_named_and_explained(kind):
    diagnosis = first(MISTAKES[kind](TRUE))
    assert diagnosis.kind == kind
    assert diagnosis.kind in KINDS
    assert diagnosis.fit == 1.0
    assert "W" in diagnosis.message
    assert diagnosis.message.endswith((".", "?"))


@pytest.mark.parametrize("kind", [kind for kind in MISTAKES if kind != "precision"])
@pytest.mark.parametrize("noise", [1e-9, 1e-5])
def test_mistakes_are_named_through_noise_that_is_stated(kind, noise):
    claimed = MISTAKES[kind](TRUE)
    noisy = TRUE + noise * RNG.uniform(-1, 1, TRUE.shape)
    assert first(claimed, noisy, uncertainty=noise).kind == kind


@pytest.mark.parametrize("kind", ["severed", "sign", "scale", "transposed", "permuted", "missing-term"])
def test_a_sample_of_entries_is_enough(kind):
    examined = RNG.random(TRUE.shape) < 0.5
    expected = np.where(examined, TRUE, np.nan)
    assert first(MISTAKES[kind](TRUE), expected, examined=examined).kind == kind


def test_right_gradients_get_no_diagnosis():
    assert diagnose({"W": Discrepancy("W", TRUE, TRUE)}).parameters == {}


def test_rounding_within_the_uncertainty_gets_no_diagnosis():
    claimed = TRUE + 1e-9 * RNG.uniform(-1, 1, TRUE.shape)
    assert first(claimed, uncertainty=1e-9) is None
    assert first(claimed, uncertainty=1e-13) is not None


def test_an_error_within_the_tolerance_is_left_alone():
    assert first(TRUE + 1e-6, tolerance=1e-5) is None


def test_entries_not_examined_accuse_nobody():
    examined = np.zeros(TRUE.shape, dtype=bool)
    examined[0] = True
    claimed = TRUE.copy()
    claimed[1:] = 7.0
    assert first(claimed, examined=examined) is None


def test_unresolved_entries_accuse_nobody():
    uncertainty = np.full(TRUE.shape, 1e-11)
    uncertainty[2] = np.inf
    claimed = TRUE.copy()
    claimed[2] += 1
    assert first(claimed, uncertainty=uncertainty) is None


def test_empty_and_scalar_parameters_are_parameters_too():
    assert first(np.zeros((0, 3)), np.zeros((0, 3))) is None
    assert first(np.array(-2.0), np.array(2.0)).kind == "sign"
    assert first(np.array(1.234), np.array(2.0)).kind == "unexplained"


def test_nothing_fits_and_nothing_is_guessed():
    diagnosis = first(RNG.normal(size=TRUE.shape))
    assert diagnosis.kind == "unexplained"
    assert diagnosis.fit == 0.0
    assert "25 of 25 entries are off" in diagnosis.message
    assert sum(diagnosis.details["histogram"].values()) == 25


def test_random_errors_are_never_explained():
    for trial in range(60):
        rng = np.random.default_rng(trial)
        shape = [(4, 6), (7,), (3, 3), (2, 3, 4)][trial % 4]
        true, value = rng.normal(size=shape), rng.normal(size=shape)
        arrays = {"x": rng.normal(size=(8, shape[0])), "mask": rng.random(shape) > 0.5}
        numbers = {"the batch size": 8.0, "rate": 0.3}
        claimed = true + rng.normal(size=shape)
        found = first(claimed, true, Facts(numbers, arrays), value=value)
        assert found.kind == "unexplained", found


def test_an_unexplained_error_of_a_number_whose_square_vanishes_has_a_cosine():
    found = first(np.array(1.234), np.array(2e-200), uncertainty=1e-210)
    assert found.kind == "unexplained"
    assert found.details["cosine"] == pytest.approx(1.0)


def test_what_is_right_about_an_unexplained_error_is_said():
    moved = TRUE.copy()
    moved[0, 0] -= 0.25
    moved[3, 2] += 0.2
    moved[1, 4] += 0.05
    assert "sum over all entries is right" in first(moved).message


def test_a_parameter_that_the_loss_does_not_use_is_said_to_be_unused():
    diagnosis = first(TRUE, np.zeros_like(TRUE), value=None)
    assert "does not change with W" in diagnosis.message


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1 / 32, "1/32, and 32 is the batch size"),
        (32, "32 is the batch size"),
        (31 / 32, "31/32, and 32 is the batch size"),
        (32**0.5, "√32"),
        (2, "times the true one"),
        (-0.5, "1/2"),
        (1 / 320, "1/(32·10)"),
        (0.7, "(1 - 0.3), and 0.3 is the dropout rate"),
        (1 / 0.7, "1/(1 - 0.3)"),
        (np.pi, "π"),
        (5.0, "5 is the first axis of W"),
    ],
)
def test_factors_are_named_from_what_is_known(ratio, words):
    numbers = {"the batch size": 32, "the number of classes": 10, "the dropout rate": 0.3}
    diagnosis = first(ratio * TRUE, facts=Facts(numbers))
    assert diagnosis.kind == "scale"
    assert words in diagnosis.message
    assert diagnosis.details["ratio"] == pytest.approx(ratio)


def test_a_factor_that_nothing_known_explains_stays_a_number():
    diagnosis = first(0.7316 * TRUE, facts=Facts({"the batch size": 32}))
    assert diagnosis.message == "W's gradient is 0.7316 times the true one in all 25 entries."


def test_a_coarse_ratio_is_not_taken_for_a_rare_formula():
    noisy = TRUE * (1 + 0.02 * RNG.uniform(-1, 1, TRUE.shape))
    diagnosis = first(5.7 * TRUE, noisy, Facts({"the batch size": 32}), uncertainty=0.02 * np.abs(TRUE))
    assert diagnosis.kind == "scale"
    assert "√" not in diagnosis.message


def test_the_number_of_uses_explains_a_factor():
    diagnosis = first(TRUE / 3, facts=Facts(uses={"W": 3}))
    assert "3 is the number of places where W is used" in diagnosis.message


def test_a_known_part_of_the_gradient_is_missed():
    part = RNG.normal(size=TRUE.shape)
    diagnosis = first(TRUE - part, facts=Facts(terms={"W": {"from the decoder": part}}))
    assert diagnosis.kind == "missing-term"
    assert "from the decoder is missing" in diagnosis.message


def test_the_strength_of_a_missing_penalty_is_named():
    diagnosis = first(TRUE - 0.6 * VALUE, facts=Facts({"the weight decay": 0.3}))
    assert diagnosis.kind == "missing-term"
    assert "0.6 × W (2·0.3, and 0.3 is the weight decay) is missing" in diagnosis.message


def test_a_data_term_not_averaged_beside_a_right_penalty():
    data = TRUE - 0.1 * VALUE
    diagnosis = first(32 * data + 0.1 * VALUE, facts=Facts({"the batch size": 32, "decay": 0.1}))
    assert diagnosis.kind == "scale"
    assert "except for the term 0.1 × W (0.1 is decay), which is right" in diagnosis.message


def test_a_factor_per_column_is_traced_to_a_known_array():
    gain = RNG.uniform(1, 2, 5)
    diagnosis = first(TRUE / gain, facts=Facts(arrays={"gain": gain}))
    assert diagnosis.kind == "scale"
    assert "is a multiplication by gain missing?" in diagnosis.message


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / (1 - np.tanh(VALUE) ** 2), "1 - tanh(W)² (the derivative of tanh) is missing"),
        (1 / VALUE, "factor W is missing"),
        (np.exp(VALUE), "exp(W) too many"),
        ((1 - VALUE**2) / (1 - np.tanh(VALUE) ** 2), "at its input instead of its output?"),
    ],
)
def test_a_factor_that_varies_with_the_parameter(factor, words):
    diagnosis = first(factor * TRUE)
    assert diagnosis.kind == "scale"
    assert words in diagnosis.message


def test_simple_explanations_come_before_rearrangements():
    symmetric = TRUE + TRUE.T
    found = diagnose({"W": Discrepancy("W", -symmetric.T, symmetric, 1e-11)})
    assert found.of("W")[0].kind == "sign"


def test_a_transpose_with_a_factor_is_still_a_transpose():
    diagnosis = first(TRUE.T / 32, facts=Facts({"the batch size": 32}))
    assert diagnosis.kind == "transposed"
    assert "32 is the batch size" in diagnosis.message


def test_a_wrong_shape_that_holds_the_transpose():
    wide = RNG.normal(size=(3, 7))
    found = diagnose({"W": Discrepancy("W", wide.T, wide, 1e-11)})
    assert [d.kind for d in found.of("W")] == ["transposed", "shape"]


def test_a_weight_used_untransposed_in_the_backward_pass():
    weight, cotangent = RNG.normal(size=(4, 4)), RNG.normal(size=(6, 4))
    claimed, true = cotangent @ weight, cotangent @ weight.T
    found = diagnose({"x": Discrepancy("x", claimed, true, 1e-11)}, Facts(arrays={"W2": weight}))
    assert found.of("x")[0].kind == "transposed"
    assert "W2" in found.of("x")[0].message


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (np.s_[-1], "the last row"),
        (np.s_[0], "the first row"),
        (np.s_[:, 2], "the column 2"),
        (np.s_[2:], "the rows from 2 on"),
        (np.s_[[0, 3]], "the rows 0 and 3"),
        (np.s_[1:3, 4], "the last column of the rows 1 to 2"),
        (np.s_[3, 1], "one entry, [3, 1]"),
        (np.s_[[1, 4]], "the rows 1 and 4"),
    ],
)
def test_regions_are_described_as_a_reader_would(region, words):
    claimed = TRUE.copy()
    claimed[region] *= 0.5
    diagnosis = first(claimed, value=None)
    assert diagnosis.kind == "partial"
    assert f"wrong only in {words} (" in diagnosis.message
    assert "0.5 times the true one: 1/2" in diagnosis.message


def test_a_tail_in_memory_order():
    claimed = TRUE.copy().reshape(-1)
    claimed[17:] = 0
    diagnosis = first(claimed.reshape(5, 5), value=None)
    assert "the tail, from entry 17 of 25 on" in diagnosis.message


def test_a_triangle():
    assert "above the diagonal" in first(np.tril(TRUE), value=None).message


def test_zero_rows_of_the_true_gradient_tell_nothing_about_a_region():
    true = TRUE.copy()
    true[1] = 0
    assert first(2 * true, true, value=None).kind == "scale"


def test_a_bound_is_named_where_one_separates_wrong_from_right():
    claimed = np.where(np.abs(VALUE) > 1, -TRUE, TRUE)
    diagnosis = first(claimed)
    assert diagnosis.kind == "masked"
    assert "where |W| is above 1 " in diagnosis.message


def test_a_mask_given_as_a_fact_is_recognised():
    mask = RNG.random(TRUE.shape) > 0.4
    true = TRUE * mask
    diagnosis = first(TRUE, true, Facts(arrays={"mask": mask}), value=None)
    assert diagnosis.kind == "masked"
    assert "mask is False" in diagnosis.message


def test_a_clipped_gradient():
    diagnosis = first(np.clip(TRUE, -0.5, 0.5), value=None)
    assert diagnosis.kind == "masked"
    assert "cut off at ±0.5" in diagnosis.message


def test_a_sample_left_out_is_recognised_by_its_input():
    x, deltas = RNG.normal(size=(12, 6)), RNG.normal(size=(12, 5))
    found = diagnose(
        {"W": Discrepancy("W", x[:-1].T @ deltas[:-1], x.T @ deltas, 1e-11)}, Facts(arrays={"x": x})
    )
    assert found.of("W")[0].kind == "partial"
    assert "the last of the 12 along the first axis of x" in found.of("W")[0].message


def test_a_use_of_a_shared_weight_left_out_shows_in_the_rank():
    one = RNG.normal(size=(8, 2)) @ RNG.normal(size=(2, 9))
    other = RNG.normal(size=(8, 2)) @ RNG.normal(size=(2, 9))
    found = diagnose({"W": Discrepancy("W", one, one + other, 1e-11)})
    assert found.of("W")[0].kind == "missing-term"
    assert "lacks a sum of 2 outer products" in found.of("W")[0].message


def test_repeated_indices_are_recognised():
    tokens = np.array([0, 1, 1, 3, 4, 4, 4])
    claimed = TRUE.copy()
    claimed[[1, 4]] = RNG.normal(size=(2, 5))
    diagnosis = first(claimed, facts=Facts(arrays={"tokens": tokens}), value=None)
    assert diagnosis.kind == "partial"
    assert "occur more than once in tokens" in diagnosis.message


def test_rows_exchanged_are_listed():
    diagnosis = first(TRUE[[0, 3, 2, 1, 4]], value=None)
    assert diagnosis.kind == "permuted"
    assert "the true 1 is given at 3" in diagnosis.message


def test_a_reversal_along_all_axes_is_a_flipped_kernel():
    kernel = RNG.normal(size=(4, 2, 3, 3))
    found = diagnose({"kernel": Discrepancy("kernel", kernel[:, :, ::-1, ::-1], kernel, 1e-11)})
    assert found.of("kernel")[0].kind == "permuted"
    assert "is a kernel flipped" in found.of("kernel")[0].message


def test_a_complex_gradient_in_the_other_convention_is_told_as_such():
    true = TRUE + 1j * VALUE
    diagnosis = first(true.conj(), true, value=None)
    assert diagnosis.kind == "sign"
    assert diagnosis.details["conjugate"]
    assert "as JAX has it" in diagnosis.message


def test_a_complex_factor_and_a_lost_imaginary_part():
    true = TRUE + 1j * VALUE
    assert first(1j * true, true, value=None).kind == "scale"
    diagnosis = first(true.real + 0j, true, value=None)
    assert diagnosis.kind == "partial"
    assert "imaginary part" in diagnosis.message


def test_nan_at_zeros_of_the_parameter_is_a_division_by_it():
    value = VALUE.copy()
    value[0, :2] = 0
    claimed = np.where(value == 0, np.nan, TRUE)
    assert "exactly where W is 0" in first(claimed, value=value).message


def test_finite_entries_beside_nan_are_judged_as_well():
    claimed = -TRUE
    claimed[0, 0] = np.inf
    found = diagnose({"W": Discrepancy("W", claimed, TRUE, 1e-11)})
    assert [d.kind for d in found.of("W")][:2] == ["non-finite", "sign"]


@pytest.mark.parametrize("name", ["float32", "float16"])
def test_the_narrow_format_is_named(name):
    diagnosis = first(TRUE.astype(name).astype(float))
    assert diagnosis.details["format"] == name


def test_bfloat16_is_recognised():
    bits = TRUE.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    upper = bits.view(np.float32).astype(float)
    assert first(upper).details["format"] == "bfloat16"


def test_a_constant_in_single_precision():
    diagnosis = first(TRUE * (1 + 3e-8))
    assert diagnosis.kind == "precision"
    assert "a constant in it rounded to float32" in diagnosis.message


def test_a_tiny_but_structured_error_is_not_called_rounding():
    assert first(TRUE - 1e-8 * VALUE, uncertainty=1e-15).kind == "missing-term"


def test_a_narrow_gradient_of_a_narrow_parameter_is_right():
    value, claimed = VALUE.astype(np.float32), TRUE.astype(np.float32)
    assert first(claimed, value=value) is None


def test_the_second_call_shows_accumulation_even_where_the_first_is_right():
    diagnosis = first(TRUE, facts=Facts(second_call={"W": 2 * TRUE}))
    assert diagnosis.kind == "accumulated"
    diagnosis = first(TRUE + 1, facts=Facts(second_call={"W": 2 * TRUE + 1}))
    assert diagnosis.kind == "accumulated"
    assert "grown by the true gradient" in diagnosis.message


def test_two_calls_that_differ_are_nondeterministic():
    assert first(TRUE, facts=Facts(second_call={"W": TRUE + 0.1})).kind == "nondeterministic"
    assert first(TRUE, facts=Facts(second_call={"W": TRUE * (1 + 1e-15)})) is None


def test_a_changed_parameter_is_told_first():
    diagnosis = first(-TRUE, facts=Facts(changed={"W": "the gradient function"}))
    assert diagnosis.kind == "mutates"
    assert "changed in place by the gradient function" in diagnosis.message


def test_no_gradient_at_all_is_severed():
    diagnosis = first(None)
    assert diagnosis.kind == "severed"
    assert "No gradient was given for W" in diagnosis.message


def test_a_sum_too_many_broadcast_back():
    claimed = np.broadcast_to(TRUE.sum(0), TRUE.shape)
    diagnosis = first(claimed, value=None)
    assert diagnosis.kind == "unreduced"
    assert diagnosis.details == {"axes": (0,), "reduction": "sum"}


def test_a_forgotten_mean_term_is_constant_along_its_axis():
    claimed = TRUE + RNG.normal(size=(1, 5))
    diagnosis = first(claimed)
    assert diagnosis.kind == "missing-term"
    assert "the same along axis 0" in diagnosis.message


def test_a_large_gradient_is_diagnosed_in_reasonable_time():
    true = np.random.default_rng(0).normal(size=(600, 500))
    examined = np.random.default_rng(1).random(true.shape) < 0.001
    assert first(true / 32, true, Facts({"the batch size": 32}), examined=examined).kind == "scale"


def test_every_second_row_of_many():
    true = RNG.normal(size=(8, 3))
    claimed = true.copy()
    claimed[::2] = 0
    assert "every second row from 0 on" in first(claimed, true).message


def test_a_wrong_sign_beside_a_right_penalty():
    diagnosis = first(-(TRUE - 0.1 * VALUE) + 0.1 * VALUE, facts=Facts({"decay": 0.1}))
    assert diagnosis.kind == "sign"
    assert "except for the term 0.1 × W (0.1 is decay), which is right" in diagnosis.message


def test_a_penalty_that_lost_its_parameter():
    diagnosis = first(TRUE - 0.1 * VALUE + 0.1, facts=Facts({"decay": 0.1}))
    assert diagnosis.kind == "missing-term"
    assert "is W forgotten as a factor?" in diagnosis.message


def test_targets_that_enter_with_the_wrong_sign_show_in_a_bias():
    t, true = RNG.normal(size=(10, 4)), RNG.normal(size=4)
    found = diagnose({"b": Discrepancy("b", true + 0.2 * t.sum(0), true, 1e-11)}, Facts(arrays={"t": t}))
    assert found.of("b")[0].kind == "missing-term"
    assert "sum of t over its first axis" in found.of("b")[0].message


def test_products_of_data_are_recognised():
    x, t, true = RNG.normal(size=(10, 3)), RNG.normal(size=10), RNG.normal(size=3)
    found = diagnose(
        {"w": Discrepancy("w", true + 0.4 * x.T @ t, true, 1e-11)}, Facts(arrays={"x": x, "t": t})
    )
    assert "0.4 × xᵀ t" in found.of("w")[0].message


def test_one_entry_of_a_million_is_described():
    true = np.random.default_rng(0).normal(size=(1000, 1000))
    claimed = true.copy()
    claimed[123, 45] *= 2
    diagnosis = first(claimed, true)
    assert diagnosis.kind == "partial"
    assert "one entry, [123, 45]" in diagnosis.message


def test_a_row_of_a_million_entries_is_described():
    true = np.random.default_rng(0).normal(size=(1000, 1000))
    claimed = true.copy()
    claimed[-1] = 0
    assert "the last row" in first(claimed, true).message


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1 / np.log(2), "is the factor ln 2 of a power of 2 forgotten?"),
        (np.log(2), "is the factor 1/ln 2 of a logarithm to base 2 forgotten?"),
        (1 / np.log(10), "is the factor ln 10 of a power of 10 forgotten?"),
        (np.log(10), "is the factor 1/ln 10 of a logarithm to base 10 forgotten?"),
    ],
)
def test_the_logarithm_that_is_forgotten_is_named(ratio, words):
    true = np.random.default_rng(0).normal(size=7)
    found = diagnose({"x": Discrepancy("x", ratio * true, true, 1e-12)}, Facts())
    assert found.headline.message.endswith(words)


def test_a_plain_fraction_is_not_made_of_a_length_by_coincidence():
    true = np.random.default_rng(0).normal(size=7)
    wrong = {"w": Discrepancy("w", 0.02 * true, true, 1e-12)}
    message = diagnose(wrong, Facts(arrays={"x": np.ones((25, 7))})).headline.message
    assert message == "w's gradient is 0.02 times the true one in all 7 entries."
    named = diagnose(wrong, Facts(numbers={"the batch size": 50})).headline.message
    assert "1/50, and 50 is the batch size" in named
