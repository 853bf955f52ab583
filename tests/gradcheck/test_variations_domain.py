"""What inputs are by design is kept by variations; faults within the domain are found all the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from domain_programs import ROWS

import gradcheck
from gradcheck.variations import domain
from gradcheck.variations.names import ELSEWHERE


def _verify(make, wrong, **options):
    torch.manual_seed(0)
    return gradcheck.verify(*make(wrong), **options)


# What LAPACK makes of a matrix without full rank depends on where the matrix lies in memory.
SETTLED = [name for name in ROWS if name != "more equations than unknowns"]


@pytest.mark.parametrize("name", SETTLED)
def test_a_right_program_passes_where_its_inputs_have_a_domain(name):
    make, _ = ROWS[name]
    # an iteration of so many steps does not settle for numbers a thousand times as large
    settled = ELSEWHERE - {"large magnitudes"} if name == "two distributions" else True
    report = _verify(make, False, variations=settled)
    assert report.ok, str(report)


# Behind steps of its own the value of a bisection does not resolve a fault at another point.
@pytest.mark.parametrize("name", [name for name in SETTLED if name != "an end of a bracket"])
def test_a_fault_within_the_domain_is_caught_and_the_changed_inputs_are_named(name):
    make, needs = ROWS[name]
    report = _verify(make, True, variations={needs})
    (found,) = report.variations
    assert found.verdict == "fail", found.message
    assert "in inputs[" in found.message or "axes of" in found.message
    assert any("leave that out" in note for note in report.notes)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.eye(4)[[0, 2, 2]], "one-hot"),
        (np.array([[0.0, 1, 1], [1, 1, 0]]), "0 or 1"),
        (np.array([-1.0, 1, 1, -1]), "-1 or 1"),
        (np.array([[0.6, -0.8], [0.8, 0.6]]), "orthonormal"),
        (np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 2]]), "positive definite"),
        (np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]), "a distribution"),
        (np.array([[0.2, 0.1, 0.3], [0.1, 0.1, 0.2]]), "a distribution"),
        (np.array([[2, -2, 1], [2, 2, 1]]) / 3, "of length one"),
        (np.array([[2.0, 1, 0], [1, -3, 1], [0, 1, 2]]), "symmetric"),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        np.zeros_like,
        np.negative,
        lambda a: a * 1000,
        np.rint,
        lambda a: a * (np.arange(a.size).reshape(a.shape) % 3 > 0),
        lambda a: (
            np.concatenate([a, a[:1] * 1.1], 0) if a.shape[0] != a.shape[-1] else np.pad(a, (0, 1), "wrap")
        ),
    ],
)
def test_a_property_is_seen_and_kept_under_every_change(values, name, change):
    held = domain.held(values, np.finfo(float).eps)
    assert held[0].name == name
    kept = domain.keep(values, change(values), held, np.finfo(float).eps)
    if kept is None:  # a size at which it cannot be had
        assert change(values).shape != values.shape
    else:
        assert all(p.holds(kept, 1e-12) for p in held)


def test_ordinary_numbers_have_no_property_and_are_changed_as_asked():
    values = np.random.default_rng(0).normal(size=(5, 4))
    assert domain.held(values, 1e-16) == []
    np.testing.assert_array_equal(domain.keep(values, -values, [], 1e-16), -values)


def test_the_range_of_an_input_counts_where_nobody_differentiates_for_it():
    weights = np.array([0.3, 2.0, 0.7])
    assert domain.held(weights, 1e-16) == []
    seen = domain.held(weights, 1e-16, bystander=True)
    np.testing.assert_array_equal(domain.keep(weights, -weights, seen, 1e-16), weights)
    np.testing.assert_array_equal(domain.keep(weights, np.array([0.3, 0.0, 0.7]), seen, 1e-16), weights)


def test_the_sign_of_an_input_counts_where_others_beside_it_have_both():
    widths = np.array([0.3, 2.0, 0.7])
    (seen,) = domain.held(widths, 1e-16, singled_out=True)
    assert seen.name == "positive"
    np.testing.assert_array_equal(domain.keep(widths, -widths, [seen], 1e-16), widths)
    (seen,) = domain.held(-widths, 1e-16, singled_out=True)
    assert seen.name == "negative"
    for others in (np.ones(3), np.array([0.3, -1.0, 2.0]), np.array([0.0, 1.0, 2.0])):
        assert domain.held(others, 1e-16, singled_out=True) == []


def test_permutations_and_bounds_of_segments_stay_what_they_are():
    order, bounds = np.array([2, 0, 3, 1]), np.array([0, 3, 4, 7])
    np.testing.assert_array_equal(domain.keep_integers(order, np.zeros_like(order)), order)
    np.testing.assert_array_equal(domain.grown_permutation(order, 6), [2, 0, 3, 1, 4, 5])
    np.testing.assert_array_equal(domain.repeated(bounds), [0, 0, 0, 7])
    np.testing.assert_array_equal(domain.repeated(np.array([2, 0, 5])), [2, 2, 2])


class _OverZero(torch.autograd.Function):
    """x, scaled by a weight that is not differentiated; the slope is divided by the weight and multiplied."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        (w,) = ctx.saved_tensors
        return g * (w * w / w), None


def test_a_fault_at_zeros_of_an_input_that_is_not_differentiated_is_found_and_says_where():
    w = torch.tensor([0.3, -2.0, 0.7, 1.1], dtype=torch.float64)
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(_OverZero.apply, x, w, variations={"zeros"})
    (found,) = report.variations
    assert found.verdict == "fail"
    assert found.message.startswith("with zeros in inputs[1], the gradient of inputs[0] is wrong")


class _Clamped(torch.autograd.Function):
    """Clamped in single precision inside; the backward pass forgets the clamp."""

    @staticmethod
    def forward(ctx, x):
        return (x.float().clamp(-3, 3) * 1.1).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g * 1.1


def test_steps_of_single_precision_do_not_excuse_a_clamp():
    torch.manual_seed(0)
    report = gradcheck.verify(_Clamped.apply, torch.randn(5).requires_grad_())
    assert [v.name for v in report.variations if v.verdict == "fail"] == ["large magnitudes"]


def test_reasons_not_to_judge_are_said():
    def reason(name, variation, seed=0):
        torch.manual_seed(seed)
        (result,) = gradcheck.verify(*ROWS[name][0](False), variations={variation}).variations
        assert result.verdict != "fail"
        return result.message

    assert "blank, padding" in reason("labels beside a blank", "zero indices")
    assert "PyTorch's own gradient" in reason("equal eigenvalues", "zeros")
    assert "rounding of the inputs alone" in reason("a matrix of full rank", "zeros")
    assert "does not move there" in reason("an end of a bracket", "large magnitudes")
    assert "all have one sign" in reason("a root for positive numbers", "signs flipped", seed=2)


def test_jax_functions_keep_what_their_inputs_are():
    jax = pytest.importorskip("jax")

    def rule(backward):
        entropy = jax.custom_vjp(lambda z, t: -(t * jax.nn.log_softmax(z)).sum(-1))
        entropy.defvjp(lambda z, t: (entropy(z, t), (z, t)), backward)
        return entropy

    def right(kept, g):
        z, t = kept
        return g[:, None] * (jax.nn.softmax(z) - t), -g[:, None] * jax.nn.log_softmax(z)

    def wrong(kept, g):
        z, t = kept
        p = jax.numpy.exp(z) / jax.numpy.exp(z).sum(-1, keepdims=True)
        return g[:, None] * (p - t), -g[:, None] * jax.nn.log_softmax(z)

    z = jax.numpy.asarray(np.random.default_rng(0).normal(size=(3, 5)), np.float32)
    target = jax.numpy.eye(5, dtype=np.float32)[np.array([0, 2, 1])]
    inside = rule(right)
    chosen = {"zeros", "signs flipped", "large magnitudes", "other sizes"}
    assert gradcheck.verify(inside, z, target, variations=chosen).ok
    assert gradcheck.verify(lambda z: inside(z, target), z, variations={"other sizes"}).ok
    report = gradcheck.verify(rule(wrong), z * 8, target, variations={"large magnitudes"})
    assert report.verdict == "fail"
