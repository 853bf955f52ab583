"""Hooks that put another gradient in the place of the right one, and hooks that only look."""

from collections.abc import Iterator

import pytest
import torch
from blame_lines import line
from torch import nn

from gradcheck.blame import find_blame


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def clip(gradient):  # clip
    return gradient.clamp(-0.01, 0.01)


def look(gradient):
    gradient.norm()


def test_a_tensor_hook_that_alters_is_blamed_and_one_that_looks_is_not():
    x = torch.randn(3, requires_grad=True)

    def run():
        y = x.exp()
        y.register_hook(look)
        y.register_hook(clip)  # attached
        return [y.sin()]

    result = find_blame(run, {"x": x})
    (blame,) = result.blames
    assert blame.operation == "hook clip"
    assert blame.location == line("clip")
    assert line("attached") in blame.message
    assert not result.all_calls_right


def halve(gradient):  # halves in place
    gradient.mul_(0.5)


def test_a_hook_that_writes_into_its_gradient_is_blamed():
    x = torch.randn(3, requires_grad=True)

    def run():
        y = x.exp()
        y.register_hook(halve)
        return [y.sin()]

    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.location == line("halves in place")


def doubled(grad_inputs, grad_outputs):  # doubled
    return tuple(2 * g for g in grad_inputs)


def test_a_hook_on_a_grad_fn_is_blamed():
    x = torch.randn(3, requires_grad=True)

    def run():
        y = x.exp()
        y.grad_fn.register_hook(doubled)
        return [y.sin()]

    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.location == line("doubled")


def test_saved_tensors_that_come_back_changed_are_blamed():
    x = torch.randn(3, requires_grad=True)

    def run():
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.double()):  # half
            return [x.sin()]

    (blame,) = find_blame(run, {"x": x}).blames
    assert (blame.operation, blame.location) == ("saved_tensors_hooks", line("half"))


def test_saved_tensors_that_come_back_the_same_are_innocent():
    x = torch.randn(3, requires_grad=True)

    def run():
        with torch.autograd.graph.save_on_cpu():
            return [x.sin()]

    assert find_blame(run, {"x": x}).all_calls_right


def test_a_hook_on_a_leaf_is_found_and_stays_as_it_was():
    x = torch.randn(3, requires_grad=True)
    handle = x.register_hook(clip)
    before = dict(x._backward_hooks)
    (blame,) = find_blame(lambda: [x.exp()], {"x": x}).blames
    assert blame.location == line("clip")
    assert dict(x._backward_hooks) == before
    handle.remove()


def scale(module, grad_input, grad_output):  # scale
    return tuple(None if g is None else 2 * g for g in grad_input)


def scale_before(module, grad_output):  # scale_before
    return tuple(3 * g for g in grad_output)


def watch(module, grad_input, grad_output):
    return None


@pytest.mark.parametrize("hook", [scale, scale_before])
def test_a_module_hook_that_alters_is_blamed(hook):
    layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    layers[0].register_full_backward_hook(watch)
    if hook is scale:
        layers[2].register_full_backward_hook(scale)
    else:
        layers[2].register_full_backward_pre_hook(scale_before)
    x = torch.randn(5, 3)
    (blame,) = find_blame(lambda: [layers(x)], dict(layers.named_parameters())).blames
    assert blame.operation == f"hook {hook.__name__}"
    assert blame.location == line(hook.__name__)
    assert "module" in blame.message


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook")
def test_a_module_hook_of_the_old_kind_is_blamed():
    layer, x = nn.Linear(3, 4), torch.randn(5, 3, requires_grad=True)
    layer.register_backward_hook(scale)
    (blame,) = find_blame(lambda: [layer(x)], {"x": x}).blames
    assert blame.location == line("scale")


def test_hooks_that_only_look_leave_everything_right():
    layer = nn.Linear(3, 4)
    layer.register_full_backward_hook(watch)
    layer.weight.register_hook(look)
    x = torch.randn(5, 3)
    assert find_blame(lambda: [layer(x)], dict(layer.named_parameters())).all_calls_right


def test_a_pair_of_hooks_that_undo_each_other_is_innocent():
    x = torch.randn(3, requires_grad=True)

    def run():
        y = x.exp()
        y.register_hook(lambda gradient: gradient / 1024)
        z = y.sin()
        z.register_hook(lambda gradient: gradient * 1024)
        return [z.cos()]

    assert find_blame(run, {"x": x}).all_calls_right
