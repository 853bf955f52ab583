"""One seed for every source of random numbers that a target may draw from, and all of them put back after.

A reported failure can be reproduced only if the target makes the same inputs again.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What PyTorch seeds its generator with when it is imported (c10::detail::default_rng_seed_val).
_TORCH_FRESH = 67280421310721
_NUMPY_LARGEST = 2**32


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed the random number generators of Python, and of NumPy and PyTorch where loaded, for a while.

    None stands for loading a file, which may import PyTorch itself: then PyTorch's generator is put where
    a fresh import puts it, so that the numbers drawn do not depend on who imported it first.
    """
    state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy else None
    torch_state = torch.random.get_rng_state() if torch else None
    cuda_states = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    try:
        random.seed(seed or 0)
        if numpy:
            numpy.random.seed((seed or 0) % _NUMPY_LARGEST)
        if torch:
            torch.manual_seed(_TORCH_FRESH if seed is None else seed % 2**63)
        yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(numpy_state)
        if torch:
            torch.random.set_rng_state(torch_state)
        if torch and cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
