"""A mistake planted in the source of a backward pass is named by the change that undoes it."""

from __future__ import annotations

import builtins
import importlib.util
import sys

import numpy as np
import pytest
from slip_programs import PROGRAMS

import gradcheck
from gradcheck import explanation
from gradcheck.slips import find

# Program, what is replaced in it, by what, and a part of the line that makes it right.
MISTAKES = (
    (
        "np_attention",
        "np.tril(np.ones((n, n)), 0)",
        "np.tril(np.ones((n, n)), 1)",
        "np.tril(np.ones((n, n)), 0)",
    ),
    ("np_attention", "np.where(mask > 0, s, -1e9)", "s", "np.where(mask > 0, s, -np.inf)"),
    ("th_attention", "diagonal=1)\n        p", "diagonal=2)\n        p", "diagonal=1"),
    (
        "th_attention",
        'p = s.masked_fill(mask, float("-inf")).softmax(-1)\n        dv',
        "p = s.softmax(-1)\n        dv",
        "mask",
    ),
    ("np_relu", "(X @ W1 + b1 > 0)", "(X @ W1 > 0)", "X @ W1 + b1 > 0"),
    ("np_relu", "(h1 @ W2 + b2 > 0)", "(h1 > 0)", "h2 > 0"),
    ("np_relu", "ds2 = dh2 * (h1 @ W2 + b2 > 0)", "ds2 = dh2", "(h2 > 0)"),
    ("np_conv1d", "+= dy[i] * w\n", "+= dy[i] * w[::-1]\n", "+= dy[i] * w`"),
    (
        "np_conv1d",
        "dx[i * stride : i * stride + k] +=",
        "dx[i : i + k] +=",
        "dx[i * stride:i * stride + k] +=",
    ),
    ("np_conv1d", "dx[pad:-pad]", "dx[: -2 * pad]", "dx[pad:-pad]"),
    ("np_convfull1", 'w[::-1], "full"', 'w, "full"', "np.convolve(dy, w"),
    ("th_conv", ".flip(2, 3)", "", "flip"),
    (
        "np_cumsum",
        "np.cumsum(g[:, ::-1], axis=1)[:, ::-1]",
        "np.cumsum(g, axis=1)",
        "np.flip(np.cumsum(np.flip(g, 1)",
    ),
    ("np_cumsum", "axis=1)[:, ::-1]\n    return", "axis=1)[:, ::-1] - g\n    return", "cumsum"),
    ("np_batchnorm", "(s - mu) / N", "(s - mu) / (N - 1)", "/ N"),
    ("np_batchnorm", " + dmu / N", "", "+ dmu / N"),
    ("np_lstm", "db += ds.sum", "db = ds.sum", "db = db + ds.sum"),
    ("np_lstm", "dc = dc_next + dh", "dc = dh", "dc_next"),
    ("np_lstm", "dh = dout[t] + dh_next", "dh = dout[t]", "dh_next"),
    ("np_lstm", "reversed(range(T))", "reversed(range(T - 1, T))", "reversed(range(T))"),
    ("np_softmax", "y * (R - np.sum(R * y, axis=1, keepdims=True))", "y * R", ".sum(axis=-1, keepdims=True)"),
    ("th_softmax", "sum(-1, keepdim=True)", "sum(0, keepdim=True)", "keepdim=True"),
    ("th_logsoftmax", "y.exp() * g", "y * g", "exp(y)"),
    ("th_complex", "g * 2 * z.conj()", "g * 2 * z", "conj()"),
    ("th_gate", "(g * x).sum(1)", "g.sum(1)", "(g * x).sum(1)"),
    ("th_gram", "(g + g.mT) @ x", "g @ x", "g + g.mT"),
    ("th_inverse", "-b.mT @ g @ b.mT", "-b @ g @ b", "t.mT for t in ctx.saved_tensors"),
    ("th_inverse", "@ g @ b.mT", "@ g @ b", "b.mT @ g @ b.mT"),
    ("th_product", "g * b.conj(), g * a.conj()", "g * b, g * a", "t.conj() for t in ctx.saved_tensors"),
    ("th_rmsnorm", "term[:, None]", "term", "keepdim=True"),  # which is the same there
    ("th_exp2", " * math.log(2)", "", "math.log(2)"),
    ("th_layernorm", "dxhat - dxhat.mean(-1, keepdim=True) - xhat", "dxhat - xhat", "mean(-1, keepdim=True)"),
    ("np_charrnn", 'p["Wh"].T @ ds', 'p["Wh"] @ ds', 'p["Wh"].T'),
    ("np_charrnn", "ds @ hs[t - 1].T", "ds @ hs[t].T", "hs[t - 1].T"),
    ("np_charrnn", "dy[targets[t]] -= 1", "dy[inputs[t]] -= 1", "targets[t]"),
    ("np_charrnn", "        dy[targets[t]] -= 1\n", "", "np.eye(5)[:, [targets[t]]]"),
    ("np_charrnn", " dy + carried\n", " dy\n", "+ carried"),
    ("np_charrnn", 'g["by"] += dy', 'g["by"] = dy', 'g["by"] += dy'),
    ("np_classes", "h * (1 - h) * dh", "(1 - h ** 2) * dh", "h * (1 - h)"),
    ("np_classes", "h * (1 - h) * dh", "dh * (h > 0)", "h * (1 - h)"),
    ("np_classes", "    dz[np.arange(len(y)), y] -= 1\n", "", "- np.eye(3)[y]"),
    ("np_classes", "dz[np.arange(len(y)), y] -= 1", "dz[:, y] -= 1", "dz[np.arange(len(y)), y] -= 1"),
    ("np_classes", "np.sum(dz, axis=0)", "np.sum(dz)", "np.sum(dz, axis=0)"),
    ("np_heads", "ds.transpose(0, 1, 3, 2) @ self.q", "ds @ self.q", "ds.swapaxes(-1, -2) @ self.q"),
    (
        "np_heads",
        "x.transpose(0, 2, 1, 3).reshape(B * T",
        "x.transpose(2, 1, 0, 3).reshape(B * T",
        "transpose(0, 2, 1, 3)",
    ),
    (
        "np_heads",
        "self.a * (da - (da * self.a).sum(axis=-1, keepdims=True))",
        "self.a * (1 - self.a) * da",
        ".sum(",
    ),
    ("np_heads", "        ds = ds * self.scale\n", "", "self.scale"),
    (
        "np_embedding",
        "np.add.at(dE, words, np.outer(ds, c[i]))",
        "dE[words] += np.outer(ds, c[i])",
        "np.add.at(dE",
    ),
    ("np_embedding", "dc[i] += ds", "dc += ds", "dc[i] += ds"),
    ("np_conv2d", "dx[pad : pad + H, pad : pad + W]", "dx[0:H, 0:W]", "pad:W + pad"),
    ("np_conv2d", "for i in range(H):\n        for", "for i in range(H - 1):\n        for", "range(H)"),
    ("np_conv2d", "3 * 0.1 * y**2", "0.1 * y**2", "3 * y ** 2"),
    ("np_huber", "X.T @ g / len(X)", "X.T @ g", "/ len("),
    ("np_huber", "lam * np.sign(w)\n", "lam * w\n", "np.sign(w)"),
    ("np_huber", "lam * np.sign(w)\n", "np.sign(w)\n", "lam"),
    ("np_huber", "r, np.sign(r))", "r, bound)", "np.sign(r)"),
    ("np_huber", "d @ weights.data", "d @ weights.grad", "weights.data"),
    ("np_huber", "(1 - np.power(h, 2))", "np.int64(h > 0)", "1 - h ** 2"),
    ("np_huber", " + d.T @ h", "", "d.T @ h"),
)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Let the search end by what it finds, however slow the machine is."""
    monkeypatch.setattr(explanation, "_SEARCHED", 60.0)
    monkeypatch.setattr(explanation, "_SEARCHED_WELL", 60.0)


def verified(tmp_path, text):
    """Verify the program that is written to a file, and return the report and the file's lines."""
    path = tmp_path / "program.py"
    path.write_text(text)
    name = f"program_{abs(hash((text, str(tmp_path))))}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        given, options = module.args()
        return gradcheck.verify(*given, **options), text.splitlines()
    finally:
        del sys.modules[name]


def told(report):
    return [note for note in report.notes if note.startswith("With one change")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_right_twin_passes_and_nothing_is_changed(tmp_path, name):
    report, _ = verified(tmp_path, PROGRAMS[name])
    assert report.ok
    assert not told(report)


@pytest.mark.parametrize(("name", "old", "new", "right"), MISTAKES)
def test_the_change_that_undoes_a_mistake_is_named(tmp_path, name, old, new, right):
    at = PROGRAMS[name].rindex(old)
    wrong = PROGRAMS[name][:at] + new + PROGRAMS[name][at + len(old) :]
    report, lines = verified(tmp_path, wrong)
    assert report.verdict == "fail"
    (note,) = told(report)
    place, _, change = note.partition("program.py:")[2].partition(", `")
    assert right in change.partition("` instead of `")[0] + "`"
    planted = wrong[:at].count("\n") + 1
    assert abs(int(place) - planted) <= 3, (place, planted, lines[int(place) - 1])


def test_no_change_is_named_where_one_is_not_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(explanation, "_SEARCHED", 2.0)
    monkeypatch.setattr(explanation, "_SEARCHED_WELL", 2.0)
    wrong = PROGRAMS["np_relu"].replace("(X @ W1 + b1 > 0)", "(X @ W1 > 0)")
    wrong = wrong.replace("(h1 @ W2 + b2 > 0)", "(h1 @ W2 > 0)")
    report, _ = verified(tmp_path, wrong)
    assert report.verdict == "fail"
    assert not told(report)


def test_of_two_mistakes_the_one_without_a_name_is_looked_for(tmp_path):
    wrong = PROGRAMS["np_relu"].replace("(X @ W1 + b1 > 0)", "(X @ W1 > 0)").replace("dy.sum(", "dy.mean(")
    report, _ = verified(tmp_path, wrong)
    (note,) = told(report)
    assert note.startswith("With one change the gradients of W1 and b1 are right")
    kinds = {name: [d.kind for d in result.diagnoses] for name, result in report.parameters.items()}
    assert kinds["W1"] == kinds["b1"] == ["slip"]
    assert kinds["b3"] == ["scale"]


def test_a_size_that_happens_to_be_two_does_not_explain_a_factor(tmp_path):
    text = """
import numpy as np
x, t = np.random.default_rng(0).normal(size=(2, 2, 3))
params = {"w": np.ones(3)}
def loss(p):
    return np.sum((x * p["w"] - t) ** 2) / len(x)
def gradient(p):
    n = len(x)
    dy = (x * p["w"] - t) / n
    return {"w": (dy * x).sum(0)}
def args():
    return (loss, params), {"gradient": gradient}
"""
    (note,) = told(verified(tmp_path, text)[0])
    assert "is a factor 2 forgotten" in note


def test_a_setting_that_is_one_half_is_named_where_a_factor_of_one_half_is_forgotten(tmp_path):
    text = """
import numpy as np
x = np.random.default_rng(0).normal(size=(5, 3))
params = {"w": np.ones(3)}
class Swish:
    beta = 0.5
def loss(p):
    y = x * p["w"]
    return np.sum(y / (1 + np.exp(-Swish.beta * y)))
def gradient(p):
    y = x * p["w"]
    s = 1 / (1 + np.exp(-Swish.beta * y))
    return {"w": ((s + y * s * (1 - s)) * x).sum(0)}
def args():
    return (loss, params), {"gradient": gradient}
"""
    (note,) = told(verified(tmp_path, text)[0])
    assert (
        "is a factor 1/2 forgotten (Swish.beta is 0.5)" in note
        or "is the factor Swish.beta forgotten" in note
    )


LOOPING = """
import numpy as np
params = {"x": np.array([1.5, 2.5])}
def halved(x):
    steps = 0
    while x.max() > 1e-3:
        x, steps = x / 2, steps + 1
    return x * 2**steps
def loss(p):
    return np.sum(p["x"] ** 3)
def gradient(p):
    return {"x": 2 * halved(p["x"]) ** 2}
def args():
    return (loss, params), {"gradient": gradient}
"""


CARRIED = """
import numpy as np
rng = np.random.default_rng(0)
R = rng.normal(size=(4, 3))
params = {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=3)}
def states(p):
    hs = [np.zeros(3)]
    for t in range(4):
        hs.append(np.tanh(hs[-1] * p["w"] + p["x"][t]))
    return hs
def loss(p):
    return np.sum(R * np.array(states(p)[1:]))
def back(dh, ds, h, w):
    ds += (1 - h**2) * dh
    return ds, ds * w
def gradient(p):
    hs, w = states(p), p["w"]
    dx, dw, carried = np.zeros((4, 3)), np.zeros(3), np.zeros(3)
    for t in reversed(range(4)):
        dx[t], carried = back(R[t] + carried, np.zeros(3), hs[t + 1], w)
        dw += dx[t] * hs[t]
    return {"x": dx, "w": dw}
def args():
    return (loss, params), {"gradient": gradient}
"""


def test_what_one_change_writes_into_the_data_does_not_spoil_the_next(tmp_path):
    assert verified(tmp_path, CARRIED)[0].ok
    report, _ = verified(tmp_path, CARRIED.replace("R[t] + carried", "R[t]"))
    (note,) = told(report)
    assert "R[t] + carried" in note


def test_what_fits_at_one_point_by_chance_is_not_told(tmp_path):
    text = """
import numpy as np
def loss(x):
    return np.sum(x**3)
def gradient(x):
    return 4 * x
def args():
    return (loss, np.array([2.0, 2.0])), {"gradient": gradient}
"""
    report, _ = verified(tmp_path, text)  # at 2, and nowhere else, 6 * x is 3 * x**2
    assert report.verdict == "fail"
    assert not told(report)
    (note,) = told(verified(tmp_path, text.replace("4 * x", "4 * x**2"))[0])
    assert "3 * x ** 2" in note


def test_what_puts_known_entries_of_many_right_and_others_wrong_is_not_told(tmp_path):
    text = """
import numpy as np
def loss(x):
    return np.sum(np.sin(x))
def gradient(x):
    g = np.cos(x)
    g[137, 12] += 1.0
    return g
def args():
    return (loss, np.random.default_rng(0).normal(size=(400, 400))), {"gradient": gradient}
"""
    report, _ = verified(tmp_path, text)
    assert report.verdict == "fail"
    assert "g[12, 137]" not in str(report)


def test_what_is_right_at_zeros_alone_is_not_told(tmp_path):
    text = """
import torch
class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        n = (x * x).sum().sqrt()
        ctx.save_for_backward(x, n)
        return n
    @staticmethod
    def backward(ctx, g):
        x, n = ctx.saved_tensors
        return g * x / n
def args():
    return (Norm.apply, torch.zeros(3, dtype=torch.float64, requires_grad=True)), {}
"""
    report, _ = verified(tmp_path, text)
    assert report.verdict == "fail"
    assert not told(report)


def test_a_gradient_that_is_nan_is_searched_for_what_makes_it_right(tmp_path):
    text = """
import numpy as np
x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]])
def loss(b):
    return sum(np.log(np.sum(np.exp(x[i:] @ b))) for i in range(3))
def gradient(b):
    total = np.zeros(2)
    for i in range(3):
        later = np.arange(3) >= i
        w = np.exp(x @ b)
        total += (w[later] @ x[later]) / w[later].sum()
    return total
def args():
    return (loss, np.array([0.3, -0.2])), {"gradient": gradient}
"""
    assert verified(tmp_path, text)[0].ok
    report, _ = verified(tmp_path, text.replace(">= i", "> i"))
    assert report.parameters["params"].diagnoses[0].kind == "non-finite"
    (note,) = told(report)
    assert "np.arange(3) >= i" in note


def test_a_mistake_beside_a_loop_until_something_is_reached_is_named(tmp_path):
    assert verified(tmp_path, LOOPING.replace("2 * halved", "3 * halved"))[0].ok
    (note,) = told(verified(tmp_path, LOOPING)[0])
    assert "3 * halved(p[" in note


NEWTON = """
import numpy as np
params = {"x": np.array([1.5, 2.5])}
def root(a):
    x = a.copy()
    while np.abs(x * x - a).max() > 1e-13:
        x = (x + a / x) / 2
    return x
def loss(p):
    return np.sum(np.sqrt(p["x"]))
def gradient(p):
    return {"x": 1 / (root(p["x"]) * 3)}
def args():
    return (loss, params), {"gradient": gradient}
"""


def test_a_loop_that_a_change_keeps_from_ending_is_ended(tmp_path):
    assert verified(tmp_path, NEWTON.replace("* 3", "* 2"))[0].ok
    (note,) = told(verified(tmp_path, NEWTON)[0])  # another sign in Newton's step is tried before
    assert 'root(p["x"]) * 2' in note
    assert not [name for name in vars(builtins) if "gradcheck" in name]


QUIET = """
import numpy as np
params = {"x": np.array([1.5, 2.5])}
kept = np.zeros(2)
def loss(p):
    return np.sum(p["x"] ** 3)
def gradient(p):
    print("gradient")
    kept[:] = 2 * p["x"] ** 2
    return {"x": kept.copy()}
own = gradient.__code__
def args():
    return (loss, params), {"gradient": gradient}
"""


def test_the_search_is_quiet_and_puts_everything_back(tmp_path, capsys):
    seen = {}
    original = find.find_slip

    def watched(*given):
        before = capsys.readouterr().out
        found = original(*given)
        seen.update(before=before, found=found, after=capsys.readouterr().out)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "find_slip", watched)
        path = tmp_path / "quiet.py"
        path.write_text(QUIET)
        spec = importlib.util.spec_from_file_location("quiet", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        given, options = module.args()
        gradcheck.verify(*given, **options)
    assert "gradient" in seen["before"]
    assert seen["after"] == ""
    assert seen["found"].after == 'kept[:] = 3 * p["x"] ** 2'
    assert module.gradient.__code__ is module.own
    assert np.array_equal(module.kept, 2 * module.params["x"] ** 2)


MUTABLE = """
import torch
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        g = g.clone()
        g *= 2 * x**2
        return g
x = torch.linspace(1, 2, 4, dtype=torch.float64, requires_grad=True)
def args():
    return (Cube.apply, x), {}
"""


def test_a_change_that_writes_in_place_cannot_reach_the_inputs(tmp_path):
    report, _ = verified(tmp_path, MUTABLE)
    (note,) = told(report)
    assert "g *= 3 * x ** 2" in note


def test_a_source_that_has_changed_since_is_not_believed(tmp_path):
    path = tmp_path / "moved.py"
    path.write_text(QUIET)
    spec = importlib.util.spec_from_file_location("moved", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text(QUIET.replace("2 * p", "5 * p"))
    given, options = module.args()
    assert not told(gradcheck.verify(*given, **options))


KERNELS = (
    "np.lib.stride_tricks.as_strided(p['x'], (2,), (8,))",
    "ctypes.c_double(2).value * p['x']",
    "launch[2](p['x'])",
    "eval('p')['x']",
)


@pytest.mark.parametrize("code", KERNELS)
def test_what_reaches_memory_or_a_kernel_is_left_alone(tmp_path, code):
    text = f"""
import ctypes
import numpy as np
launch = [None, None, lambda x: x]
params = {{"x": np.array([1.5, 2.5])}}
def loss(p):
    return np.sum(p["x"] ** 3)
def gradient(p):
    return {{"x": 2 * {code} ** 2}}
def args():
    return (loss, params), {{"gradient": gradient}}
"""
    report, _ = verified(tmp_path, text)
    assert report.verdict == "fail"
    assert not told(report)


ADJOINT = """
import numpy as np
A, y0 = np.random.default_rng(0).normal(size=(2, 3, 3))[:, :, :]
y0 = y0[0]
params = {"A": A / 2}
def f(A, y):
    return A @ np.tanh(y)
def solved(A, y, h, steps):
    for _ in range(steps):
        k = f(A, y)
        y = y + h * f(A, y + h / 2 * k)
    return y
def loss(p):
    return np.sum(solved(p["A"], y0, 1e-2, 100) ** 2) / 2
def gradient(p):
    A, h = p["A"], 1e-2
    y = solved(A, y0, h, 100)
    a, dA = y.copy(), np.zeros((3, 3))
    def back(y, a):
        return f(A, y), -(A.T @ a) * (1 - np.tanh(y) ** 2), np.outer(a, np.tanh(y))
    for _ in range(100):
        dy, da, _ = back(y, a)
        dy, da, dp = back(y - h / 2 * dy, a - h / 2 * da)
        y, a, dA = y - h * dy, a - h * da, dA + h * dp
    return {"A": dA}
def args():
    return (loss, params), {"gradient": gradient}
"""


def test_a_small_error_is_not_called_single_precision_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(explanation, "_SEARCHED_WELL", 0.2)
    report, _ = verified(tmp_path, ADJOINT)
    assert report.verdict == "fail"
    (diagnosis,) = report.parameters["A"].diagnoses
    assert diagnosis.kind == "unexplained"
    assert "approximate by design" in diagnosis.message
    narrow = ADJOINT.replace('{"A": dA}', '{"A": dA * np.float64(np.float32(1 / 3)) * 3}')
    single, _ = verified(tmp_path, narrow)
    assert single.parameters["A"].diagnoses[0].kind == "precision"


def test_one_mistake_of_a_cotangent_has_no_note_about_its_factor(tmp_path):
    text = """
import torch
class Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        ctx.save_for_backward(y)
        return (y**2).mean()
    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return 2 * y / y.numel()
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
def args():
    return (lambda x: Loss.apply(net(x)) TAIL, torch.ones(5, 3, dtype=torch.float64, requires_grad=True)), {}
"""
    for tail in ("", "* 3.7"):
        report, _ = verified(tmp_path, text.replace("TAIL", tail))
        assert report.parameters["inputs[0]"].diagnoses[0].kind == "cotangent"
        assert not [note for note in report.notes if "times the true" in note]
