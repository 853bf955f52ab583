"""What PyTorch subjects are made of: trees, layouts, pulling back, state put back, second order."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck
from gradcheck.errors import TargetError, UsageError
from gradcheck.subjects.torch import Opened, SecondOrderSubject, TorchSubject, layout, tree
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.subjects.torch.pullback import accumulated, vjp
from gradcheck.subjects.torch.randomness import Randomness
from gradcheck.subjects.torch.state import ModuleState, generators, modules_of, plain_tensors, within

DOUBLE = torch.float64


def leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


# Trees


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Held:
    tensor: Any
    label: str


class Opaque:
    tensor = torch.ones(1)


def nested():
    a, b, c, d, e = (torch.full((2,), float(i)) for i in range(5))
    other = Opaque()
    return [a, (b, {"key": c, 7: other}), Pair(d, 3), Held(e, "label"), OrderedDict(none=None)], other


def test_every_tensor_of_a_tree_has_a_path_that_reads_like_python():
    root, _ = nested()
    found = dict(tree.tensors(root, "root"))
    assert list(found) == ["root[0]", "root[1][0]", 'root[1][1]["key"]', "root[2][0]", "root[3].tensor"]
    for path, tensor in found.items():
        assert eval(path, {"root": root}) is tensor


def test_replacing_keeps_the_structure_and_leaves_the_original():
    root, other = nested()
    before = list(tree.tensors(root))
    result = tree.replace(root, lambda tensor: tensor + 10)
    assert [float(t[0]) for _, t in tree.tensors(result)] == [10, 11, 12, 13, 14]
    assert [type(part) for part in result] == [type(part) for part in root]
    assert result[1][1][7] is other
    assert (result[2].right, result[3].label, result[4]) == (3, "label", OrderedDict(none=None))
    assert all(a is b for (_, a), (_, b) in zip(before, tree.tensors(root), strict=True))


# Layouts


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.T,
        lambda t: t[:, ::2],
        lambda t: t[:, :1].expand(6, 5),
        lambda t: t[:0],
        lambda t: t[0, 0],
    ],
)
@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_a_copy_has_the_same_numbers_and_strides_and_memory_of_its_own(view, dtype):
    source = view(torch.arange(24.0).reshape(6, 4)).requires_grad_()
    copied = layout.copy(source, dtype)
    assert torch.equal(copied, source.to(copied.dtype))
    assert copied.dtype is (dtype or source.dtype)
    assert not copied.requires_grad
    if source.numel():
        assert copied.stride() == source.stride()
        assert copied.data_ptr() != source.data_ptr()


def test_wide_formats_and_what_can_be_differentiated():
    widened = {torch.float16: DOUBLE, torch.float32: DOUBLE, torch.complex64: torch.complex128}
    assert {dtype: layout.wide(dtype) for dtype in widened} == widened
    assert layout.wide(torch.int64) is torch.int64
    assert [
        layout.is_number(torch.zeros(1, dtype=d)) for d in (DOUBLE, torch.complex64, torch.int8, torch.bool)
    ] == [
        True,
        True,
        False,
        False,
    ]


# Pulling back


def test_pulling_back_is_autograd_with_cotangents():
    x, y, unused = leaf(3), leaf(3), leaf(2)
    outputs = [x * y, (x.sin() * y).sum()]
    us = [torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE), torch.tensor(3.0, dtype=DOUBLE)]
    expected = torch.autograd.grad(outputs, [x, y], us, retain_graph=True)
    found = vjp(outputs, [x, y, unused], us)
    assert torch.allclose(found[0], expected[0], rtol=1e-14)
    assert torch.allclose(found[1], expected[1], rtol=1e-14)
    assert found[2] is None


def test_pulling_back_nothing_gives_nothing():
    assert vjp([], [leaf(3), leaf(2)], []) == [None, None]


def test_gradients_can_be_pulled_back_again():
    x = leaf(4)
    (g,) = vjp([x**3], [x], [torch.ones(4, dtype=DOUBLE)], create_graph=True)
    (h,) = vjp([g], [x], [torch.ones(4, dtype=DOUBLE)])
    assert torch.allclose(h, 6 * x.detach())


def test_cotangents_arrive_with_their_own_strides():
    seen = []

    class Watching(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            seen.append(g.stride())
            return g

    x = leaf(3, 4)
    vjp([Watching.apply(x)], [x], [torch.ones(4, 3, dtype=DOUBLE).T])
    vjp([Watching.apply(x)], [x], [torch.ones(1, 1, dtype=DOUBLE).expand(3, 4)])
    assert seen == [(1, 3), (0, 0)]


@pytest.mark.parametrize("fails", [False, True])
def test_going_through_grad_puts_it_back(fails):
    def stop(_):
        raise RuntimeError("stop")

    x, y = leaf(3), leaf(3)
    x.grad = before = torch.full((3,), 7.0, dtype=DOUBLE)
    out = x * y
    if fails:
        out.register_hook(stop)
        with pytest.raises(RuntimeError, match="stop"):
            accumulated([out], [x, y], [torch.ones(3, dtype=DOUBLE)])
    else:
        found = accumulated([out], [x, y], [torch.ones(3, dtype=DOUBLE)])
        assert torch.equal(found[0], y.detach())
        assert torch.equal(found[1], x.detach())
    assert x.grad is before
    assert before.tolist() == [7.0] * 3
    assert y.grad is None


# State


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, dtype=DOUBLE))
        self.register_buffer("mean", torch.zeros(2, dtype=DOUBLE))
        self.table = [torch.full((1,), 5.0), {"deep": torch.full((1,), 6.0)}]
        self.calls, self.seen = 0, []
        self.source = torch.Generator()

    def forward(self, x):
        return x * self.weight


OUTSIDE = torch.full((2,), 3.0, dtype=DOUBLE)


def test_modules_are_found_where_a_callable_keeps_them():
    module = Stateful()
    assert (
        modules_of(module) == modules_of(module.forward) == modules_of(partial(module, 1)) == [("", module)]
    )
    assert modules_of(lambda x: module(x)) == [("module", module)]
    assert modules_of(torch.sin) == []


def test_tensors_that_are_neither_parameters_nor_inputs_are_found():
    module = Stateful()
    found = plain_tensors(module, within(modules_of(module)).values())
    assert sorted(float(t.sum()) for t in found) == [0.0, 5.0, 6.0]
    inner = torch.full((2,), 4.0)
    assert {float(t[0]) for t in plain_tensors(lambda x: x * inner * OUTSIDE, [])} == {3.0, 4.0}


def test_generators_are_found_once_each():
    module, given = Stateful(), torch.Generator()
    found = generators(lambda x: module(x), within(modules_of(module)).values(), [given, 3, given])
    assert len(found) == 2
    assert {id(g) for g in found} == {id(given), id(module.source)}


@pytest.mark.parametrize(
    "draw",
    [
        lambda own: float(torch.rand(1)),
        lambda own: float(np.random.rand()),  # noqa: NPY002 - the global generator is what is put back
        lambda own: random.random(),
        lambda own: float(torch.rand(1, generator=own)),
    ],
)
def test_random_numbers_repeat_once_a_run_was_seen_to_draw_them(draw):
    own = torch.Generator().manual_seed(1)
    state = Randomness([own])
    assert not state.in_use
    first = draw(own)
    state.narrow()
    assert state.in_use
    state.restore()
    assert draw(own) == first
    assert draw(own) != first
    state.restore_all()
    assert draw(own) == first
    state.restore_all()


@pytest.mark.parametrize("drawn_before", [0, 1])
def test_a_normal_number_given_out_of_store_is_noticed(drawn_before):
    for _ in range(drawn_before):  # normal numbers are made in pairs; the second moves nothing but a flag
        np.random.randn()  # noqa: NPY002 - as above
    state = Randomness()
    state.narrow()
    assert not state.in_use
    first = np.random.randn()  # noqa: NPY002 - as above
    state.narrow()
    assert state.in_use
    state.restore_all()
    assert np.random.randn() == first  # noqa: NPY002 - as above
    state.restore_all()


def test_module_state_is_put_back_object_by_object():
    module = Stateful()
    module.weight.grad = gradient = torch.ones(2, dtype=DOUBLE)
    buffer, table = module.mean, list(module.table)
    state = ModuleState(within([("", module)]).values())
    module.calls, module.new, module.mean = 5, "new", torch.ones(2, dtype=DOUBLE)
    module.seen.append(1)
    module.table[0] = None
    module.train(False)
    module.weight.grad = torch.zeros(2, dtype=DOUBLE)
    gradient.mul_(9)
    state.restore_attributes()
    state.restore_gradients()
    assert (module.calls, module.seen, module.training) == (0, [], True)
    assert not hasattr(module, "new")
    assert module.mean is buffer
    assert all(a is b for a, b in zip(module.table, table, strict=True))
    assert module.weight.grad is gradient
    assert gradient.tolist() == [1.0, 1.0]


# The subject


def started(function, *args, **options):
    subject = TorchSubject(function, args, **options)
    return subject.open()


def test_a_subject_evaluates_and_pulls_back_without_a_trace():
    module, x = Stateful(), leaf(2)
    subject = started(module, x)
    try:
        assert subject.names == ["weight", "inputs[0]"]
        moved = {"weight": torch.tensor([2.0, 3.0], dtype=DOUBLE)}
        (out,) = subject.evaluate(moved)
        assert torch.equal(out, x.detach() * moved["weight"])
        (again,) = subject.evaluate({})
        assert torch.equal(again, x.detach())
        u = torch.tensor([1.0, -1.0], dtype=DOUBLE)
        found = subject.pull_back([u])
        assert torch.equal(found["weight"], u * x.detach())
        assert torch.equal(found["inputs[0]"], u)
        assert (subject.forward_runs, subject.backward_runs) == (2, 1)
    finally:
        subject.__exit__()
    assert module.weight.tolist() == [1.0, 1.0]
    assert module.weight.grad is None
    assert x.grad is None


def test_double_precision_lasts_as_long_as_the_subject_is_open():
    module = nn.Linear(3, 2)
    weight, pointer = module.weight, module.weight.data_ptr()
    with Opened(module, [torch.ones(4, 3)], {}, None) as subject:
        assert subject.double
        assert subject.is_narrow
        assert {t.dtype for t in subject.variables.values()} == {DOUBLE}
        assert torch.get_default_dtype() is DOUBLE
        with subject.suspended():
            assert module.weight.dtype is torch.float32
            assert torch.get_default_dtype() is torch.float32
        assert module.weight.dtype is DOUBLE
    assert module.weight is weight
    assert (weight.dtype, weight.data_ptr()) == (torch.float32, pointer)
    assert torch.get_default_dtype() is torch.float32


def test_what_runs_in_single_precision_only_is_verified_there():
    def single(x):
        if x.dtype is not torch.float32:
            raise TypeError("float32 only")
        return x * 2

    with Opened(single, [leaf(2, dtype=torch.float32)], {}, None) as subject:
        assert not subject.double
        assert subject.notes == ["does not run in float64: verified in its own precision"]


def test_a_constant_that_a_run_writes_into_is_as_before_at_the_next_run():
    total = torch.zeros(2, dtype=DOUBLE)

    def running(x):
        total.add_(1)
        return x * total

    subject = started(running, leaf(2))
    try:
        one, other = (
            subject.evaluate({"inputs[0]": torch.ones(2, dtype=DOUBLE)}),
            subject.evaluate({"inputs[0]": torch.ones(2, dtype=DOUBLE)}),
        )
        assert one[0].tolist() == other[0].tolist() == [1.0, 1.0]
    finally:
        subject.__exit__()
    assert total.tolist() == [0.0, 0.0]


def test_one_tensor_can_stand_for_another():
    subject = started(lambda x, y: x - y, leaf(2), leaf(2) + 1)
    try:
        with subject.running({}, aliases={"inputs[1]": "inputs[0]"}) as (leaves, outputs):
            assert leaves["inputs[0]"] is leaves["inputs[1]"]
            assert outputs[""].tolist() == [0.0, 0.0]
    finally:
        subject.__exit__()


def test_a_cotangent_that_backward_writes_into_is_not_spoilt():
    class Writing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return g.mul_(2)

    subject, u = started(Writing.apply, leaf(3)), torch.ones(3, dtype=DOUBLE)
    try:
        assert subject.pull_back([u])["inputs[0]"].tolist() == [2.0] * 3
        assert u.tolist() == [1.0] * 3
    finally:
        subject.__exit__()


def test_a_cotangent_of_none_leaves_its_output_out():
    subject = started(lambda x: (x * 2, x * 5), leaf(2))
    try:
        found = subject.pull_back([None, torch.ones(2, dtype=DOUBLE)])
        assert found["inputs[0]"].tolist() == [5.0, 5.0]
        assert subject.pull_back([None, None]) == {"inputs[0]": None}
    finally:
        subject.__exit__()


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise ValueError("first line\nsecond line")


def test_a_backward_pass_that_raises_says_so_in_one_line():
    subject = started(Raising.apply, leaf(2))
    try:
        with pytest.raises(BackwardError) as caught:
            subject.pull_back([torch.ones(2, dtype=DOUBLE)])
        assert str(caught.value) == "ValueError: first line"
    finally:
        subject.__exit__()


@pytest.mark.parametrize(
    ("function", "args", "error", "message"),
    [
        (lambda x: x.argmax(), [leaf(3)], TargetError, "returns no floating-point tensor"),
        (lambda x: x * 2, [torch.arange(3)], UsageError, "has the integer type int64"),
        (lambda x: x @ leaf(7), [leaf(3)], TargetError, "The forward pass of <lambda> raises RuntimeError"),
    ],
)
def test_what_cannot_be_verified_is_said_in_a_sentence(function, args, error, message):
    with pytest.raises(error, match=message), Opened(function, args, {}, None):
        pass


def test_lazy_parameters_are_to_be_made_first():
    with (
        pytest.raises(UsageError, match="run it once before verifying"),
        Opened(nn.LazyLinear(2), [leaf(3)], {}, None),
    ):
        pass


# Second order


def test_the_second_order_of_a_subject_has_its_gradients_as_outputs():
    x, u = leaf(3), torch.tensor([1.0, 2.0, -1.0], dtype=DOUBLE)
    subject = started(lambda x: x**3, x)
    try:
        second = SecondOrderSubject(subject, [u])
        assert list(second.variables) == ["inputs[0]", "cotangents[0]"]
        (g,) = second.evaluate({})
        assert torch.allclose(g, 3 * x.detach() ** 2 * u)
        (g,) = second.evaluate({"cotangents[0]": 2 * u, "inputs[0]": torch.ones(3, dtype=DOUBLE)})
        assert torch.allclose(g, 6 * u)
        v = torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)
        found = second.pull_back([v])
        assert torch.allclose(found["inputs[0]"], 6 * x.detach() * u * v)
        assert torch.allclose(found["cotangents[0]"], 3 * x.detach() ** 2 * v)
    finally:
        subject.__exit__()


def test_a_gradient_that_does_not_depend_on_anything_but_the_cotangent():
    subject = started(lambda x: 4 * x, leaf(2))
    try:
        second = SecondOrderSubject(subject, [torch.ones(2, dtype=DOUBLE)])
        found = second.pull_back([torch.ones(2, dtype=DOUBLE)])
        assert found["inputs[0]"] is None or not found["inputs[0]"].any()
        assert found["cotangents[0]"].tolist() == [4.0, 4.0]
    finally:
        subject.__exit__()


# A report


def test_a_right_and_a_wrong_leaf_are_told_apart_in_one_report():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, -g * x

    report = gradcheck.verify(Wrong.apply, leaf(4), leaf(4))
    assert {name: str(r.verdict) for name, r in report.parameters.items()} == {
        "inputs[0]": "pass",
        "inputs[1]": "fail",
    }
    assert any("Wrong" in blame.operation for blame in report.blames), report.blames
    assert report.cost.forward_evaluations > 0 < report.cost.backward_evaluations


def test_a_backward_pass_that_raises_fails_every_leaf():
    report = gradcheck.verify(lambda x, y: Raising.apply(x) * y, leaf(2), leaf(2))
    assert report.verdict == "fail"
    assert report.message == "the backward pass raises ValueError: first line"
    assert all(result.verdict == "fail" for result in report.parameters.values())


def test_a_gradient_that_autograd_itself_refuses_has_the_diagnosis_shape():
    class Unreduced(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.expand(3, 2)

        @staticmethod
        def backward(ctx, g):
            return g.T

    report = gradcheck.verify(Unreduced.apply, leaf(2))
    assert report.verdict == "fail"
    diagnoses = report.parameters["inputs[0]"].diagnoses
    assert [d.kind for d in diagnoses] == ["shape"]
    assert "sum over a broadcast axis missing" in diagnoses[0].message


def test_a_waiver_for_a_name_that_is_not_there_names_the_nearest():
    with pytest.raises(UsageError, match=r"allow names 'wieght', which is not verified here.*weight"):
        gradcheck.verify(Stateful(), leaf(2), allow={"wieght": "typing"})
