"""What verifying PyTorch code costs, against one forward and backward pass and PyTorch's own gradcheck.

    python -m benchmarks.torch_cost [--json FILE] [--quick]

Every row times both sides in one run, alternating, and compares medians. The transformer is in float64, as
``torch.autograd.gradcheck`` needs it; fast mode is timed on a few of its 150 parameters, one at a time, and
scaled up, since all of them take minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import gradcheck
from benchmarks.timing import medians

WIDTH, BLOCKS, HEADS = 256, 12, 8


class Block(torch.nn.Module):
    """A pre-norm transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.ln2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.up, self.down = torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(self.ln1(x)).reshape(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.down(torch.nn.functional.gelu(self.up(self.ln2(x))))


class Transformer(torch.nn.Module):
    """150 parameter tensors, 9.6 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(512, WIDTH)
        self.position = torch.nn.Parameter(torch.randn(64, WIDTH) * 0.02)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm, self.head = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, 16)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def one_pass(model: torch.nn.Module, *inputs: torch.Tensor) -> None:
    out = model(*inputs)
    torch.autograd.grad((out * torch.randn_like(out)).sum(), list(model.parameters()))


def fast_mode_of(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str]) -> float:
    """Time fast mode over the named parameters, each by ``torch.func.functional_call``."""
    parameters = dict(model.named_parameters())

    def check(name: str) -> None:
        value = parameters[name].detach().clone().requires_grad_()
        torch.autograd.gradcheck(
            lambda p: torch.func.functional_call(model, {name: p}, inputs),
            (value,),
            fast_mode=True,
            raise_exception=False,
        )

    return sum(seconds(lambda name=name: check(name)) for name in names)


def transformer(repeats: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    model, tokens = Transformer().double(), torch.randint(0, 512, (2, 64))
    names = [name for name, _ in model.named_parameters()]
    sample = names[:: len(names) // 4]
    one_pass(model, tokens)
    unit, ours, fast = [], [], []
    for _ in range(repeats):
        unit.append(seconds(lambda: one_pass(model, tokens)))
        ours.append(seconds(lambda: gradcheck.verify(model, tokens)))
        unit.append(seconds(lambda: one_pass(model, tokens)))
    fast.append(fast_mode_of(model, (tokens,), sample) * len(names) / len(sample))
    ratio = statistics.median(ours) / statistics.median(unit)
    return [
        row("transformer, all parameters / one forward and backward", ratio, 15.0),
        row(
            "fast mode over the same parameters / ours", fast[0] / statistics.median(ours), 5.0, at_least=True
        ),
    ]


def small_module(repeats: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    layers = [
        torch.nn.Linear(16, 24),
        torch.nn.Tanh(),
        torch.nn.Linear(24, 20),
        torch.nn.Tanh(),
        torch.nn.Linear(20, 4),
    ]
    model, x = torch.nn.Sequential(*layers).double(), torch.randn(8, 16, dtype=torch.float64)
    parameters = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    keys = [name for name, _ in model.named_parameters()]

    def function(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, dict(zip(keys, values, strict=True)), (x,))

    sides: dict[str, Callable[[], Any]] = {
        "plain": lambda: gradcheck.verify(model, x, variations=False),
        "varied": lambda: gradcheck.verify(model, x),
        "fast": lambda: torch.autograd.gradcheck(function, parameters, fast_mode=True),
        "slow": lambda: torch.autograd.gradcheck(function, parameters),
    }
    for side in sides.values():
        side()
    median = medians(sides, blocks=repeats, calls=1, warm_up=0)
    return [
        row("small module without variations / fast mode", median["plain"] / median["fast"], 1.0),
        row("small module with variations / slow mode", median["varied"] / median["slow"], 1.0),
    ]


def operators(limit: int, repeats: int = 3) -> list[dict[str, Any]]:
    """PyTorch's own operators, from the samples that its test suite uses: the sums of their medians."""
    samples = list(operator_samples(limit))
    for run in _sides(*samples[0]).values():  # what is imported and compiled once is not counted
        run()
    totals = {"plain": 0.0, "varied": 0.0, "fast": 0.0}
    for sample in samples:
        for name, median in medians(_sides(*sample), blocks=repeats, calls=1, warm_up=0).items():
            totals[name] += median
    count = len(samples)
    return [
        row(
            f"{count} operator samples without variations / fast mode", totals["plain"] / totals["fast"], 1.0
        ),
        row(f"{count} operator samples with variations / fast mode", totals["varied"] / totals["fast"], 10.0),
    ]


def _sides(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    def with_options(*values: Any) -> Any:
        return function(*values, **kwargs)

    return {
        "plain": lambda: gradcheck.verify(function, *args, kwargs=kwargs, variations=False),
        "varied": lambda: gradcheck.verify(function, *args, kwargs=kwargs),
        "fast": lambda: torch.autograd.gradcheck(with_options, args, fast_mode=True, raise_exception=False),
    }


def operator_samples(limit: int) -> Any:
    from torch.testing._internal.common_methods_invocations import op_db

    usable = [op for op in op_db if op.supports_autograd and op.supports_dtype(torch.float64, "cpu")]
    found = 0
    for op in usable:
        try:
            sample = next(iter(op.sample_inputs("cpu", torch.float64, requires_grad=True)))
        except Exception:  # some samples need optional libraries
            continue
        args = (sample.input, *sample.args)
        given = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
        if not given or not all(
            a.layout is not torch.strided or bool(torch.isfinite(a).all()) for a in given
        ):  # what is no number has no slope
            continue

        def function(*a: Any, _op: Any = op, _s: Any = sample, **k: Any) -> Any:
            out = _op.gradcheck_wrapper(_op.op, *a, **k)
            return out if _s.output_process_fn_grad is None else _s.output_process_fn_grad(out)

        try:
            torch.autograd.gradcheck(
                lambda *a, _f=function, _k=sample.kwargs: _f(*a, **_k), args, fast_mode=True
            )
        except Exception:  # a sample that PyTorch's own check refuses is no basis for a comparison of cost
            continue
        yield function, args, sample.kwargs
        found += 1
        if found == limit:
            return


class OneEntry(torch.autograd.Function):
    """exp, with one entry of the gradient doubled."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        gradient = cotangent * x.exp()
        gradient[x.numel() // 3] *= 2
        return gradient


def needle() -> list[dict[str, Any]]:
    x = torch.randn(10_000_000, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(lambda v: OneEntry.apply(v).mean(), x, variations=False)
    wrong = report.parameters["inputs[0]"].wrong
    found = wrong is not None and wrong.indices == ((x.numel() // 3,),)
    evaluations = report.cost.forward_evaluations if found else float("inf")
    return [row("one wrong entry of 10 million: forward evaluations", evaluations, 200.0)]


def memory() -> list[dict[str, Any]]:
    """Peak memory over that of one pass, each in a process of its own, less what importing takes."""
    programs = {
        "import": "pass",
        "pass": "one_pass(model, tokens)",
        "verify": "gradcheck.verify(model, tokens, variations=False)",
    }
    peak = {name: _peak(code) for name, code in programs.items()}
    ratio = (peak["verify"] - peak["import"]) / (peak["pass"] - peak["import"])
    return [row("peak memory / one forward and backward", ratio, 3.0)]


def _peak(code: str) -> float:
    program = (
        "import torch, gradcheck\nfrom benchmarks.torch_cost import *\n"
        "model, tokens = Transformer().double(), torch.randint(0, 512, (8, 64))\n"
        f"import gradcheck.verify_torch\n{code}\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def row(what: str, measured: float, bar: float, *, at_least: bool = False) -> dict[str, Any]:
    return {
        "what": what,
        "measured": measured,
        "bar": bar,
        "met": measured >= bar if at_least else measured <= bar,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and samples")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    repeats, samples = (1, 60) if options.quick else (5, 500)
    rows = [
        *small_module(repeats),
        *operators(samples, min(repeats, 3)),
        *needle(),
        *transformer(min(repeats, 3)),
        *memory(),
    ]
    from rich.console import Console
    from rich.table import Table

    table = Table("work", "measured", "bar", "met")
    for entry in rows:
        table.add_row(
            entry["what"], f"{entry['measured']:.3g}", f"{entry['bar']:g}", "yes" if entry["met"] else "NO"
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
