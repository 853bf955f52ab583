"""How long every entry takes, in batches and one by one.

    python -m benchmarks.every_entry [--json FILE]

The same verification, effort="every" without variations, of modules that torch.vmap takes and of one that it
refuses. The second way hides from the harness that entries can be evaluated together. Both find the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import gradcheck
from gradcheck.subjects.torch import TorchSubject


def mlp(*widths: int) -> nn.Module:
    layers = [layer for i, o in itertools.pairwise(widths) for layer in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1]).double()


def subjects() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(0)
    double = torch.float64
    attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double()
    convolutions = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).double()
    return {
        "MLP 10-30-10": (mlp(10, 30, 10), torch.randn(16, 10, dtype=double)),
        "MLP 20-60-40-5": (mlp(20, 60, 40, 5), torch.randn(16, 20, dtype=double)),
        "convolutions": (convolutions, torch.randn(2, 2, 8, 8, dtype=double)),
        "transformer layer": (attention, torch.randn(2, 5, 8, dtype=double)),
        "LSTM (refused by vmap)": (nn.LSTM(2, 3).double(), torch.randn(5, 2, 2, dtype=double)),
    }


@contextmanager
def one_by_one() -> Iterator[None]:
    own = TorchSubject.together
    TorchSubject.together = lambda self, name: None  # type: ignore[method-assign]  # put back below
    try:
        yield
    finally:
        TorchSubject.together = own  # type: ignore[method-assign]


def seconds(verify: Callable[[], Any]) -> float:
    start = time.perf_counter()
    report = verify()
    assert report.ok, str(report)
    return time.perf_counter() - start


def measure() -> list[dict[str, Any]]:
    rows = []
    for name, (model, x) in subjects().items():

        def verify(model: nn.Module = model, x: torch.Tensor = x) -> Any:
            return gradcheck.verify(model, x, effort="every", variations=False)

        gradcheck.verify(model, x, variations=False)  # imports, thread pools
        together = seconds(verify)
        with one_by_one():
            alone = seconds(verify)
        entries = sum(parameter.numel() for parameter in model.parameters())
        rows.append({"subject": name, "entries": entries, "together": together, "alone": alone})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    rows = measure()
    table = Table("subject", "entries", "in batches (s)", "one by one (s)", "ratio")
    for row in rows:
        ratio = row["alone"] / row["together"]
        table.add_row(
            row["subject"],
            f"{row['entries']:,}",
            f"{row['together']:.2f}",
            f"{row['alone']:.2f}",
            f"{ratio:.1f}",
        )
    Console().print(table)
    if file is not None:
        file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
