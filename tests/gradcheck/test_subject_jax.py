"""JAX functions as subjects of ``verify``: wrong rules are caught, right twins pass."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import TargetError, UsageError

pytest_plugins = ["pytester"]
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def normal(shape, seed=0, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def rule(forward, backward, keep=lambda *args: args):
    """Return ``forward`` with the rule ``backward(*kept, u)``; it keeps its arguments by default."""
    function = jax.custom_vjp(forward)
    function.defvjp(lambda *args: (forward(*args), keep(*args)), lambda kept, u: backward(*kept, u))
    return function


def dense(x, w, b):
    return x @ w + b


def mean(x):
    return jnp.mean(x, axis=0)


def softmax(x):
    return jax.nn.softmax(x, axis=-1)


def softmax_rule(x, u):
    y = softmax(x)
    return (y * (u - (u * y).sum(-1, keepdims=True)),)


def gather(table, index):
    return table[index]


def two(x):
    return jnp.sin(x), jnp.cos(x)


def rotate(z, w):
    return z * w


X, W, B = normal((4, 3)), normal((3, 5), 1), normal((5,), 2)
Z, V = normal((3,)) + 1j * normal((3,), 1), normal((3,), 2) + 1j * normal((3,), 3)
INDEX = jnp.array([0, 2, 1])
OFF = {"variations": False}


def only(*names):
    return {"variations": set(names)}


def scattered(table, index, u, how):
    return getattr(jnp.zeros_like(table).at[index], how)(u), None


# what is planted, the function, the wrong rule, the right one, arguments, options
FAULTS: dict[str, tuple[Any, ...]] = {
    "a sign": (jnp.sin, lambda x, u: (-jnp.cos(x) * u,), lambda x, u: (jnp.cos(x) * u,), (X,), OFF),
    "a mean not divided": (
        mean,
        lambda x, u: (jnp.broadcast_to(u, x.shape),),
        lambda x, u: (jnp.broadcast_to(u, x.shape) / x.shape[0],),
        (X,),
        OFF,
    ),
    "an omitted parameter": (
        dense,
        lambda x, w, b, u: (u @ w.T, None, u.sum(0)),
        lambda x, w, b, u: (u @ w.T, x.T @ u, u.sum(0)),
        (X, W, B),
        OFF,
    ),
    "a bias not summed": (
        dense,
        lambda x, w, b, u: (u @ w.T, x.T @ u, u),
        lambda x, w, b, u: (u @ w.T, x.T @ u, u.sum(0)),
        (X, W, B),
        OFF,
    ),
    "a transposed gradient": (
        lambda x, w: x @ w,
        lambda x, w, u: (u @ w.T, u.T @ x),
        lambda x, w, u: (u @ w.T, x.T @ u),
        (X, W),
        OFF,
    ),
    "a square one transposed": (
        lambda x, w: x @ w,
        lambda x, w, u: (u @ w.T, (x.T @ u).T),
        lambda x, w, u: (u @ w.T, x.T @ u),
        (X, normal((3, 3), 4)),
        OFF,
    ),
    "the diagonal of a softmax alone": (
        softmax,
        lambda x, u: (softmax(x) * (1 - softmax(x)) * u,),
        softmax_rule,
        (X,),
        OFF,
    ),
    "not a number": (
        lambda x: x**2,
        lambda x, u: (2 * x * u / jnp.where(x == X[0, 0], 0, 1) * jnp.where(x == X[0, 0], 0, 1),),
        lambda x, u: (2 * x * u,),
        (X,),
        OFF,
    ),
    "a swapped pair": (
        lambda x, y: x * y**2,
        lambda x, y, u: (2 * x * y * u, y**2 * u),
        lambda x, y, u: (y**2 * u, 2 * x * y * u),
        (X, normal((4, 3), 5)),
        OFF,
    ),
    "one entry": (
        lambda x: x**2,
        lambda x, u: (2 * x.at[1, 2].mul(1.01) * u,),
        lambda x, u: (2 * x * u,),
        (X,),
        OFF,
    ),
    "a clipped cotangent": (
        jnp.tanh,
        lambda x, u: ((1 - jnp.tanh(x) ** 2) * jnp.clip(u, -2, 2),),
        lambda x, u: ((1 - jnp.tanh(x) ** 2) * u,),
        (X,),
        only("linearity"),
    ),
    "the second output forgotten": (
        two,
        lambda x, u: (jnp.cos(x) * u[0],),
        lambda x, u: (jnp.cos(x) * u[0] - jnp.sin(x) * u[1],),
        (X,),
        OFF,
    ),
    "the derivative at zero": (
        lambda x: jnp.sin(x) * x,
        lambda x, u: (jnp.where(x == 0, 1.0, jnp.sin(x) + x * jnp.cos(x)) * u,),
        lambda x, u: ((jnp.sin(x) + x * jnp.cos(x)) * u,),
        (X,),
        only("zeros", "some zeros"),
    ),
    "repeated indices": (
        gather,
        partial(scattered, how="set"),
        partial(scattered, how="add"),
        (normal((4, 3)), INDEX),
        only("repeated indices"),
    ),
    "a size written down": (
        lambda x: x.sum(-1) ** 2,
        lambda x, u: (jnp.broadcast_to((2 * x.sum(-1) * u)[:, None], x.shape) * (3 / x.shape[-1]),),
        lambda x, u: (jnp.broadcast_to((2 * x.sum(-1) * u)[:, None], x.shape),),
        (X,),
        only("other sizes"),
    ),
    "a complex product not conjugated right": (
        rotate,
        lambda z, w, u: (jnp.conj(w) * u, z * u),
        lambda z, w, u: (w * u, z * u),
        (Z, V),
        OFF,
    ),
    "bfloat16 off by a half": (
        jnp.sin,
        lambda x, u: (jnp.cos(x) * u / 2,),
        lambda x, u: (jnp.cos(x) * u,),
        (normal((4, 3), 0, jnp.bfloat16),),
        OFF,
    ),
    "float16 squares that vanish": (
        lambda x: x * 1e-3,
        lambda x, u: (jnp.sqrt(u * u * jnp.asarray(1e-8, u.dtype)) * jnp.sign(u) * 10,),
        lambda x, u: (u * 1e-3,),
        (normal((4, 3), 0, jnp.float16),),
        OFF,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_its_right_twin_passes(fault):
    forward, wrong, right, args, options = FAULTS[fault]
    report = gradcheck.verify(rule(forward, wrong), *args, **options)
    assert report.verdict == "fail", str(report)
    report = gradcheck.verify(rule(forward, right), *args, **options)
    assert report.verdict == "pass", str(report)


def test_the_rule_is_blamed_by_its_line_wherever_it_is_used():
    bad = rule(jnp.sin, lambda x, u: (2 * jnp.cos(x) * u,))
    good = rule(jnp.cos, lambda x, u: (-jnp.sin(x) * u,))
    report = gradcheck.verify(jax.jit(lambda x: good(bad(x) * 2).sum(0)), X, variations=False)
    assert not report.ok
    assert report.blame is not None
    assert report.blame.location.startswith("test_subject_jax.py:")
    assert len(report.blames) == 1


def test_leaves_of_pytrees_have_names_and_are_verified_each():
    class Layer(NamedTuple):
        W: Any
        b: Any

    def network(params, x, *, scale):
        return scale * dense(x, params["layers"][0].W, params["layers"][0].b)

    report = gradcheck.verify(
        network,
        {"layers": [Layer(W, B)], "name": 3},
        X,
        kwargs={"scale": jnp.asarray(2.0)},
        variations=False,
    )
    assert set(report.parameters) == {
        'inputs[0]["layers"][0].W',
        'inputs[0]["layers"][0].b',
        "inputs[1]",
        'kwargs["scale"]',
    }
    assert report.ok


def test_a_forward_rule_that_computes_another_value_is_found():
    function = jax.custom_vjp(jnp.sin)
    function.defvjp(lambda x: (jnp.sin(x) + 1, x), lambda x, u: (jnp.cos(x) * u,))
    report = gradcheck.verify(function, X, variations=False)
    assert report.verdict == "fail"
    assert "forward rule computes another value" in str(report)


def test_every_variation_is_right_for_a_right_rule_and_a_plain_function():
    report = gradcheck.verify(rule(jnp.sin, lambda x, u: (jnp.cos(x) * u,)), X)
    assert report.ok, str(report)
    tried = {v.name for v in report.variations if v.verdict is not None}
    assert {"repeated backward", "linearity", "zeros", "under jit", "under vmap"} <= tried
    assert gradcheck.verify(lambda x: jax.nn.relu(x).sum(-1), X[:2], variations={"ties"}).ok


def test_a_convention_at_a_kink_passes_and_what_is_no_subgradient_does_not():
    def relu(x):
        return jnp.maximum(x, 0)

    def at_zero(slope):
        return rule(relu, lambda x, u: (jnp.where(x > 0, 1.0, jnp.where(x == 0, slope, 0.0)) * u,))

    for slope in (0.0, 0.5):
        report = gradcheck.verify(at_zero(slope), X[0, :1], variations={"zeros"})
        assert report.ok, str(report)
    report = gradcheck.verify(at_zero(3.0), X[0, :1], variations={"zeros"})
    assert report.verdict == "fail", str(report)


@pytest.mark.parametrize("seed", range(4))
def test_kinks_of_either_sign_pass_and_a_tie_given_to_both_beside_them_fails(seed):
    y = normal((4,), seed)
    report = gradcheck.verify(
        lambda x: ((jax.nn.relu(x) - y) ** 2).sum(), jnp.zeros(4), variations=False, seed=seed
    )
    assert report.ok, str(report)

    def larger(a, b):
        return (jnp.maximum(a, b) * y).sum()

    def backward(share):
        def both(residuals, u):
            a, b = residuals
            first, second = (jnp.where(a == b, s, o) for s, o in zip(share, (a > b, b > a), strict=True))
            return u * y * first, u * y * second

        custom = jax.custom_vjp(larger)
        custom.defvjp(lambda a, b: (larger(a, b), (a, b)), both)
        return custom

    # the rules close over y, of which they need tell no gradient
    for share, verdict in (((1.0, 0.0), "pass"), ((0.5, 0.5), "pass"), ((1.0, 1.0), "fail")):
        report = gradcheck.verify(backward(share), jnp.zeros(4), jnp.zeros(4), variations=False, seed=seed)
        assert report.verdict == verdict, str(report)


def test_a_function_without_rules_is_not_computed_at_other_points():
    shapes = set()

    def function(x):
        shapes.add(x.shape)
        return jnp.sin(x)

    assert gradcheck.verify(function, X, variations={"other sizes", "zeros"}).ok
    assert shapes == {X.shape}


def rms_norm(x, w):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * w


def rms_backward(x, w, u):
    r = jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)
    uw = u * w
    dx = r * uw - x * r**3 * jnp.mean(uw * x, -1, keepdims=True)
    return dx, (u * x * r).reshape(-1, x.shape[-1]).sum(0)


def test_a_size_at_which_backward_raises_is_none_that_it_is_meant_for():
    args = normal((2, 3, 6)), normal(6, 1)
    report = gradcheck.verify(rule(rms_norm, rms_backward), *args, **only("other sizes"))
    assert report.ok, str(report)  # reshape(-1, 0) has no meaning

    def of_six(x, w, u):
        dx, dw = rms_backward(x, w, u)
        return jnp.where(jnp.arange(x.shape[-1]) < 6, dx, 0), dw

    assert gradcheck.verify(rule(rms_norm, of_six), *args, **only("other sizes")).verdict == "fail"


def test_a_slow_forward_pass_is_compiled_and_its_gradient_is_the_one_without(monkeypatch):
    monkeypatch.setattr("gradcheck.subjects.jax._SLOW", 0.0)
    calls = []

    def looped(backward):
        def forward(x):
            calls.append(isinstance(x, jax.core.Tracer))
            return jax.lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) + x, x)

        function = jax.custom_vjp(forward)
        function.defvjp(lambda x: (forward(x), x), backward)
        return function

    def right(x, u):
        y, dy = x, jnp.ones_like(x)
        for _ in range(3):
            y, dy = jnp.sin(y) + x, jnp.cos(y) * dy + 1
        return (u * dy,)

    report = gradcheck.verify(looped(right), normal(4), variations=False, effort="every")
    assert report.ok, str(report)
    assert calls.count(False) < 15 < report.cost.forward_evaluations
    wrong = gradcheck.verify(looped(lambda x, u: (right(x, u)[0] / 2,)), normal(4), variations=False)
    assert wrong.verdict == "fail"
    noisy = gradcheck.verify(
        lambda x: x * (1 + np.random.default_rng().random()), normal(4), variations=False
    )
    assert noisy.verdict != "pass"


def embedding(scatter):
    def backward(kept, u):
        rows, shape = kept
        return scatter(jnp.zeros(shape, u.dtype).at[rows], u), None

    function = jax.custom_vjp(lambda table, rows: table[rows])
    function.defvjp(lambda table, rows: (table[rows], (rows, table.shape)), backward)
    return function


def test_indices_stay_within_a_table_that_is_made_shorter():
    args = normal((6, 3)), jnp.array([1, 4, 1, 0])
    assert gradcheck.verify(embedding(lambda at, u: at.add(u)), *args, **only("other sizes")).ok
    apart = normal((6, 3)), jnp.array([1, 4, 2, 0])
    report = gradcheck.verify(embedding(lambda at, u: at.set(u)), *apart, **only("other sizes"))
    assert report.verdict == "fail"  # where two of the rows are the same


def settled(a, b):
    return jax.lax.fori_loop(0, 100, lambda i, x: jnp.tanh(a @ x + b), jnp.zeros_like(b))


def implicit(a, b, x, u):
    slope = 1 - x**2
    w = slope * jnp.linalg.solve(jnp.eye(len(b)) - (slope[:, None] * a).T, u)
    return jnp.outer(w, x), w


def fixed_point(backward):
    function = jax.custom_vjp(settled)
    function.defvjp(lambda a, b: (settled(a, b), (a, b, settled(a, b))), lambda kept, u: backward(*kept, u))
    return function


def test_a_map_that_no_longer_contracts_at_another_point_is_no_fault():
    args = 0.3 * normal((4, 4)), normal(4, 1)
    chosen = {"large magnitudes", "other sizes"}
    report = gradcheck.verify(fixed_point(implicit), *args, variations=chosen)
    assert report.ok, str(report)

    def of_four(a, b, x, u):
        da, db = implicit(a, b, x, u)
        return da, db * (1 + (len(b) > 4))

    assert gradcheck.verify(fixed_point(of_four), *args, variations=chosen).verdict == "fail"


@pytest.mark.parametrize("compiles", [False, True])
def test_a_fault_at_other_sizes_is_found_whether_the_function_compiles_or_not(compiles, monkeypatch):
    monkeypatch.setattr("gradcheck.variations.jax.JaxContext.compiles", compiles)
    four = rule(mean, lambda x, u: (jnp.broadcast_to(u, x.shape) / 4,))
    report = gradcheck.verify(four, X, **only("other sizes"))
    assert report.verdict == "fail"
    assert "axes of 3 made" in str(report) or "axes of 4 made" in str(report)


def test_a_function_that_computes_in_single_precision_only_is_verified_in_it():
    def single(x):
        return (x.astype(jnp.float32) ** 2).sum(-1)

    report = gradcheck.verify(rule(single, lambda x, u: (2 * x * u[:, None],)), X, variations=False)
    assert report.ok, str(report)
    assert any("own precision" in note for note in report.notes)
    report = gradcheck.verify(rule(single, lambda x, u: (2.2 * x * u[:, None],)), X, variations=False)
    assert report.verdict == "fail", str(report)


def test_digits_lost_in_the_own_format_only_are_reported():
    def late(x, u):
        return ((((jnp.cos(x) * u) + 3000) - 3000),)

    report = gradcheck.verify(rule(jnp.sin, late), normal((4, 3), 0, jnp.bfloat16), variations=False)
    assert report.verdict == "fail"
    assert "right in float64" in str(report)


def test_constant_arguments_stay_as_they_are():
    power = jax.custom_vjp(lambda n, x: x**n, nondiff_argnums=(0,))
    power.defvjp(lambda n, x: (x**n, x), lambda n, x, u: (n * x ** (n - 1) * u,))
    report = gradcheck.verify(power, 3, X, variations=False)
    assert report.ok, str(report)
    assert list(report.parameters) == ["inputs[1]"]
    masked = rule(lambda x, mask: jnp.where(mask, x, 0), lambda x, mask, u: (jnp.where(mask, u, 0), None))
    assert gradcheck.verify(masked, X, X > 0, variations=False).ok
    drawn = lambda key, x: x * jax.random.normal(key, x.shape)  # noqa: E731 - short
    noisy = gradcheck.verify(drawn, jax.random.key(0), X, variations={"repeated backward"})
    assert noisy.ok, str(noisy)


def test_what_cannot_be_verified_is_said_in_a_sentence():
    with pytest.raises(UsageError, match="no floating-point array"):
        gradcheck.verify(lambda x: x * 2, INDEX)
    with pytest.raises(TargetError, match="raises ZeroDivisionError"):
        gradcheck.verify(lambda x: 1 / 0, X)
    with pytest.raises(UsageError, match="no floating-point array: return"):
        gradcheck.verify(lambda x: x > 0, X)
    with pytest.raises(UsageError, match="is for PyTorch functions"):
        gradcheck.verify(jnp.sin, X, order=2)
    with pytest.raises(UsageError, match="not verified here"):
        gradcheck.verify(jnp.sin, X, allow={"inputs[1]": "no reason"})


def test_a_declared_deviation_is_waived():
    wrong = rule(jnp.sin, lambda x, u: (2 * jnp.cos(x) * u,))
    report = gradcheck.verify(wrong, X, variations=False, allow={"inputs[0]": "scaled on purpose"})
    assert report.ok
    assert report.parameters["inputs[0]"].waived == "scaled on purpose"


def test_double_precision_of_the_user_is_used_and_the_setting_is_left_alone():
    before = jax.config.jax_enable_x64
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=5))
        assert gradcheck.verify(jnp.sin, x, variations=False).ok
        wrong = rule(jnp.sin, lambda x, u: (jnp.cos(x) * u * (1 + 1e-4),))
        assert gradcheck.verify(wrong, x, variations=False).verdict == "fail"
    assert gradcheck.verify(jnp.sin, X, variations=False).ok
    assert jax.config.jax_enable_x64 == before


_TARGETS = """
import gradcheck
import jax
import jax.numpy as jnp


def cube(factor):
    f = jax.custom_vjp(lambda x: x**3)
    f.defvjp(lambda x: (x**3, x), lambda x, u: (factor * x**2 * u,))
    return f


@gradcheck.target(variations=False)
def right():
    return cube(3), jnp.arange(1.0, 4.0)


@gradcheck.target(variations=False)
def wrong():
    return cube(2), jnp.arange(1.0, 4.0)
"""


def test_jax_functions_are_targets_of_the_command_line(tmp_path):
    file = tmp_path / "cubes.py"
    file.write_text(_TARGETS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck", "verify", "cubes.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cubes.py:right: pass" in done.stdout
    assert "cubes.py:wrong: FAIL, wrong gradient for inputs[0]" in done.stdout
    assert "enters at cubes.py:9" in done.stdout


def test_the_fixture_takes_jax_functions(pytester):
    pytester.makepyfile(
        """
        import jax, jax.numpy as jnp, pytest

        def wrong():
            f = jax.custom_vjp(lambda x: x**2)
            f.defvjp(lambda x: (x**2, x), lambda x, u: (x * u,))
            return f

        @pytest.mark.gradcheck(variations=False)
        def test_right(gradcheck):
            gradcheck(jnp.sin, jnp.ones(3))

        @pytest.mark.gradcheck(variations=False)
        def test_wrong(gradcheck):
            gradcheck(wrong(), jnp.ones(3))
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1)


def test_verifying_numpy_or_torch_does_not_import_jax():
    code = (
        "import sys, torch, gradcheck\n"
        "assert gradcheck.verify(torch.sin, torch.ones(3, requires_grad=True), variations=False).ok\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
