"""Cases over several processes, the outcomes in the order of the cases.

Processes are spawned, not forked: engines bring threads, devices and locks (PyTorch's pools, JAX's runtime)
that a fork copies in whatever state they are. A spawned worker imports the engine anew, so it has to be one
that can be pickled or loaded by the name that the user gave. Each worker computes on one core.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any

from gradcheck.engines.base import Engine
from gradcheck.errors import EngineError
from gradcheck.suite.plan import Ticket
from gradcheck.suite.records import Outcome

Outcomes = Generator[Outcome, None, None]

_CHUNK = 8  # cases sent at a time: some tenths of a second, so that Ctrl-C and progress stay lively
_AHEAD = 3  # chunks in flight for each worker
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serial(tickets: Iterable[Ticket], engine: Engine, options: Mapping[str, Any]) -> Outcomes:
    """Yield the outcome of each case, in this process."""
    from gradcheck.suite.examine import examine

    for ticket in tickets:
        yield examine(ticket.draw(), engine, options, seed=ticket.number)


def sendable(engine: Engine, load: Callable[[], Engine] | None) -> bytes | None:
    """Return what makes the engine in another process, None where nothing does."""
    for source in (engine,) if load is None else (load,):
        try:
            packed = pickle.dumps(source)
            pickle.loads(packed)
        except Exception:  # pickling runs the user's code: whatever it raises, it cannot be sent
            return None
        return packed
    return None


def parallel(
    tickets: Iterable[Ticket], packed: bytes, by_loading: bool, options: Mapping[str, Any], jobs: int
) -> Outcomes:
    """Yield the outcome of each case, in order, from ``jobs`` processes.

    Raises:
        EngineError: where a process dies, or the engine cannot be made there.
    """
    before = set(multiprocessing.active_children())
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            jobs,
            multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(packed, by_loading, dict(options)),
        )
        try:
            yield from _in_order(pool, _chunks(tickets), jobs)
        except BrokenProcessPool as error:
            raise EngineError(
                "A worker process died, or could not make the engine; run again with --jobs 1 to see why."
            ) from error
        except BaseException:  # also where the caller has had enough: nobody waits for what is under way
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _chunks(tickets: Iterable[Ticket]) -> Iterator[Sequence[Ticket]]:
    left = iter(tickets)
    while chunk := tuple(islice(left, _CHUNK)):
        yield chunk


def _in_order(pool: ProcessPoolExecutor, chunks: Iterable[Sequence[Ticket]], jobs: int) -> Iterator[Outcome]:
    waiting: deque[Future[list[Outcome]]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(_run, chunk))
        if len(waiting) >= jobs * _AHEAD:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start now compute on one core: the libraries read this when they are imported."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_worker: dict[str, Any] = {}  # of a worker process: its engine and options, made once


def _begin(packed: bytes, by_loading: bool, options: Mapping[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    made = pickle.loads(packed)
    _worker.update(engine=made() if by_loading else made, options=options)
    import torch

    torch.set_num_threads(1)


def _run(chunk: Sequence[Ticket]) -> list[Outcome]:
    return list(serial(chunk, _worker["engine"], _worker["options"]))
