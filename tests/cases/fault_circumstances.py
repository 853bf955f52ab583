"""Gradients of a program under the circumstances in which planted faults show, by plain torch alone.

Nothing of gradcheck is used here: this is the proof that a fault is one and that its twin is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.utils import _pytree as pytree

from cases.faults.torch import Program

Gradients = list[torch.Tensor | None]


class Run:
    """One forward pass of a program on copies of its tensors. ``outputs`` and ``leaves`` are lists."""

    def __init__(self, program: Program, plain: bool = False, frozen: frozenset[int] = frozenset()) -> None:
        function = program.plain if plain else program.function
        flat, spec = pytree.tree_flatten(program.args)
        parameters = list(function.parameters()) if isinstance(function, torch.nn.Module) else []
        copies = {id(t): _as_it_lies(t) for t in flat if isinstance(t, torch.Tensor)}
        flat = [copies.get(id(t), t) for t in flat]
        unique = list({id(t): t for t in flat if isinstance(t, torch.Tensor)}.values())
        self.leaves = [t for t in [*unique, *parameters] if t.requires_grad]
        for i in frozen:
            self.leaves[i].requires_grad_(False)
        outputs = function(*pytree.tree_unflatten(flat, spec), **program.kwargs)
        self.outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        self.values = [out.detach().clone() for out in self.outputs]
        self.wanted = [leaf for leaf in self.leaves if leaf.requires_grad]
        for i in frozen:
            self.leaves[i].requires_grad_(True)

    def pull(self, cotangents: list[torch.Tensor | None], **options: bool) -> Gradients:
        pairs = [
            (out, u)
            for out, u in zip(self.outputs, cotangents, strict=True)
            if u is not None and out.requires_grad
        ]
        outs, us = [out for out, _ in pairs], [u for _, u in pairs]
        if not outs:
            return [None] * len(self.wanted)
        return list(torch.autograd.grad(outs, self.wanted, us, allow_unused=True, **options))

    def cotangents(self) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        return [torch.randn(out.shape, generator=generator, dtype=out.dtype) for out in self.values]


def _as_it_lies(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor with its strides."""
    copied = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor.detach())
    return copied.requires_grad_(tensor.requires_grad)


Evidence = Iterator[tuple[Gradients, Gradients]]
Pull = Callable[[Run], Gradients]


def _pulls(program: Program, pull: Pull, **options: frozenset[int]) -> tuple[Gradients, Gradients]:
    """Return what a program and its plain twin give to the same questions."""
    return pull(Run(program, **options)), pull(Run(program, plain=True, **options))


def at_the_point(program: Program) -> Evidence:
    yield _pulls(program, lambda run: [*run.values, *run.pull(run.cotangents())])


def elsewhere(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Program], Evidence]:
    """Change all inputs, and each alone: a function may have no value with all of them changed."""

    def evidence(program: Program) -> Evidence:
        tensors = [a for a in program.args if isinstance(a, torch.Tensor)]
        for chosen in (tensors, *([t] for t in tensors)):
            ids = {id(t) for t in chosen}
            args = [
                change(a.detach()).requires_grad_(a.requires_grad) if id(a) in ids else a
                for a in program.args
            ]
            moved = replace(program, args=tuple(args))
            yield from _where_defined(moved)

    return evidence


def _where_defined(program: Program) -> Evidence:
    """Yield nothing where the plain twin has no value or no gradient."""
    try:
        run = Run(program, plain=True)
    except RuntimeError:
        return
    found = [*run.values, *(g for g in run.pull(run.cotangents()) if g is not None)]
    if all(bool(torch.isfinite(t).all()) for t in found):
        yield from at_the_point(program)


def first_here(then: Callable[[Program], Evidence]) -> Callable[[Program], Evidence]:
    """Ask at the given point first: something may be remembered."""

    def evidence(program: Program) -> Evidence:
        yield from at_the_point(program)
        yield from then(program)

    return evidence


def _some_zeros(t: torch.Tensor) -> torch.Tensor:
    return t.flatten().index_fill(0, torch.arange(0, t.numel(), 3), 0).reshape(t.shape)


def _ties(t: torch.Tensor) -> torch.Tensor:
    return torch.round(t) if t.is_floating_point() else t


def _floats(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda t: change(t) if t.is_floating_point() or t.is_complex() else t.clone()


def _zero_index(t: torch.Tensor) -> torch.Tensor:
    if t.dtype is not torch.int64 or not bool((t > 0).any()):
        return t.clone()
    return torch.where(t == t[t > 0].min(), 0, t)


def _whole_and_empty(t: torch.Tensor) -> torch.Tensor:
    t = t.clone()
    if t.dtype is torch.bool:
        t[0], t[-1] = False, True
    return t


def _one_index(t: torch.Tensor) -> torch.Tensor:
    return t.clone() if t.dtype is not torch.int64 else torch.full_like(t, int(t.max()))


def cotangent_layouts(program: Program) -> Evidence:
    def transposed(run: Run) -> Gradients:
        return run.pull([u.mT.contiguous().mT if u.ndim > 1 else u for u in run.cotangents()])

    def expanded(run: Run) -> Gradients:
        return run.pull([torch.tensor(0.37, dtype=u.dtype).expand(u.shape) for u in run.values])

    yield _pulls(program, transposed)
    yield _pulls(program, expanded)


def linearity(program: Program) -> Evidence:
    for factor in (100.0, 0.001):
        yield _pulls(program, lambda run, by=factor: run.pull([by * u for u in run.cotangents()]))


def each_output_alone(program: Program) -> Evidence:
    count = len(Run(program).outputs)
    for i in range(count):
        yield _pulls(
            program,
            lambda run, i=i: run.pull([u if j == i else None for j, u in enumerate(run.cotangents())]),
        )


def subsets(program: Program) -> Evidence:
    count = len(Run(program).leaves)
    every = frozenset(range(count))
    for i in range(count):
        for frozen in (every - {i}, frozenset([i])):
            if frozen != every:
                yield _pulls(program, lambda run: run.pull(run.cotangents()), frozen=frozen)


def non_contiguous(program: Program) -> Evidence:
    def strided(t: torch.Tensor) -> torch.Tensor:
        apart = torch.stack([t, torch.full_like(t, 7)], -1)[..., 0]
        return apart.requires_grad_(t.requires_grad)

    def channels_last(t: torch.Tensor) -> torch.Tensor:
        laid = t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        return laid.requires_grad_(t.requires_grad)

    for change in (strided, channels_last):
        args = tuple(
            change(a.detach()).requires_grad_(a.requires_grad) if isinstance(a, torch.Tensor) else a
            for a in program.args
        )
        yield from at_the_point(replace(program, args=args))


def same_twice(program: Program) -> Evidence:
    first = next((a for a in program.args if isinstance(a, torch.Tensor) and a.requires_grad), None)
    if first is None:
        return
    args = tuple(
        first if isinstance(a, torch.Tensor) and a.shape == first.shape and a.requires_grad else a
        for a in program.args
    )
    yield from _where_defined(replace(program, args=args))


def repeated(program: Program) -> Evidence:
    def twice(run: Run) -> Gradients:
        us = run.cotangents()
        once = [g if g is None else g.clone() for g in run.pull(us, retain_graph=True)]
        return [*once, *run.pull(us)]

    for _ in range(2):
        yield _pulls(program, twice)
    yield _crossed(program), _crossed(program, plain=True)


def _crossed(program: Program, plain: bool = False) -> Gradients:
    """Return the gradients of a run after another one, on other numbers."""
    run = Run(program, plain)
    moved = [
        (0.9 * a.detach()).requires_grad_(a.requires_grad)
        if isinstance(a, torch.Tensor) and a.is_floating_point()
        else a
        for a in program.args
    ]
    Run(replace(program, args=tuple(moved)), plain)
    return run.pull(run.cotangents())


def unchanged(program: Program) -> Evidence:
    run = Run(program)
    before = _tensors(program)
    us = run.cotangents()
    run.pull(us)
    after = [t.detach() for t in run.leaves]
    yield [*after, *us], [*before, *run.cotangents()]


def _tensors(program: Program) -> list[torch.Tensor]:
    """Return the leaves of a program that is still as it was made, in the order of a run's."""
    given = {id(t): t for t in pytree.tree_leaves(program.args) if isinstance(t, torch.Tensor)}
    own = program.function.parameters() if isinstance(program.function, torch.nn.Module) else []
    return [t.detach().clone() for t in [*given.values(), *own] if t.requires_grad]


def second_order(program: Program) -> Evidence:
    def pull(run: Run) -> Gradients:
        us = [u.requires_grad_() for u in run.cotangents()]
        first = [g for g in run.pull(us, create_graph=True) if g is not None]
        generator = torch.Generator().manual_seed(6)
        vs = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in first]
        pairs = [(g, v) for g, v in zip(first, vs, strict=True) if g.requires_grad]
        return list(
            torch.autograd.grad(
                [g for g, _ in pairs], [*run.wanted, *us], [v for _, v in pairs], allow_unused=True
            )
            if pairs
            else [None] * (len(run.wanted) + len(us))
        )

    yield _pulls(program, pull)


CIRCUMSTANCES: dict[str, Callable[[Program], Evidence]] = {
    "": at_the_point,
    "cotangent layouts": cotangent_layouts,
    "each output alone": each_output_alone,
    "large magnitudes": elsewhere(_floats(lambda t: 100 * t)),
    "linearity": linearity,
    "non-contiguous inputs": non_contiguous,
    "nothing changed in place": unchanged,
    "other settings": at_the_point,
    "other points": first_here(elsewhere(_floats(lambda t: 0.7 * t + 0.1))),
    "other sizes": at_the_point,
    "own precision": at_the_point,
    "repeated backward": repeated,
    "repeated indices": elsewhere(_one_index),
    "requires_grad subsets": subsets,
    "same tensor twice": same_twice,
    "second order": second_order,
    "some zeros": elsewhere(_floats(_some_zeros)),
    "ties": elsewhere(_floats(_ties)),
    "whole and empty masks": elsewhere(_whole_and_empty),
    "zero indices": elsewhere(_zero_index),
    "zeros": elsewhere(_floats(torch.zeros_like)),
}


def differ(a: torch.Tensor | None, b: torch.Tensor | None, tolerance: float) -> bool:
    """Whether two gradients differ by more than a share of their largest entry; None is zero."""
    if a is None and b is None:
        return False
    a = torch.zeros_like(b) if a is None else a  # type: ignore[arg-type]  # not both are None
    b = torch.zeros_like(a) if b is None else b
    if a.shape != b.shape:
        return True
    if a.numel() == 0:
        return False
    return not bool((a - b).abs().max() <= tolerance * (b.abs().max() + 1e-3))


def shows(program: Program, circumstance: str, tolerance: float) -> bool:
    """Whether a program's gradients differ from its plain twin's; a backward pass that raises does."""
    try:
        for found, expected in CIRCUMSTANCES[circumstance](program):
            if len(found) != len(expected):
                return True
            if any(differ(a, b, tolerance) for a, b in zip(found, expected, strict=True)):
                return True
    except RuntimeError:
        return True
    return False
