"""One process with a time limit, of whose output only the end is kept, and which leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_KEPT = 8000  # bytes of output
_CHUNK = 65536
_LAST = 2.0  # seconds in which a reader sees the end of a process that was killed


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, None where its time was up, and the end of what it printed."""

    status: int | None
    printed: str
    seconds: float


class Processes:
    """Starts processes, from several threads, until it is told to stop; then it kills those that run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, words: Sequence[str], limit: float, environment: Mapping[str, str]) -> Ended | None:
        """Run a command for at most ``limit`` seconds; None where everything was stopped meanwhile."""
        start = time.perf_counter()
        process = self._start(words, environment)
        if process is None:
            return None
        tail = _Tail(process.stdout)
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with self._lock:
                self._running.discard(process)
            _kill(process)
        return None if self.stopped else Ended(status, tail.text(), time.perf_counter() - start)

    def stop(self) -> None:
        """Kill what runs, and start nothing more."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                _kill(process)

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self.stopped:
                return None
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is ours to handle, and its children end with it
            )
            self._running.add(process)
        return process


class _Tail:
    """Reads a stream to its end, so that the writer never waits, and keeps the last of it."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None  # the process was started with a pipe
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), _CHUNK):
                self._kept = (self._kept + chunk)[-_KEPT:]

    def text(self) -> str:
        self._thread.join(_LAST)
        return self._kept.decode("utf-8", errors="backslashreplace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started, except where they left its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left, or only what has ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST)
