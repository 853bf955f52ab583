"""Random generators that a forward pass may draw from, put back so that it draws the same numbers again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gradcheck.subjects.global_random import GlobalRandom


class Randomness:
    """The global random generators of PyTorch, NumPy and Python, and ``own`` ones, at one moment.

    ``used`` puts back each of those that a forward pass was found to use.
    """

    def __init__(self, own: Sequence[torch.Generator] = ()) -> None:
        self._own = [(generator, generator.get_state()) for generator in own]
        self._torch = torch.default_generator.get_state()
        self._torch_memory = self._torch.numpy().tobytes()
        self._others = GlobalRandom()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.used: list[Callable[[Randomness], None]] = []

    def restore(self) -> None:
        """Put back the generators that a forward pass was found to use."""
        for put_back in self.used:
            put_back(self)

    def restore_all(self) -> None:
        """Put back every generator that has moved."""
        for put_back in self._moved():
            put_back(self)

    @property
    def moved(self) -> bool:
        """Whether a generator has moved since."""
        return bool(self._moved())

    def narrow(self) -> None:
        """Find out, after a forward pass, which generators it used; those are put back from now on."""
        self.used = self._moved()

    @property
    def in_use(self) -> bool:
        """Whether the forward pass draws random numbers."""
        return bool(self.used)

    def _moved(self) -> list[Callable[[Randomness], None]]:
        moved: list[Callable[[Randomness], None]] = []
        if self._torch_memory != torch.default_generator.get_state().numpy().tobytes():
            moved.append(Randomness._restore_torch)
        if self._others.numpy_moved():
            moved.append(Randomness._restore_numpy)
        if self._others.python_moved():
            moved.append(Randomness._restore_python)
        if self._cuda is not None:
            moved.append(Randomness._restore_cuda)
        if self._own and any(not torch.equal(state, generator.get_state()) for generator, state in self._own):
            moved.append(Randomness._restore_own)
        return moved

    def _restore_numpy(self) -> None:
        self._others.restore_numpy()

    def _restore_python(self) -> None:
        self._others.restore_python()

    def _restore_own(self) -> None:
        for generator, state in self._own:
            generator.set_state(state)

    def _restore_torch(self) -> None:
        torch.random.set_rng_state(self._torch)

    def _restore_cuda(self) -> None:
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
