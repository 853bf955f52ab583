"""What gradcheck catches, misses and accuses: planted faults in PyTorch code, beside torch's own gradcheck.

    python -m benchmarks.power [--json FILE] [--only WORDS]

Beside them the check that people write by hand: entry by entry, central differences of the sum of the
outputs. Every checker sees every planted fault and every right twin with its default settings. torch's
gradcheck takes functions of float64: a module is handed to it as a function of its inputs and parameters,
and what is in float32 is not taken. Faults of the second order are asked for as documented: order=2 here,
gradgradcheck besides gradcheck there. Faults that only cost digits count as caught where a report says so;
torch's gradcheck has no such answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import gradcheck
from benchmarks.peers import HAND_ATOL, HAND_RTOL, HAND_STEP
from benchmarks.timing import cores
from cases.faults.torch import TORCH_FAULTS, Program, TorchFault

FAILED, PASSED, IMPRECISE, UNDECIDED = "failed", "passed", "imprecise", "inconclusive"
NOT_TAKEN = "not taken"


@dataclass(frozen=True)
class Answer:
    """What one checker says of one program; ``blamed`` operations, ``kinds`` of mistakes named first."""

    outcome: str
    seconds: float
    blamed: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def ours(program: Program, fault: TorchFault) -> Answer:
    start = time.perf_counter()
    report = gradcheck.verify(program.function, *program.args, kwargs=program.kwargs, **fault.options)
    seconds = time.perf_counter() - start
    failing = [result for result in report.parameters.values() if result.verdict == "fail"]
    outcome = {"pass": PASSED, "fail": FAILED, "inconclusive": UNDECIDED}[report.verdict]
    if outcome == PASSED and any("imprecise" in n for r in report.parameters.values() for n in r.notes):
        outcome = IMPRECISE
    return Answer(
        outcome,
        seconds,
        tuple(blame.operation for blame in report.blames),
        tuple(result.diagnoses[0].kind for result in failing if result.diagnoses),
    )


def theirs(fast_mode: bool) -> Callable[[Program, TorchFault], Answer]:
    """Return torch.autograd.gradcheck in one of its modes, as a checker."""

    def check(program: Program, fault: TorchFault) -> Answer:
        function, inputs = _as_function(program)
        if any(isinstance(a, torch.Tensor) and a.dtype is torch.float32 for a in inputs):
            return Answer(NOT_TAKEN, 0.0)
        start = time.perf_counter()
        right = _passes(torch.autograd.gradcheck, function, inputs, fast_mode)
        if right and fault.options.get("order") == 2:
            right = _passes(torch.autograd.gradgradcheck, function, inputs, fast_mode)
        return Answer(PASSED if right else FAILED, time.perf_counter() - start)

    return check


def by_hand(program: Program, fault: TorchFault) -> Answer:
    """Compare ``.grad`` with central differences of f(x).sum(), as people write it."""
    function, inputs = _as_function(program)
    start = time.perf_counter()
    try:
        right = _by_hand(function, inputs)
    except Exception:  # what a checker cannot digest it does not pass
        right = False
    return Answer(PASSED if right else FAILED, time.perf_counter() - start)


def _by_hand(function: Any, inputs: tuple[Any, ...]) -> bool:
    def loss(*given: Any) -> torch.Tensor:
        out = function(*given)
        outs = out if isinstance(out, tuple | list) else (out,)
        return sum((o.sum() for o in outs if torch.is_tensor(o) and o.is_floating_point()), torch.zeros(()))

    wanted = [a for a in inputs if torch.is_tensor(a) and a.requires_grad]
    claimed = torch.autograd.grad(loss(*inputs), wanted, allow_unused=True)
    for leaf, gradient in zip(wanted, claimed, strict=True):
        numerical = torch.zeros(leaf.shape, dtype=leaf.dtype)
        with torch.no_grad():
            for index in itertools.product(*map(range, leaf.shape)):
                kept = leaf[index].clone()
                leaf[index] = kept + HAND_STEP
                above = loss(*inputs)
                leaf[index] = kept - HAND_STEP
                numerical[index] = (above - loss(*inputs)) / (2 * HAND_STEP)
                leaf[index] = kept
        if gradient is None or not torch.allclose(gradient, numerical, rtol=HAND_RTOL, atol=HAND_ATOL):
            return False
    return True


def _passes(check: Callable[..., bool], function: Any, inputs: Any, fast_mode: bool) -> bool:
    try:
        return check(function, inputs, fast_mode=fast_mode, raise_exception=False)
    except Exception:  # what a checker cannot digest it does not pass
        return False


def _as_function(program: Program) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    module = program.function
    if not isinstance(module, torch.nn.Module):
        return lambda *args: module(*args, **program.kwargs), program.args
    names, count = [name for name, _ in module.named_parameters()], len(program.args)
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def function(*given: Any) -> Any:
        parameters = dict(zip(names, given[count:], strict=True))
        return torch.func.functional_call(module, parameters, given[:count], dict(program.kwargs))

    return function, (*program.args, *values)


CHECKERS: dict[str, Callable[[Program, TorchFault], Answer]] = {
    "gradcheck": ours,
    "torch slow": theirs(fast_mode=False),
    "torch fast": theirs(fast_mode=True),
    "hand-rolled": by_hand,
}


@dataclass
class Row:
    """The answers to one fault, and to its right twin, by checker."""

    family: str
    fault: str
    needs: str
    guilty: str | None
    diagnosis: tuple[str, ...]
    precision: bool
    wrong: dict[str, Answer] = field(default_factory=dict)
    right: dict[str, Answer] = field(default_factory=dict)

    def caught(self, checker: str) -> bool:
        outcome = self.wrong[checker].outcome
        return outcome == FAILED or (self.precision and outcome == IMPRECISE)

    def accused(self, checker: str) -> bool:
        return self.right[checker].outcome in (FAILED, IMPRECISE)

    @property
    def blamed(self) -> bool | None:
        """Whether the guilty operation is blamed first; None where that is not asked."""
        if self.guilty is None or self.precision or not self.caught("gradcheck"):
            return None
        return self.wrong["gradcheck"].blamed[:1] == (self.guilty,)

    @property
    def named(self) -> bool | None:
        """Whether the mistake is named; None where it has no name, or shows only in a variation."""
        if not self.diagnosis or self.precision or not self.caught("gradcheck"):
            return None
        return self.wrong["gradcheck"].kinds[:1] in [(kind,) for kind in self.diagnosis]


def measure(faults: Iterable[TorchFault]) -> list[Row]:
    rows, twins = [], dict[Any, dict[str, Answer]]()
    for fault in faults:
        row = Row(fault.family, fault.name, fault.needs, fault.guilty, fault.diagnosis, fault.precision)
        key = (fault.program, repr(fault.given), repr(fault.options))
        if key not in twins:
            twins[key] = _answers(fault, wrong=False)
        row.right, row.wrong = twins[key], _answers(fault, wrong=True)
        rows.append(row)
    return rows


def _answers(fault: TorchFault, wrong: bool) -> dict[str, Answer]:
    found = {}
    for name, check in CHECKERS.items():
        torch.manual_seed(0)
        found[name] = check(fault.wrong() if wrong else fault.right(), fault)  # afresh: some remember calls
    return found


def table(rows: list[Row]) -> Table:
    shown = Table(title="Planted faults caught, right twins accused", title_justify="left")
    for column in (
        "class",
        "faults",
        *CHECKERS,
        *(f"accused: {name}" for name in CHECKERS),
        "blame",
        "diagnosis",
    ):
        shown.add_column(column, justify="left" if column == "class" else "right")
    families = list(dict.fromkeys(row.family for row in rows))
    for family in families:
        shown.add_row(family, *_cells([row for row in rows if row.family == family]))
    shown.add_section()
    shown.add_row("all", *_cells(rows))
    return shown


def _cells(rows: list[Row]) -> list[str]:
    return [
        str(len(rows)),
        *(str(sum(row.caught(name) for row in rows)) for name in CHECKERS),
        *(str(_accused(rows, name)) for name in CHECKERS),
        _share([row.blamed for row in rows]),
        _share([row.named for row in rows]),
    ]


def _accused(rows: list[Row], checker: str) -> int:
    return sum({id(row.right): row.accused(checker) for row in rows}.values())


def _share(answers: list[bool | None]) -> str:
    asked = [answer for answer in answers if answer is not None]
    return f"{sum(asked)}/{len(asked)}" if asked else "-"


def exceptions(rows: list[Row]) -> list[str]:
    """Return a line for everything that did not go as it should."""
    lines = []
    for row in rows:
        answer, label = row.wrong["gradcheck"], f"{row.family}: {row.fault}"
        if not row.caught("gradcheck"):
            lines.append(f"missed ({answer.outcome}): {label}; needs {row.needs or 'nothing'}")
        if row.accused("gradcheck"):
            lines.append(f"right twin accused: {label}")
        if row.blamed is False:
            lines.append(f"blamed {', '.join(answer.blamed) or 'nothing'} for {row.guilty}: {label}")
        if row.named is False:
            lines.append(f"called {', '.join(answer.kinds) or 'nothing'}, not {row.diagnosis[0]}: {label}")
    return lines


def summary(rows: list[Row]) -> dict[str, Any]:
    twins = {id(row.right): row.right for row in rows}.values()
    return {
        "faults": len(rows),
        "twins": len(twins),
        "caught": {name: sum(row.caught(name) for row in rows) for name in CHECKERS},
        "accused": {name: _accused(rows, name) for name in CHECKERS},
        "blame": _share([row.blamed for row in rows]),
        "diagnosis": _share([row.named for row in rows]),
        "seconds": {
            name: round(sum(row.wrong[name].seconds for row in rows) + sum(t[name].seconds for t in twins), 1)
            for name in CHECKERS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the planted faults that are caught.")
    parser.add_argument("--json", type=Path, help="also write the answers to this file")
    parser.add_argument("--only", default="", help="words in the class or name of the faults to take")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(cores())
    console = Console()
    chosen = [fault for fault in TORCH_FAULTS if options.only in f"{fault.family}: {fault.name}"]
    rows = measure(track(chosen, "verifying", console=Console(stderr=True), disable=not console.is_terminal))
    console.print(table(rows))
    found = summary(rows)
    for name, spent in found["seconds"].items():
        console.print(f"{name}: {spent} s for {found['faults']} faults and {found['twins']} right twins")
    for line in exceptions(rows):
        console.print(line, highlight=False)
    if options.json:
        setting = {"python": platform.python_version(), "torch": torch.__version__, "cores": cores()}
        record = {**setting, "summary": found, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
