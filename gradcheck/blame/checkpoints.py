"""Activation checkpointing computes the forward pass again in the backward pass: the same, one hopes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from gradcheck.blame.location import Place, caller


@contextlib.contextmanager
def bypassed() -> Iterator[dict[Place, None]]:
    """Run checkpointed functions plainly, and collect where they are called.

    The older kind, ``use_reentrant=True``, is run plainly by every tracer.
    """
    module: Any = sys.modules.get("torch.utils.checkpoint")
    places: dict[Place, None] = {}
    if module is None:
        yield places
        return
    original = module._checkpoint_without_reentrant_generator

    def plain(*_args: Any, **_kwargs: Any) -> Iterator[None]:
        place = caller()
        if place is not None:
            places[place] = None
        yield

    module._checkpoint_without_reentrant_generator = plain
    try:
        yield places
    finally:
        module._checkpoint_without_reentrant_generator = original
