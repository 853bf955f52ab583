"""Cost: time, evaluations and memory as networks grow; and every cost bar."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import gradcheck
from benchmarks.others import rows_of
from benchmarks.record import Bar, Cell, Plot, Result, Table, bar_of

PARAMETERS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
TENSORS = (2, 8, 32, 128, 512)
DEPTHS = (1, 4, 16, 64)
# Beyond these a checker that goes entry by entry takes hours, or a matrix larger than the memory.
MOST = {"torch slow": 1_000, "hand-rolled": 10_000, "torch fast": 1_000_000}


class Layers(torch.nn.Module):
    """``depth`` hidden layers of one width; linear ones when there are to be nothing but parameters."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        sizes = [(width, width)] * depth
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


@dataclass(frozen=True)
class Measured:
    """Seconds of one forward and backward pass, and of each checker; evaluations and memory of ours."""

    parameters: int
    tensors: int
    unit: float
    forward: int
    backward: int
    seconds: dict[str, float | None]


def measure(quick: bool) -> Result:
    widths = [max(int(n**0.5), 3) for n in (PARAMETERS[:2] if quick else PARAMETERS)]
    by_size = [_measured(Layers(width, 1), width) for width in widths]
    by_tensors = [_measured(Layers(16, n // 2), 16) for n in (TENSORS[:2] if quick else TENSORS)]
    by_depth = [_measured(Layers(64, depth), 64) for depth in (DEPTHS[:2] if quick else DEPTHS)]
    bars, missing = _bars(quick)
    return Result(
        tables=(
            _table("By number of parameters (one layer, batch 8, float64)", "parameters", by_size),
            _table("By number of tensors (layers of 16)", "tensors", by_tensors),
            _table("By depth (layers of 64)", "tensors", by_depth),
            _memory((10_000,) if quick else (10_000, 1_000_000, 10_000_000)),
            _starts(1 if quick else 5),
        ),
        bars=bars,
        plots=(
            Plot(
                "cost",
                "Cost by number of parameters",
                "parameters",
                "seconds",
                [m.parameters for m in by_size],
                {"one forward and backward": [m.unit for m in by_size], **_series(by_size)},
            ),
        ),
        exceptions=missing,
    )


def _series(found: Sequence[Measured]) -> dict[str, list[float | None]]:
    return {name: [m.seconds[name] for m in found] for name in found[0].seconds}


def _measured(model: torch.nn.Module, width: int) -> Measured:
    model = model.double()
    torch.manual_seed(0)
    x = torch.randn(8, width, dtype=torch.float64)
    count = sum(p.numel() for p in model.parameters())

    def one_pass() -> None:
        out = model(x)
        torch.autograd.grad((out * torch.randn_like(out)).sum(), list(model.parameters()))

    one_pass()
    unit = statistics.median(_seconds(one_pass) for _ in range(5))
    gradcheck.verify(model, x, variations=False)
    reports = [gradcheck.verify(model, x) for _ in range(3)]
    seconds: dict[str, float | None] = {
        "gradcheck": statistics.median(r.cost.seconds for r in reports),
        "gradcheck, variations=False": _seconds(lambda: gradcheck.verify(model, x, variations=False)),
    }
    for name, check in _peers(model, x).items():
        seconds[name] = _seconds(check) if count <= MOST[name] * 1.3 else None
    cost = reports[0].cost
    tensors = len(list(model.parameters()))
    return Measured(count, tensors, unit, cost.forward_evaluations, cost.backward_evaluations, seconds)


def _peers(model: torch.nn.Module, x: torch.Tensor) -> dict[str, Callable[[], Any]]:
    values = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    names = [name for name, _ in model.named_parameters()]

    def function(*given: torch.Tensor) -> Any:
        return torch.func.functional_call(model, dict(zip(names, given, strict=True)), (x,))

    def by_hand() -> None:
        for value in values:
            flat = value.detach().view(-1)
            for i in range(flat.numel()):
                kept = float(flat[i])
                for moved in (kept + 1e-6, kept - 1e-6):
                    flat[i] = moved
                    with torch.no_grad():
                        function(*values).sum()
                flat[i] = kept

    return {
        "torch slow": lambda: torch.autograd.gradcheck(function, values),
        "torch fast": lambda: torch.autograd.gradcheck(
            function, values, fast_mode=True, raise_exception=False
        ),
        "hand-rolled": by_hand,
    }


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()
    return time.perf_counter() - start


def _table(title: str, what: str, found: Sequence[Measured]) -> Table:
    columns = (
        what,
        "forward and backward, ms",
        *(f"{name}, s" for name in found[0].seconds),
        "forward evaluations",
        "backward evaluations",
        "gradcheck / one pass",
    )
    rows: list[list[Cell]] = []
    for m in found:
        ratio = (m.seconds["gradcheck"] or 0.0) / m.unit
        size = m.parameters if what == "parameters" else m.tensors
        rows.append([size, m.unit * 1e3, *m.seconds.values(), m.forward, m.backward, ratio])
    note = "Evaluations are those of gradcheck at its defaults. A dash: it would take hours."
    return Table(title, columns, rows, note)


def _memory(sizes: Sequence[int]) -> Table:
    """Measure peak memory in processes of their own, less what importing takes."""
    rows: list[list[Cell]] = []
    for n in sizes:
        width = int(n**0.5)
        empty, one, ours = (_peak(width, code) for code in ("pass", "one()", "gradcheck.verify(model, x)"))
        rows.append([n, one - empty, ours - empty, (ours - empty) / max(one - empty, 1e-9)])
    columns = ("parameters", "one forward and backward, MiB", "gradcheck, MiB", "ratio")
    return Table("Peak memory beyond the model itself", columns, rows)


def _peak(width: int, code: str) -> float:
    program = (
        "import torch, gradcheck, gradcheck.verify_torch\nfrom benchmarks.sections.cost import Layers\n"
        f"model, x = Layers({width}, 1).double(), torch.randn(8, {width}, dtype=torch.float64)\n"
        "def one():\n    torch.autograd.grad(model(x).sum(), list(model.parameters()))\n"
        f"{code}\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1]) / 1024


def _starts(runs: int) -> Table:
    """Time fresh processes; the fastest of each, as whatever else the machine does only makes them slower."""
    programs = {
        "python": "pass",
        "import gradcheck": "import gradcheck",
        "import numpy": "import numpy",
        "import torch": "import torch",
        "import jax": "import jax",
        "import autograd.numpy": "import autograd.numpy",
        "gradcheck --help": "import sys; sys.argv[1:] = ['--help']; from gradcheck.cli import main; main()",
    }
    rows: list[list[Cell]] = []
    for name, code in programs.items():
        command = [sys.executable, "-W", "ignore", "-c", code]
        spent = [
            _seconds(lambda c=command: subprocess.run(c, capture_output=True, check=False))
            for _ in range(runs)
        ]  # type: ignore[misc]
        rows.append([name, min(spent) * 1e3])
    return Table("Start-up, the fastest of several", ("process", "ms"), rows)


def _bars(quick: bool) -> tuple[list[Bar], list[str]]:
    """Collect the cost bars of the other benchmarks."""
    bars, missing = [], []
    for module in ("torch_cost", "case_cost", "pytest_start"):
        rows = _torch_cost(quick) if module == "torch_cost" else rows_of(module, quick)
        if rows is None:
            missing.append(f"benchmarks.{module} was not there when this page was made")
        bars += [bar_of(row) for row in rows or [] if row.get("bar") is not None]
    return bars, missing


def _torch_cost(quick: bool) -> Sequence[dict[str, Any]]:
    from benchmarks import torch_cost

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = [*torch_cost.small_module(1 if quick else 25), *torch_cost.operators(20 if quick else 500)]
        return (
            small
            if quick
            else [*small, *torch_cost.needle(), *torch_cost.transformer(3), *torch_cost.memory()]
        )
