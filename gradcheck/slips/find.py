"""The search: change one thing after the other, run the backward pass, and see whether all is right."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from gradcheck.diagnose.evidence import Discrepancy
from gradcheck.diagnose.sample import Sample, observe
from gradcheck.files import near
from gradcheck.slips import names, numbers, operators, safety, simpler, slices, terms, wraps
from gradcheck.slips.influence import POSSIBLE, PROMISING, is_unit, promise
from gradcheck.slips.places import Place, reading, written
from gradcheck.slips.reached import functions_of, reached
from gradcheck.slips.record import Gradients, Rerun, Slip
from gradcheck.slips.setting import Change, Setting, set_in
from gradcheck.slips.source import compiled, may_run_on, running, source_of

T = TypeVar("T")
Family = Callable[[Place, Setting], Iterator[Change]]

# Few changes in each place: tried in all of them before the others.
_CHEAP: tuple[Family, ...] = (
    operators.assignments,
    operators.comparisons,
    simpler.calls,
    names.functions,
    operators.operators,
    operators.exchanges,
    numbers.numbers,
    numbers.options,
    wraps.cumulative,
    wraps.loops,
    wraps.reductions,
    simpler.arguments,
    terms.softmax,
    terms.unused,
)
# What is likelier comes first, within a family what comes first in the source.
_COSTLY: tuple[Family, ...] = (
    names.variables,
    wraps.rearrangements,
    slices.strides,
    simpler.operands,
    slices.ends,
    wraps.factors,
    terms.masks,
    terms.derivatives,
    terms.sums,
    terms.added,
    terms.multiplied,
)
# Those that make nothing that could share memory with what the function was given.
_HARMLESS_IN_PLACE = (
    operators.comparisons,
    operators.operators,
    operators.assignments,
    numbers.numbers,
    numbers.options,
    slices.strides,
)
# Those in which a size that happens to be 2 may stand for the number.
_BY_CHANCE = (simpler.operands, names.variables, terms.multiplied)
# Those that cannot make the sizes of arrays much larger.
_OF_SIZES = (operators.operators, numbers.numbers, simpler.operands)
_LONGEST, _LARGEST = 4096, 1_000_000
# What is left of the error is rounding, of a sum in another order say.
_GONE, _KEPT = 1e-6, 1e-9


@dataclass
class Trial:
    """Samples, which of them are wanted right, and how long to try. What is right already must stay so."""

    rerun: Rerun
    samples: Mapping[str, Sample]
    wanted: frozenset[str]
    end: float

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.end

    @cached_property
    def failing(self) -> frozenset[str]:
        """The parameters whose gradients are wrong."""
        return frozenset(name for name, sample in self.samples.items() if sample.failing)

    def succeeds(self) -> tuple[str, ...]:
        """Return the wrong gradients that are right now; () where not all that are wanted are."""
        claimed = self._claimed()
        needed = [name for name, sample in self.samples.items() if name in self.wanted or not sample.failing]
        if not all(_is_right(claimed.get(name), self.samples[name]) for name in needed):
            return ()
        failing = [name for name in self.samples if name in self.failing]
        return tuple(name for name in failing if _is_right(claimed.get(name), self.samples[name]))

    def moves(self) -> dict[str, bool] | None:
        """Return which gradients are not what they were; None where there are none."""
        claimed = self._claimed()
        if not claimed:
            return None
        return {name: _differs(claimed.get(name), sample) for name, sample in self.samples.items()}

    def _claimed(self) -> Gradients:
        try:
            return self.rerun.gradients()
        except Exception:  # a changed program may raise anything
            return {}


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
    trial = Trial(rerun, samples, frozenset(wanted or failing), time.perf_counter() + seconds)
    with _quietly():
        try:
            settings = _settings(rerun)
            return next(_successes(settings, trial), None)
        except RecursionError:
            return None
        finally:
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


def _settings(rerun: Rerun) -> list[Setting]:
    """Return the functions that only the backward pass runs, as far as they can be changed."""
    ran = reached(rerun.gradients)
    if any(may_run_on(code) for code in ran):
        return []
    if rerun.forward is not None:
        shared = reached(rerun.forward)
        ran = {code: variables for code, variables in ran.items() if code not in shared}
    found = []
    for function in functions_of(ran):
        source = source_of(function)
        variables = ran[function.__code__]
        if source is not None and safety.is_safe(function, source.tree) and _holds_little(variables.values()):
            found.append(set_in(source, variables, safety.writes_in_place(source.tree)))
    return found


def _holds_little(values: Any) -> bool:
    shapes = [value.shape for value in values if isinstance(getattr(value, "shape", None), tuple)]
    return all(max(shape, default=1) <= _LONGEST for shape in shapes)


def _successes(settings: Sequence[Setting], trial: Trial) -> Iterator[Slip]:
    ranked = [(setting, _promise(setting, trial)) for setting in settings]
    for families, rank in itertools.product((_CHEAP, _COSTLY), (PROMISING, POSSIBLE)):
        for family, (setting, promises) in itertools.product(families, ranked):
            if setting.in_place and setting.is_torch and family not in _HARMLESS_IN_PLACE:
                continue
            for place in (place for place, found in promises.items() if found == rank):
                if names.is_size(place) and family not in _OF_SIZES:
                    continue
                for node, what in family(place, setting):
                    if trial.over:
                        return
                    right = _with(setting, place, node, trial.succeeds)
                    if right:
                        plain = _plainer(setting, place, trial) if family in _BY_CHANCE else None
                        slip = _slip(setting, *(plain or (place, node, what)))
                        yield replace(slip, right=right, all=len(right) == len(trial.failing))


def _plainer(setting: Setting, place: Place, trial: Trial) -> tuple[Place, Any, str] | None:
    """Return the factor of two by which the same is right: what is 2 by chance explains it, too."""
    units = [unit for unit in setting.places if is_unit(unit) and unit.node in (place.node, *place.above)]
    for unit in units[-1:]:
        for text, what in (("2 * e", "is a factor 2 forgotten"), ("e / 2", "is a factor 1/2 forgotten")):
            node = written(text, e=unit.node)
            if _with(setting, unit, node, trial.succeeds):
                return unit, node, what
    return None


def _promise(setting: Setting, trial: Trial) -> dict[Place, int]:
    def moves(place: Place, node: ast.AST) -> dict[str, bool] | None:
        return None if trial.over else _with(setting, place, node, trial.moves)

    return promise(setting, moves, trial.wanted, trial.failing)


def _with(setting: Setting, place: Place, node: Any, ask: Callable[[], T]) -> T | None:
    """Return the answer while the node is in the place; None where that is no program."""
    _locate(node, place)
    place.put(node)
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


def _is_right(claimed: Any, sample: Sample) -> bool:
    if claimed is None or np.shape(claimed) != sample.shape:
        return False
    given = np.asarray(claimed)
    if given.dtype.kind not in "fciu" or not np.isfinite(given).all():
        return False
    left = np.abs(sample.at(given) - sample.true)
    largest = float(np.abs(sample.true).max(initial=0.0))
    before = 0.0 if sample.misshapen else float(np.abs(sample.error).max(initial=0.0))
    return bool((left <= sample.noise + _KEPT * largest + _GONE * before).all())


def _differs(claimed: Any, sample: Sample) -> bool:
    """Whether a gradient is another one than was claimed first."""
    if claimed is None or np.shape(claimed) != sample.claimed.shape:
        return True
    return not np.allclose(claimed, sample.claimed, rtol=1e-9, atol=0.0, equal_nan=True)


def _slip(setting: Setting, place: Place, node: Any, what: str) -> Slip:
    code = setting.function.__code__
    before, after = reading(place, node)
    line = getattr(place.node, "lineno", getattr(place.statement, "lineno", code.co_firstlineno))
    if '"' in setting.source.line(line) and "'" not in setting.source.line(line):
        before, after, what = (text.replace("'", '"') for text in (before, after, what))
    return Slip(f"{near(code.co_filename) or code.co_filename}:{line}", before, after, what, (), True)
