"""Every entry of a gradient, many at once where the subject allows it.

Along single entries the quick estimate settles nearly all: those steps are evaluated together, a row for each
entry and step. What it does not settle goes the long way alone, and so do the worst of what it would call
wrong: a batch that one evaluation contradicts is not believed at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.examination import Examination
from gradcheck.locate import Entries, examine
from gradcheck.numerical.together import Together
from gradcheck.probes import Pulled
from gradcheck.progress import Watch
from gradcheck.report.words import duration

# Fewer entries than this are not worth asking whether they can be evaluated together.
_FEWEST = 8
# Of what a batch would call wrong, so many of the worst are looked at alone.
_ALONE = 4


@dataclass
class Tally:
    """How the entries of a subject were examined, for the note in the report."""

    entries: int = 0
    seconds: float = 0.0
    together: int = 0
    batch: int = 0

    def note(self) -> str:
        """Say it in one sentence."""
        told = f"every entry: {self.entries:,} entries in {duration(self.seconds)}"
        if not self.together:
            return f"{told}, one by one"
        alone = self.entries - self.together
        return f"{told}, batched by {self.batch:,}" + (f", {alone:,} of them alone" if alone else "")


@dataclass
class _Columns:
    """The columns of Entries while they are filled; ``settled`` rows need no closer look."""

    expected: np.ndarray
    uncertainty: np.ndarray
    kink: np.ndarray
    settled: np.ndarray


def examine_every(
    exam: Examination, pulled: Pulled, name: str, watch: Watch, tally: Tally, within: float | None = None
) -> Entries:
    """Examine every finite entry of a leaf; at most ``within`` seconds long, where that is given."""
    start = time.perf_counter()
    keep = pulled.finite.get(name)
    flat = np.arange(exam.values[name].size) if keep is None else np.flatnonzero(keep)
    ask = getattr(exam.subject, "together", None) if flat.size >= _FEWEST else None
    batched = ask(name) if ask is not None else None
    columns = None
    if batched is not None:
        columns = _in_batches(exam, pulled, name, flat, batched, watch, start, within)
        tally.batch = max(tally.batch, min(int(batched.points), flat.size))
    entries = _completed(exam, pulled, name, flat, columns, watch, start, within)
    tally.entries += entries.flat.size
    tally.together += 0 if columns is None else entries.flat.size - _alone(entries)
    tally.seconds += time.perf_counter() - start
    return entries


def _alone(entries: Entries) -> int:
    units = 2 if np.iscomplexobj(entries.expected) else 1
    return min(len(entries.probes) // units, entries.flat.size)


def _over(start: float, within: float | None) -> bool:
    return within is not None and time.perf_counter() - start > within


def _in_batches(
    exam: Examination,
    pulled: Pulled,
    name: str,
    flat: np.ndarray,
    batched: Any,
    watch: Watch,
    start: float,
    within: float | None,
) -> _Columns:
    columns = _Columns(
        np.full(flat.size, np.nan, complex if exam.values[name].dtype.kind == "c" else float),
        np.full(flat.size, np.inf),
        np.zeros(flat.size, bool),
        np.zeros(flat.size, bool),
    )
    first, last = 0, batched.points
    lines = None
    while first < flat.size and not _over(start, within):
        part = slice(first, min(last, flat.size))
        try:
            if lines is None:
                base = _rows(exam, batched, flat[:1], np.zeros(1))[0]
                lines = Together(base, pulled.flat, exam.subject.epsilon)
            _settle(exam, pulled, name, flat[part], part, batched, lines, columns)
        except Exception:  # users' code at these points, or no memory left: one by one
            columns.settled[part] = False
        watch.advance(int(columns.settled[part].sum()))
        first, last = part.stop, part.stop + batched.points
    return columns


def _settle(
    exam: Examination,
    pulled: Pulled,
    name: str,
    chosen: np.ndarray,
    part: slice,
    batched: Any,
    lines: Together,
    columns: _Columns,
) -> None:
    """Fill the columns for a part of the entries; complex ones along both their parts."""
    value = exam.values[name]
    scales = np.broadcast_to(exam.scales[name], value.shape).reshape(-1)[chosen]
    gradient = pulled.gradients[name].reshape(-1)[chosen]
    units: tuple[complex, ...] = (1.0, 1.0j) if value.dtype.kind == "c" else (1.0,)
    settled = np.ones(chosen.size, bool)
    expected, uncertainty = np.zeros(chosen.size, columns.expected.dtype), np.zeros(chosen.size)
    for unit in units:
        moves = scales * unit
        claimed = (np.conj(gradient) * moves).real
        moved = exam.subject.epsilon * abs(gradient * value.reshape(-1)[chosen])  # rounding theta + t v
        found = lines.estimates(_at(exam, batched, chosen, moves), claimed, moved)
        noise = exam.rounding.of_entries(name, chosen, scales, abs(claimed))
        for row, estimate in enumerate(found):
            if estimate is None or not estimate.resolved:
                settled[row] = False
                continue
            nearest = min(max(claimed[row], estimate.lower), estimate.upper)
            expected[row] += (nearest if estimate.kink else estimate.value) / scales[row] * unit
            uncertainty[row] += (estimate.uncertainty + noise[row]) / scales[row]
            columns.kink[part.start + row] |= estimate.kink
    columns.expected[part], columns.uncertainty[part], columns.settled[part] = expected, uncertainty, settled


def _at(
    exam: Examination, batched: Any, chosen: np.ndarray, moves: np.ndarray
) -> Callable[[np.ndarray, float], Any]:
    return lambda lines, t: _rows(exam, batched, chosen[lines], t * moves[lines])


def _rows(exam: Examination, batched: Any, flat: np.ndarray, moves: np.ndarray) -> Any:
    exam.forward_evaluations += flat.size
    rows = batched.rows(flat, moves)
    rows = rows.numpy() if rows.device.type == "cpu" else rows
    return rows if exam.defined is None else rows[:, exam.defined]


def _completed(
    exam: Examination,
    pulled: Pulled,
    name: str,
    flat: np.ndarray,
    columns: _Columns | None,
    watch: Watch,
    start: float,
    within: float | None,
) -> Entries:
    """Examine alone what is not settled, and the worst of what is wrong."""
    claimed = pulled.gradients[name].reshape(-1)[flat]
    if columns is None:
        return _one_by_one(exam, pulled, name, flat, watch, start, within)
    error = abs(claimed - columns.expected) - columns.uncertainty
    suspects = np.flatnonzero(columns.settled & (error > 0))
    worst = suspects[np.argsort(-error[suspects])][:_ALONE]
    if worst.size:
        again = examine(exam, pulled, name, flat[worst], exact=False)
        both = again.uncertainty + columns.uncertainty[worst]
        if (~(abs(again.expected - columns.expected[worst]) <= 2 * both)).any():
            columns.settled[:] = False
            worst = worst[:0]
    rest = np.concatenate([worst, np.flatnonzero(~columns.settled)]).astype(int)
    alone = _one_by_one(exam, pulled, name, flat[rest], watch, start, within)
    seen = rest[: alone.flat.size]
    columns.expected[seen], columns.uncertainty[seen] = alone.expected, alone.uncertainty
    columns.kink[seen], columns.settled[seen] = alone.kink, True
    done = np.flatnonzero(columns.settled)
    return Entries(
        flat[done],
        claimed[done],
        columns.expected[done],
        columns.uncertainty[done],
        columns.kink[done],
        done.size == flat.size,
        alone.probes,
        pulled,
    )


def _one_by_one(
    exam: Examination,
    pulled: Pulled,
    name: str,
    flat: np.ndarray,
    watch: Watch,
    start: float,
    within: float | None,
) -> Entries:
    """Examine entries alone, as many as there is time for."""
    parts = []
    for i in range(flat.size):
        if _over(start, within):
            break
        parts.append(examine(exam, pulled, name, flat[i : i + 1], exact=True))
        watch.advance(1)
    if not parts:
        return examine(exam, pulled, name, flat[:0], exact=False)
    return Entries(
        np.concatenate([part.flat for part in parts]),
        np.concatenate([part.claimed for part in parts]),
        np.concatenate([part.expected for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
        np.concatenate([part.kink for part in parts]),
        len(parts) == flat.size,
        [probe for part in parts for probe in part.probes],
        pulled,
    )
