"""The parts that blame is made of, each alone."""

import functools
import os
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from blame_lines import line
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.blame import arrangement, location, naming, patches
from gradcheck.blame.chance import Chance
from gradcheck.blame.flow import Flow
from gradcheck.blame.search import necessary
from gradcheck.subjects.torch.pullback import accumulated, vjp


@given(st.sets(st.integers(0, 99), max_size=4))
def test_the_search_returns_exactly_what_matters(culprits):
    asked = []

    def enough(some):
        asked.append(some)
        return culprits <= set(some)

    assert set(necessary(range(100), enough)) == culprits
    assert len(asked) <= 30 + 20 * len(culprits)


def test_the_search_returns_one_of_two_that_suffice_each():
    assert len(necessary(range(8), lambda some: 2 in some or 6 in some)) == 1


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4),
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(24.0).reshape(2, 3, 4)[:, ::2, 1:],
        torch.arange(3.0).expand(4, 3),
        torch.arange(3.0)[:, None].expand(3, 5),
        torch.tensor(2.0),
        torch.zeros(0, 3),
    ],
)
def test_copies_keep_values_and_strides(tensor):
    copied = arrangement.copy(tensor)
    assert torch.equal(copied, tensor)
    assert copied.stride() == tensor.stride()
    assert tensor.numel() == 0 or copied.data_ptr() != tensor.data_ptr()


def test_a_copy_of_overlapping_entries_is_plain():
    windows = torch.arange(5.0).unfold(0, 3, 1)
    assert torch.equal(arrangement.copy(windows), windows)
    assert arrangement.copy(windows).is_contiguous()


def test_a_move_keeps_strides_and_expansion():
    point = torch.ones(3).expand(4, 3)
    direction = Chance(np.random.default_rng(0)).direction(point)
    assert torch.equal(direction, direction[:1].expand(4, 3))
    moved = arrangement.moved(point, direction, 0.5)
    assert moved.stride() == point.stride()
    assert torch.equal(moved, point + 0.5 * direction)


def test_directions_have_the_scale_of_typical_entries_and_spare_what_is_not_finite():
    point = torch.full((1000,), 1e-3, dtype=torch.float64)
    point[:100] = -1e9
    point[100:110] = -torch.inf
    direction = Chance(np.random.default_rng(0)).direction(point)
    assert 3e-4 < direction[110:].abs().mean() < 3e-3
    assert direction[:100].abs().mean() > 1e8
    assert torch.equal(direction[100:110], torch.zeros(10, dtype=torch.float64))


def test_cotangents_are_reproducible_never_small_and_laid_out_as_asked():
    output = torch.zeros(50, 4)
    first, second = (Chance(np.random.default_rng(3)).cotangent(output, (1, 50)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.stride() == (1, 50)
    assert 0.5 <= first.abs().min() < first.abs().max() <= 1.5
    assert first.min() < 0 < first.max()


def decorate(function):
    @functools.wraps(function)
    def inner():
        return function()

    return inner


@decorate
@decorate
def decorated():  # decorated
    return location.caller()  # caller


class Callable:
    def __call__(self):  # instance
        return None


def test_definitions_are_found_through_decorators_partials_and_instances():
    assert str(location.definition(decorated)) == line("decorated")
    assert str(location.definition(functools.partial(decorated))) == line("decorated")
    assert str(location.definition(Callable())) == line("instance")
    assert location.definition(torch.sin) is None
    assert location.definition(torch.nn.functional.relu) is None


def test_the_caller_is_the_innermost_line_of_the_users():
    place = decorated()
    assert str(place) == line("caller")
    assert place.source.startswith("return location.caller()")


def test_paths_are_relative_below_the_working_directory_only(tmp_path, monkeypatch):
    place = location.Place(str(tmp_path / "model.py"), 7)
    assert str(place) == f"{tmp_path / 'model.py'}:7"
    monkeypatch.chdir(tmp_path)
    assert str(place) == "model.py:7"
    assert place.source is None


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.matmul, "torch.matmul"),
        (torch.Tensor.matmul, "torch.matmul"),
        (torch.Tensor.__rdiv__, "torch.div"),
        (torch.nn.functional.gelu, "torch.nn.functional.gelu"),
        (torch.linalg.inv, "torch.linalg.inv"),
        (torch.special.expit, "torch.special.expit"),
        (torch.Tensor.detach, "Tensor.detach"),
        (torch.Tensor.T.__get__, "Tensor.T"),
        (torch.Tensor.shape.__get__, None),
        (torch.Tensor.size, None),
        (torch.ops.aten.sin.default, "aten::sin"),
    ],
)
def test_operations_are_named_as_users_write_them(function, name):
    assert naming.operation(function) == name


def test_flow_knows_makers_writers_and_forgets_what_died():
    flow = Flow()
    x = torch.randn(4, requires_grad=True)
    assert flow.sources([x]) == ("leaf 0",)
    y = x * 2
    flow.made([y], [x], "#0")
    view = y[:2]
    flow.made([view], [y], "#1")
    flow.wrote(view, "#2")
    assert flow.sources([y]) == ("#0", "#2")
    assert flow.shares_memory_with_graph(view.detach())
    gone = weakref.ref(y)
    del y, view
    assert gone() is None
    z = torch.randn(4)
    flow.made([z], [], "#3")
    assert flow.sources([z]) == ("#3",)
    assert not flow.shares_memory_with_graph(z)


def test_the_vjp_is_that_of_autograd_with_the_cotangent_as_it_is_and_no_heavy_import():
    import subprocess
    import sys

    x = torch.randn(3, 4, requires_grad=True)
    seen = []
    y = x.sin()
    y.register_hook(lambda g: seen.append(g.stride()))
    u = torch.randn(4).expand(3, 4)
    (found,) = vjp([y], [x], [u])
    assert seen == [(0, 1)]
    assert torch.equal(found, u * x.cos().detach())
    assert vjp([], [x], []) == [None]
    program = "import torch, sys; from gradcheck.subjects.torch.pullback import vjp;"
    program += "x = torch.ones(2, requires_grad=True);"
    program += "vjp([x.sin()], [x], [torch.ones(2)]); assert 'sympy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2], env=os.environ)


def test_accumulating_puts_the_gradients_back():
    x = torch.randn(3, requires_grad=True)
    x.grad = before = torch.ones(3)
    (found,) = accumulated([x * 2], [x], [torch.ones(3)])
    assert torch.equal(found, 2 * torch.ones(3))
    assert x.grad is before


def test_patches_are_undone():
    base = torch.autograd.function._SingleLevelFunction
    before = (
        torch.utils.hooks.BackwardHook.__init__,
        torch.nn.modules.module._WrappedHook.__init__,
        torch.autograd.graph.saved_tensors_hooks.__enter__,
        base.__dict__.get("apply"),
    )
    with (
        patches.function_apply(lambda cls, real, args, kwargs: real(*args, **kwargs)),
        patches.module_hooks(lambda kind, hook: hook),
        patches.saved_tensors(lambda kind, pack, unpack: (pack, unpack)),
    ):
        assert base.__dict__.get("apply") is not None
    after = (
        torch.utils.hooks.BackwardHook.__init__,
        torch.nn.modules.module._WrappedHook.__init__,
        torch.autograd.graph.saved_tensors_hooks.__enter__,
        base.__dict__.get("apply"),
    )
    assert before == after
