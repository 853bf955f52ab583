"""At kinks of either sign right choices pass, whatever they make together; wrong ones beside them fail."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck import mixtures

SEEDS = range(8)


def relu_squares(random):
    """Return a relu of zeros: convex where the target is negative, concave where it is positive."""
    y = random.normal(size=4)
    return (
        lambda w: ((np.maximum(w, 0) - y) ** 2).sum(),
        np.zeros(4),
        lambda w: 2 * (np.maximum(w, 0) - y) * (w > 0),
    )


def weighed_absolutes(random):
    w = random.normal(size=5)
    return lambda x: (np.abs(x) * w).sum() + x.sum(), np.zeros(5), lambda x: np.sign(x) * w + 1


def black_image(random, mask=None):
    """Return a network with biases of zero and a row of zeros; ``mask`` alters where relu lets through."""
    x, y = random.normal(size=(5, 3)), random.normal(size=(5, 2))
    x[0] = 0

    def forward(p):
        s = x @ p["W"] + p["b"]
        return s, np.maximum(s, 0)

    def gradient(p):
        s, a = forward(p)
        passes = (s > 0) * 1.0
        if mask is not None:
            mask(passes)
        error = 2 * (a @ p["V"] - y) / y.size
        d = error @ p["V"].T * passes
        return {"W": x.T @ d, "b": d.sum(0), "V": a.T @ error}

    params = {"W": random.normal(size=(3, 6)), "b": np.zeros(6), "V": random.normal(size=(6, 2))}
    return lambda p: ((forward(p)[1] @ p["V"] - y) ** 2).mean(), params, gradient


def untrained(random):
    """Return a network of zeros: every unit's kink is felt by every sample, each in another direction."""
    x, y, v = random.normal(size=(20, 4)), random.normal(size=(20, 2)), random.normal(size=(5, 2))

    def gradient(p):
        s = x @ p["W"] + p["b"]
        d = 2 * (np.maximum(s, 0) @ v - y) / y.size @ v.T * (s > 0)
        return {"W": x.T @ d, "b": d.sum(0)}

    params = {"W": np.zeros((4, 5)), "b": np.zeros(5)}
    return lambda p: ((np.maximum(x @ p["W"] + p["b"], 0) @ v - y) ** 2).mean(), params, gradient


def row_maxima(random, share=None):
    """Return maxima of ties, weighted with both signs; each entry gets ``share``, or the first gets all."""
    w = random.normal(size=3)

    def gradient(x):
        shares = np.eye(4)[x.argmax(1)] if share is None else np.full((3, 4), share)
        return shares * w[:, None]

    return lambda x: (x.max(1) * w).sum(), np.ones((3, 4)), gradient


def larger_of_two(random, share=None):
    """Return ties between two leaves, weighted with both signs."""
    w, a = random.normal(size=5), random.normal(size=5)
    first, second = (1.0, 0.0) if share is None else (share, share)

    def gradient(p):
        tied = p["a"] == p["b"]
        return {
            "a": w * np.where(tied, first, p["a"] > p["b"]),
            "b": w * np.where(tied, second, p["b"] > p["a"]),
        }

    return lambda p: (np.maximum(p["a"], p["b"]) * w).sum(), {"a": a, "b": a.copy()}, gradient


def sorted_ties(random, order=np.arange):
    u = random.normal(size=6)

    def gradient(x):
        g = np.zeros(6)
        g[order(6)] = u
        return g

    return lambda x: (np.sort(x) * u).sum(), np.full(6, 0.7), gradient


def kinks_of_two_leaves(random):
    y = random.normal(size=2)
    return (
        lambda p: sum(((np.maximum(p[k], 0) - y[i]) ** 2).sum() for i, k in enumerate("ab")),
        {k: np.zeros(3) for k in "ab"},
        lambda p: {k: 2 * (np.maximum(p[k], 0) - y[i]) * (p[k] > 0) for i, k in enumerate("ab")},
    )


def beside_a_tie(random, full, leaves=1):
    """Return kinks of either sign beside a maximum of ties, in one leaf or in two."""
    y, shares = random.normal(size=6), np.ones(3) if full else np.full(3, 1 / 3)

    def relus(w):
        return 2 * (np.maximum(w, 0) - y) * (w > 0)

    if leaves == 2:
        return (
            lambda p: ((np.maximum(p["w"], 0) - y) ** 2).sum() + p["x"].max(),
            {"w": np.zeros(6), "x": np.ones(3)},
            lambda p: {"w": relus(p["w"]), "x": shares},
        )
    return (
        lambda x: ((np.maximum(x[:6], 0) - y) ** 2).sum() + x[6:].max(),
        np.array([0.0] * 6 + [1.0] * 3),
        lambda x: np.concatenate([relus(x[:6]), shares]),
    )


def size_of_the_sum(random, claimed):
    return lambda x: abs(x.sum()), np.array([1.0, -1.0]), lambda x: np.asarray(claimed)


def of_an_active_row(passes):
    passes[1:, 0] = 1 - passes[1:, 0]


def too_steep_at_one_kink(passes):
    passes[0, 0] = 1.7


RIGHT = {
    "relu of zeros": relu_squares,
    "absolute values": weighed_absolutes,
    "a black image": black_image,
    "weights of zero": untrained,
    "maxima to the first": row_maxima,
    "maxima shared": lambda random: row_maxima(random, 1 / 4),
    "the larger of two, to the first": larger_of_two,
    "the larger of two, shared": lambda random: larger_of_two(random, 1 / 2),
    "sorted": sorted_ties,
    "sorted from the last": lambda random: sorted_ties(random, lambda n: np.arange(n)[::-1]),
    "two leaves": kinks_of_two_leaves,
    "beside a tie": lambda random: beside_a_tie(random, False),
    "beside a tie of another leaf": lambda random: beside_a_tie(random, False, 2),
    "the size of a sum": lambda random: size_of_the_sum(random, [0.3, 0.3]),
}
WRONG = {
    "mask of a unit at no kink": lambda random: black_image(random, of_an_active_row),
    "slope beyond one kink": lambda random: black_image(random, too_steep_at_one_kink),
    "maxima in full": lambda random: row_maxima(random, 1.0),
    "shares that add up to 2": lambda random: row_maxima(random, 1 / 2),
    "maxima to none": lambda random: row_maxima(random, 0.0),
    "both in full": lambda random: larger_of_two(random, 1.0),
    "beside a tie": lambda random: beside_a_tie(random, True),
    "beside a tie of another leaf": lambda random: beside_a_tie(random, True, 2),
    "signs of a sum apart": lambda random: size_of_the_sum(random, [1.0, -1.0]),
}


def all_notes(report):
    return [note for result in report.parameters.values() for note in result.notes]


def verdicts(program):
    """Return the seeds by verdict."""
    found = {}
    for seed in SEEDS:
        loss, params, gradient = program(np.random.default_rng(seed))
        report = gradcheck.verify(loss, params, gradient=gradient, seed=seed)
        found.setdefault(str(report.verdict), []).append(seed)
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_right_choices_at_kinks_pass_whatever_the_seed(name):
    assert verdicts(RIGHT[name]) == {"pass": list(SEEDS)}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_choices_fail_whatever_the_seed(name):
    assert verdicts(WRONG[name]) == {"fail": list(SEEDS)}


def test_what_choices_explain_is_said_in_a_note():
    loss, params, gradient = black_image(np.random.default_rng(1))
    reports = [gradcheck.verify(loss, params, gradient=gradient, seed=seed) for seed in SEEDS]
    assert any(mixtures.EXPLAINED in note for report in reports for note in all_notes(report))


def test_where_the_time_is_over_nobody_is_accused(monkeypatch):
    monkeypatch.setattr(mixtures, "_SECONDS", 0.0)
    loss, params, gradient = row_maxima(np.random.default_rng(0), 1.0)
    report = gradcheck.verify(loss, params, gradient=gradient)
    assert report.ok
    assert any(mixtures.OPEN in note for note in all_notes(report))
