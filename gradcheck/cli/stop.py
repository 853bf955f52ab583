"""Being stopped: Ctrl-C and SIGTERM end a run in order, so that what was found is shown and written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the run was asked to stop; ``status`` is the exit status for that, 128 + the signal."""

    status: int | None = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Raise KeyboardInterrupt on the first Ctrl-C or SIGTERM; a second one ends the program at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may ask for signals
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def interrupt(number: int, _frame: FrameType | None) -> None:
        stop.status = 128 + number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    try:
        for number in _SIGNALS:
            signal.signal(number, interrupt)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
