"""A torch subject at many points at once, by ``torch.vmap``: points that differ in one entry of one leaf.

Parameters and buffers go in through ``torch.func.functional_call``, so that the user's modules are not
touched. Where a forward pass writes into its buffers or inputs, each point gets its own. What vmap refuses (a
custom Function without a rule, control flow over values, a round trip through NumPy) raises here, and is
evaluated one by one elsewhere. None of this imports ``torch._dynamo``; a TorchDispatchMode would.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from gradcheck.subjects.torch.functional import Caller

if TYPE_CHECKING:
    from gradcheck.subjects.torch.subject import TorchSubject

# What the batches of all steps of a line may hold, and the most points in one: beyond that nothing is won.
BYTES = 256 * 2**20
POINTS = 512
_STEPS = 8


class Refused(Exception):
    """The subject cannot be evaluated at many points at once."""


class Batched:
    """The outputs of an open subject at points that differ from its base point in one entry of one leaf.

    Raises:
        Refused: when made, where that cannot be done, or gives other outputs than one evaluation alone.
    """

    def __init__(self, subject: TorchSubject, name: str) -> None:
        self._subject, self._name = subject, name
        self._leaf = subject.variables[name]
        plain = type(self._leaf) in (torch.Tensor, torch.nn.Parameter)
        if not plain or self._leaf.layout is not torch.strided:
            raise Refused("a tensor of another kind than dense")
        self._caller = Caller(subject)
        self._keys = self._caller.keys()
        self._own = False  # whether each point needs buffers and inputs of its own
        self.points = int(min(POINTS, BYTES // (_STEPS * max(self._size(), 1))))
        if self.points < 2:
            raise Refused("one evaluation is as large as a batch may be")
        self._try()

    def _size(self) -> int:
        """Return about how many bytes one evaluation holds: leaf, outputs, and what backward would need."""
        held = [_bytes(self._leaf), *(_bytes(out) for out in self._subject.outputs)]

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            held.append(_bytes(tensor))
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with torch.enable_grad(), hooks, self._subject.running({}):
            pass
        return sum(held)

    def _try(self) -> None:
        """Find out whether vmap takes the subject, with the batched buffers and inputs if need be."""
        size = self._leaf.numel()
        flat = np.unique(np.asarray([0, size // 2, size - 1]))
        moves = np.asarray([max(abs(complex(self._leaf.reshape(-1)[int(i)])), 1.0) for i in flat]) * 2.0**-8
        for own in (False, True):
            self._own = own
            try:
                rows = self.rows(flat, moves)
            except Exception as error:  # users' code, in circumstances that it was not written for
                refusal: Exception = error
                continue
            for row, i, move in zip(rows, flat, moves, strict=True):
                self._check(row, int(i), float(move))
            return
        raise Refused(f"{type(refusal).__name__}: {refusal}")

    def _check(self, row: torch.Tensor, i: int, move: float) -> None:
        """Compare one row with the same point evaluated alone."""
        point = self._leaf.clone(memory_format=torch.contiguous_format)
        point.view(-1)[i] += move
        alone = _flat(self._subject.evaluate({self._name: point}))
        base = _flat(self._subject.evaluate({}))
        if row.shape != alone.shape:
            raise Refused("the outputs change their shape")
        known = torch.isfinite(alone)
        if not torch.equal(known, torch.isfinite(row)):
            raise Refused("other outputs are finite")
        a, b, c = alone[known], row[known], base[known]
        if not a.numel():
            return
        allowed = 1e3 * self._subject.epsilon * a.abs().max() + 1e-6 * (a - c).abs().nan_to_num().max()
        if bool((a - b).abs().max() > allowed):
            raise Refused("the outputs of a batch are others than those of one evaluation")

    def rows(self, flat: np.ndarray, moves: np.ndarray) -> torch.Tensor:
        """Return the flat outputs, one row for each point: entry ``flat[r]`` is moved by ``moves[r]``.

        Rows are real and in double precision, as those of ``numerical.line.flatten``. Raises what the user's
        code, or vmap, raises.
        """
        count, size = len(flat), self._leaf.numel()
        leaves = self._leaf.reshape(1, size).repeat(count, 1)
        where = torch.arange(count, device=leaves.device), torch.as_tensor(flat, device=leaves.device)
        steps = torch.as_tensor(moves if leaves.is_complex() else moves.real, device=leaves.device)
        leaves[where] += steps.to(leaves.dtype)
        outputs = self._mapped(leaves.reshape(count, *self._leaf.shape))
        return torch.cat([_wide(out).reshape(count, -1) for out in outputs], 1)

    def _mapped(self, leaves: torch.Tensor) -> list[torch.Tensor]:
        subject, count = self._subject, leaves.shape[0]
        with_grad = subject.needs_grad_mode
        subject.renew()
        others = self._caller.others(self._name) if self._own else {}
        copies = {key: tensor.expand(count, *tensor.shape).clone() for key, tensor in others.items()}

        def outputs(leaf: torch.Tensor, copied: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
            return self._caller.outputs({**copied, self._name: leaf}, self._keys)

        try:
            with warnings.catch_warnings(), torch.set_grad_enabled(with_grad):
                warnings.simplefilter("ignore")  # vmap tells of operations over which it loops
                found = torch.vmap(outputs, randomness="same")(leaves, copies)
        finally:
            subject.renew()
        return [out.detach() for out in found]


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _flat(outputs: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([_wide(out.detach()[None]).reshape(-1) for out in outputs])


def _wide(out: torch.Tensor) -> torch.Tensor:
    """Return rows in double precision, real and imaginary part interleaved as ``flatten`` does."""
    if out.layout is not torch.strided:
        out = out.to_dense()
    if out.is_complex():
        out = torch.view_as_real(out.resolve_conj())
    return out.to(torch.float64)
