"""The search: change one thing after the other, run the backward pass, and see whether all is right."""

from __future__ import annotations

import ast
import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from gradcheck.diagnose.evidence import Discrepancy
from gradcheck.diagnose.sample import Sample, observe
from gradcheck.files import near
from gradcheck.slips import loops, safety
from gradcheck.slips.changes import Candidate, candidates
from gradcheck.slips.influence import promise
from gradcheck.slips.places import Place, reading
from gradcheck.slips.reached import Locals, functions_of, reached
from gradcheck.slips.record import Gradients, Rerun, Slip
from gradcheck.slips.setting import Setting, set_in
from gradcheck.slips.source import compiled, may_run_on, running, source_of
from gradcheck.slips.trial import Clock, Trial

T = TypeVar("T")
# A product of two axes that are longer would be large.
_LONGEST, _LARGEST = 4096, 1_000_000


def find_slip(
    rerun: Rerun, discrepancies: Mapping[str, Discrepancy], seconds: float, wanted: Sequence[str] = ()
) -> Slip | None:
    """Return the first small change after which every gradient is right; None where none is found in time.

    With ``wanted``, after which these are, and those that were right already.
    """
    samples = {name: observe(discrepancy) for name, discrepancy in discrepancies.items()}
    if any(not _is_small(sample) for sample in samples.values()):
        return None
    failing = [name for name, sample in samples.items() if sample.failing]
    aims = frozenset(wanted or failing)
    if not aims:  # of NaN whose true value is not known
        return None
    with _quietly(), loops.rounds() as rounds:
        try:
            trial = Trial(_renewing(rerun, rounds), samples, aims, Clock(seconds))
            return _searched_within_bounds(trial, rounds)
        except Exception:  # a report of a wrong gradient must not fail because an explanation of it does
            return None
        finally:
            with contextlib.suppress(Exception):  # as above
                rerun.restore()


def _is_small(sample: Sample) -> bool:
    shapes = (sample.expected.shape, sample.claimed.shape)
    return all(max(shape, default=1) <= _LONGEST and np.prod(shape) <= _LARGEST for shape in shapes)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let nobody hear what a program says that is run a thousand times."""
    silence = io.StringIO()
    with (
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


def _renewing(rerun: Rerun, rounds: loops.Rounds) -> Rerun:
    def gradients() -> Gradients:
        rounds.renew()
        return rerun.gradients()

    return replace(rerun, gradients=gradients)


def _searched_within_bounds(trial: Trial, rounds: loops.Rounds) -> Slip | None:
    """Search with all loops bounded; not at all where one of them is in code that is not at hand."""
    ran = reached(trial.rerun.gradients)
    endless = [code for code in ran if may_run_on(code)]
    sources = [source_of(function) for function in functions_of(endless)]
    known = [source for source in sources if source is not None]
    if len(known) < len(endless):
        return None
    settings = _settings(trial.rerun, ran)
    with contextlib.ExitStack() as stack:
        for source in known:
            code = compiled(source)
            if code is None:
                return None
            stack.enter_context(running(source.function, code))
        if known:
            trial.rerun.gradients()
            rounds.settle()
        return _searched(settings, trial)


def _settings(rerun: Rerun, ran: Mapping[CodeType, Locals]) -> list[Setting]:
    """Return the functions that the backward pass runs, as far as they can be changed; its own come first."""
    forward = reached(rerun.forward) if rerun.forward is not None else {}
    named = frozenset(name for code in {*ran, *forward} for name in code.co_names)
    found = []
    for function in functions_of(ran):
        shared = function.__code__ in forward
        source = source_of(function) if rerun.kept is not None or not shared else None
        variables = ran[function.__code__]
        if source is not None and safety.is_safe(function, source.tree) and _holds_little(variables.values()):
            in_place = safety.writes_in_place(source.tree)
            found.append(set_in(source, variables, in_place, shared, named))
    return sorted(found, key=lambda setting: setting.shared)


def _holds_little(values: Iterable[Any]) -> bool:
    shapes = [value.shape for value in values if isinstance(getattr(value, "shape", None), tuple)]
    return all(max(shape, default=1) <= _LONGEST for shape in shapes)


def _searched(settings: Sequence[Setting], trial: Trial) -> Slip | None:
    for candidate in candidates([(setting, _promise(setting, trial)) for setting in settings]):
        if trial.over:
            return None
        shared = candidate.setting.shared
        succeeds = partial(trial.succeeds, shared)
        right = _tried(candidate, succeeds)
        if right and _tried(candidate, partial(trial.confirmed, shared)):
            plainer = (other for other in candidate.plainer() if _tried(other, succeeds))
            return _slip(next(plainer, candidate), right, trial)
    return None


def _promise(setting: Setting, trial: Trial) -> dict[Place, int]:
    def moves(place: Place, node: ast.AST) -> dict[str, bool] | None:
        ask = partial(trial.moves, setting.shared)
        return None if trial.over else _tried(Candidate(setting, place, node, ""), ask)

    return promise(setting, moves, trial.wanted, trial.failing)


def _tried(candidate: Candidate, ask: Callable[[], T]) -> T | None:
    """Return the answer while the change is made; None where it makes no program."""
    place, setting = candidate.place, candidate.setting
    _locate(candidate.node, place)
    place.put(candidate.node)
    try:
        code = compiled(setting.source)
        if code is None:
            return None
        with running(setting.function, code):
            return ask()
    finally:
        place.put(place.node)


def _locate(node: Any, place: Place) -> None:
    """Give new nodes the line of the old one: the compiler wants one of each."""
    line = getattr(place.node, "lineno", 1)
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            inner.lineno = inner.end_lineno = line  # type: ignore[attr-defined]  # it has the attribute
            inner.col_offset = inner.end_col_offset = 0  # type: ignore[attr-defined]  # as above


def _slip(candidate: Candidate, right: tuple[str, ...], trial: Trial) -> Slip:
    place, setting, what = candidate.place, candidate.setting, candidate.what
    code = setting.function.__code__
    before, after = reading(place, candidate.node)
    line = getattr(place.node, "lineno", getattr(place.statement, "lineno", code.co_firstlineno))
    if '"' in setting.source.line(line) and "'" not in setting.source.line(line):
        before, after, what = (text.replace("'", '"') for text in (before, after, what))
    where = f"{near(code.co_filename) or code.co_filename}:{line}"
    return Slip(where, before, after, what, right, len(right) == len(trial.failing))
