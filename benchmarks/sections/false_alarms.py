"""False alarms: right gradients that are called wrong, or left open."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch

import gradcheck
from benchmarks.faults import NUMPY, RULES, Tried, numpy_faults, torch_faults
from benchmarks.pairs import Array, Pair, of_case
from benchmarks.peers import CAUGHT, NOT_TAKEN, PASSED, PEERS, UNDECIDED, Answer, ask
from benchmarks.power import CHECKERS, Row
from benchmarks.record import Bar, Cell, Result, Table, share
from benchmarks.torch_samples import Sample, functionals, modules
from benchmarks.torch_truth import really_wrong
from cases import generate

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.complex128)
KINKS, SCALES = 60, tuple(10.0**k for k in (-12, -8, -4, 4, 8, 12))


def measure(quick: bool) -> Result:
    rows, tried = torch_faults(quick), numpy_faults(quick)
    twins = _torch_twins(rows)
    samples = {
        (kind, str(dtype).removeprefix("torch.")): [_judge(s) for s in source(dtype, 25 if quick else 1)]
        for dtype in DTYPES
        for kind, source in (("functionals", functionals), ("modules", modules))
    }
    kinks = [_ask_all(of_case(generate("kink", seed))) for seed in range(4 if quick else KINKS)]
    scales = {scale: [_ask_all(p) for p in _scaled(scale)] for scale in SCALES}
    accused, asked, undecided, names = _ours(twins, tried, samples, [*kinks, *chain(*scales.values())])
    return Result(
        tables=(
            _twins_table(twins, tried),
            _samples_table(samples),
            _pairs_table("At kinks and ties", "cases", {"kinks and ties": kinks}),
            _pairs_table("Scales of the loss", "scale", {f"{s:g}": a for s, a in scales.items()}),
        ),
        bars=(
            Bar("false alarms", accused, 0),
            Bar("right gradients left inconclusive, share", undecided / asked, 0.01),
        ),
        exceptions=names,
        data={"asked": asked, "accused": accused, "undecided": undecided},
    )


def _torch_twins(rows: tuple[Row, ...]) -> list[Row]:
    return list({id(row.right): row for row in rows}.values())


# what gradcheck and torch's slow mode say of a sample, and who else calls it wrong: name, ours, theirs, who
Judged = tuple[str, str, str, str]


def _judge(sample: Sample) -> Judged:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = _ours_of(sample)
        return sample.name, ours, _theirs_of(sample), really_wrong(sample) if ours == CAUGHT else ""


def _ours_of(sample: Sample) -> str:
    torch.manual_seed(0)
    try:
        report = gradcheck.verify(sample.function, *sample.args, kwargs=sample.kwargs)
    except gradcheck.GradcheckError as error:
        return f"{NOT_TAKEN}: {type(error).__name__}"
    return {"pass": PASSED, "fail": CAUGHT, "inconclusive": UNDECIDED}[report.verdict]


def _theirs_of(sample: Sample) -> str:
    if isinstance(sample.function, torch.nn.Module):
        return NOT_TAKEN  # a function of tensors is what it takes
    given = [a for a in sample.args if isinstance(a, torch.Tensor) and a.requires_grad]
    if any(a.dtype not in (torch.float64, torch.complex128) for a in given):
        return NOT_TAKEN
    torch.manual_seed(0)
    try:
        right = torch.autograd.gradcheck(lambda *a: sample.function(*a, **sample.kwargs), sample.args)
    except Exception:  # it says what is wrong by raising
        return CAUGHT
    return PASSED if right else CAUGHT


def _samples_table(samples: dict[tuple[str, str], list[Judged]]) -> Table:
    rows: list[list[Cell]] = []
    for (kind, dtype), judged in samples.items():
        ours = Counter(a.split(":")[0] for _, a, _, _ in judged)
        theirs = Counter(a for _, _, a, _ in judged)
        taken = len(judged) - theirs[NOT_TAKEN]
        rows.append(
            [
                kind,
                dtype,
                len(judged),
                ours[CAUGHT],
                ours[UNDECIDED],
                ours[NOT_TAKEN],
                share(theirs[CAUGHT], taken),
            ]
        )
    columns = (
        "what",
        "dtype",
        "samples",
        "called wrong",
        "inconclusive",
        "not taken",
        "torch slow: called wrong",
    )
    note = (
        "One sample of each operator and module, as PyTorch's test suite calls it. torch's gradcheck is "
        "documented for double precision and for functions of tensors. Those called wrong are listed below."
    )
    return Table("PyTorch's functionals and modules", columns, rows, note)


def _twins_table(twins: list[Row], tried: tuple[Tried, ...]) -> Table:
    names = [peer.name for peer in PEERS]
    lines: list[list[Cell]] = []
    line: list[Cell] = ["PyTorch code", len(twins)]
    for name in names:
        taken = [r for r in twins if name in CHECKERS and r.right[name].outcome != NOT_TAKEN]
        line.append(share(sum(r.accused(name) for r in taken), len(taken)))
    lines.append(line)
    for suite in (NUMPY, RULES):
        answers = list({t.twin: t.right for t in tried if t.suite == suite}.values())
        lines.append([suite, len(answers), *(_accused(answers, name) for name in names)])
    return Table("Right twins of the planted faults, called wrong", ("suite", "twins", *names), lines)


def _accused(answers: list[dict[str, Answer]], name: str) -> str:
    taken = [a[name].outcome for a in answers if a[name].outcome != NOT_TAKEN]
    return share(sum(outcome == CAUGHT for outcome in taken), len(taken))


def _ask_all(pair: Pair) -> tuple[str, dict[str, Answer]]:
    return pair.name, {peer.name: ask(peer, pair) for peer in PEERS}


Asked = list[tuple[str, dict[str, Answer]]]


def _pairs_table(title: str, what: str, groups: dict[str, Asked]) -> Table:
    names = [peer.name for peer in PEERS]
    rows = [[g, len(a), *(_accused([x for _, x in a], name) for name in names)] for g, a in groups.items()]
    return Table(f"{title}: right gradients called wrong", (what, "gradients", *names), rows)


def _scaled(scale: float) -> Iterator[Pair]:
    """Yield losses whose inputs, or whose values, are of the given size."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(12), rng.standard_normal(12)
    functions: dict[str, tuple[Callable[[Array], Any], Callable[[Array], Array], Array]] = {
        "large loss": (lambda v: scale * (w @ np.sin(v)), lambda v: scale * w * np.cos(v), x),
        "large inputs": (
            lambda v: w @ np.log1p((v / scale) ** 2),
            lambda v: _log_slope(v, w, scale),
            x * scale,
        ),
        "large offset": (lambda v: scale + w @ np.tanh(v), lambda v: w * (1 - np.tanh(v) ** 2), x),
        "squares": (lambda v: (v * v).sum(), lambda v: 2 * v, x * scale),
    }
    for name, (loss, gradient, at) in functions.items():
        yield Pair(
            "scale",
            f"{name}, {scale:g}",
            (at,),
            loss,
            lambda v, g=gradient: [g(v)],  # type: ignore[misc]
            lambda loss=loss, g=gradient, at=at: gradcheck.verify(loss, at.copy(), gradient=g),  # type: ignore[misc]
        )


def _log_slope(v: Array, w: Array, scale: float) -> Array:
    z = v / scale
    slope: Array = w * 2 * z / (1 + z * z) / scale
    return slope


def _ours(
    twins: list[Row], tried: tuple[Tried, ...], samples: dict[tuple[str, str], list[Judged]], pairs: Asked
) -> tuple[int, int, int, list[str]]:
    """Return how many right gradients are called wrong, of how many, how many left open, and which."""
    said = [(f"{r.family}: {r.fault}", _as_outcome(r)) for r in twins]
    said += [(f"{t.suite}: twin of {t.pair.name}", t.right["gradcheck"].outcome) for t in tried]
    said += [(name, answers["gradcheck"].outcome) for name, answers in pairs]
    reasons = {}
    for (kind, dtype), judged in samples.items():
        said += [(f"{kind}, {dtype}: {name}", ours) for name, ours, _, _ in judged]
        reasons |= {f"{kind}, {dtype}: {name}": reason for name, _, _, reason in judged if reason}
    said = list(
        {name: (name, outcome) for name, outcome in said if not outcome.startswith(NOT_TAKEN)}.values()
    )
    wrong = [name for name, outcome in said if outcome == CAUGHT]
    accused = [f"called wrong: {name}" for name in wrong if name not in reasons]
    agreed = [f"called wrong: {name} ({reasons[name]})" for name in wrong if name in reasons]
    undecided = [f"inconclusive: {name}" for name, outcome in said if outcome == UNDECIDED]
    return len(accused), len(said), len(undecided), [*accused, *agreed, *undecided]


def _as_outcome(row: Row) -> str:
    outcome = row.right["gradcheck"].outcome
    return CAUGHT if row.accused("gradcheck") else UNDECIDED if outcome == "inconclusive" else PASSED
