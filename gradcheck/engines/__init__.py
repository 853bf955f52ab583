"""What an engine is; each engine is in a module of its own, and imported where it is used."""

from gradcheck.engines.base import (
    Answer,
    Engine,
    NonFiniteError,
    UnsupportedError,
    call_engine,
    is_engine,
    require_engine,
    unsupported,
)

__all__ = [
    "Answer",
    "Engine",
    "NonFiniteError",
    "UnsupportedError",
    "call_engine",
    "is_engine",
    "require_engine",
    "unsupported",
]
