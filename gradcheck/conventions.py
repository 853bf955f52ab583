"""Gradients that are right by convention: of functions that are meant for some inputs only.

A Cholesky factor or an eigenvalue is that of a symmetric matrix, and reads one triangle of it; CTC loss
takes the logarithms of probabilities. Their authors give the gradient along changes that keep the input what
it is meant to be, and whatever is convenient across. So where a leaf is of such a kind, and its gradient
right along every change within the kind, what finite differences see across is no fault of a backward pass
that is PyTorch's own, nor of one whose gradient is as symmetric as the matrix is, or fills both triangles of
one of which a single one is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from gradcheck import findings
from gradcheck.numerical import directions
from gradcheck.pipeline import Outcome
from gradcheck.report.records import Verdict

# What single precision leaves of a symmetry, or of a sum that is 1.
_ROUNDED = 1e-5
_PROBES = 2
# A gradient that is off by less than this share along changes within the kind is of it, right or wrong.
_SLIGHT = 1e-3


@dataclass(frozen=True)
class Kind:
    """Inputs of one kind: whether a value is one, and the part of a direction that keeps it so."""

    holds: Callable[[np.ndarray], bool]
    along: Callable[[np.ndarray, np.ndarray], np.ndarray]
    note: str


def _adjoint(value: np.ndarray) -> np.ndarray:
    adjoint: np.ndarray = np.conj(np.swapaxes(value, -1, -2))
    return adjoint


def _is_symmetric(value: np.ndarray) -> bool:
    if value.ndim < 2 or value.shape[-1] != value.shape[-2] or value.shape[-1] < 2:
        return False
    largest = float(np.abs(value).max(initial=0))
    return bool(np.all(np.abs(value - _adjoint(value)) <= _ROUNDED * largest))


def _is_log_probability(value: np.ndarray) -> bool:
    if value.ndim < 1 or value.dtype.kind == "c" or value.shape[-1] < 2 or not np.all(value <= 0):
        return False
    return bool(np.all(np.abs(np.exp(value).sum(-1) - 1) <= _ROUNDED))


def _keeping_the_sum(value: np.ndarray, v: np.ndarray) -> np.ndarray:
    p = np.exp(value)
    moved: np.ndarray = v - (p * v).sum(-1, keepdims=True) / p.sum(-1, keepdims=True)
    return moved


SYMMETRIC = Kind(
    _is_symmetric,
    lambda value, v: (v + _adjoint(v)) / 2,
    "a symmetric matrix, and right as the gradient of one: along symmetric changes; across them, where one "
    "triangle is read, it is a convention",
)
LOG_PROBABILITY = Kind(
    _is_log_probability,
    _keeping_the_sum,
    "log-probabilities, and right as the gradient of such: along changes that keep their sum 1; across them "
    "it is a convention",
)


# Samplers that accept and reject: their gradient is that of the distribution (Figurnov et al., Implicit
# reparameterization gradients, 2018), not of the numbers that one seed gives.
_SAMPLERS = frozenset({"torch._standard_gamma", "torch._sample_dirichlet"})


def accept(outcome: Outcome, guilty: Collection[str] = (), theirs: bool = False) -> None:
    """Let failing leaves pass whose gradient is right by convention, with a note.

    ``guilty`` names the operations found wrong; ``theirs``: all of them are PyTorch's own. Of other code only
    a symmetric gradient is accepted, and that of what reads one triangle, which makes sense for symmetric
    matrices alone: elsewhere a transposed gradient, too, is right along symmetric changes.
    """
    if theirs and _SAMPLERS.issuperset(guilty):
        for name in outcome.failing:
            _accept_sampled(outcome, name, min(guilty))
    for name in outcome.failing:
        value, finding = outcome.exam.values[name], outcome.findings[name]
        for kind in (SYMMETRIC, LOG_PROBABILITY) if theirs else (SYMMETRIC,):
            if finding.wrong.size and kind.holds(value) and (theirs or _is_of_symmetric(outcome, name)):
                _accept(outcome, name, kind)


def _accept_sampled(outcome: Outcome, name: str, sampler: str) -> None:
    findings.excuse(
        outcome.findings[name],
        f"behind samples of {sampler}, whose gradient is that of the distribution: finite differences with "
        "the same random numbers tell nothing here, and every other operation is right",
    )


def _accept(outcome: Outcome, name: str, kind: Kind) -> None:
    exam, pulls = outcome.exam, [*outcome.pulls, outcome.exam.pull()][:_PROBES]
    variable, value = exam.variables[name], exam.values[name]
    probes = []
    for pulled in pulls:
        drawn = directions.direction({name: variable}, [name], exam.generator, exam.scales)[name]
        moved = kind.along(value, directions.to_numpy(drawn))
        probes.append(exam.along(pulled, {name: directions.like(variable, moved)}))
    again = findings.from_probes(name, probes, 1, outcome.tolerances[name], exam.magnitude)
    right = again.verdict is Verdict.PASS and not any(probe.suspect for probe in probes)
    if right or (again.comparison is not None and again.comparison.rel_error <= _SLIGHT):
        again.notes.append(kind.note)
        outcome.findings[name] = again


def _is_of_symmetric(outcome: Outcome, name: str) -> bool:
    """Whether the claimed gradient is symmetric, or fills both triangles where the true one has but one."""
    gradient, entries = outcome.pulls[0].gradients[name], outcome.findings[name].entries
    if _is_symmetric(gradient):
        return True
    if entries is None or not (np.tril(gradient, -1).any() and np.triu(gradient, 1).any()):
        return False
    place = np.unravel_index(entries.flat, gradient.shape)
    row, column = place[-2], place[-1]
    zero = np.abs(entries.expected) <= entries.uncertainty
    return any(bool(side.any() and zero[side].all()) for side in (row < column, row > column))
