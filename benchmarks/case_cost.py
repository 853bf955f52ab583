"""What verifying a generated case by all three witnesses costs, beside PyTorch's fast mode on its twin.

    python -m benchmarks.case_cost [--json FILE] [--quick]

``verify_case`` compares the reference backpropagation with finite differences and autograd. PyTorch's
gradcheck compares autograd with finite differences on the same graph as a function of tensors. Both are timed
in turns on every case; the ratio is taken case by case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import cores
from cases import FAMILIES, Case
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.torch import TorchEngine
from gradcheck.engines.torch.engine import to_tensor, twin
from gradcheck.suite.examine import resolution
from gradcheck.suite.plan import tickets
from gradcheck.verification import verify_case

CASES = 300
_REPEATS = 3


@dataclass(frozen=True)
class Measured:
    """Seconds of both sides, each the fastest of a few turns, and the resolution that verifying reached."""

    family: str
    case: str
    ours: float
    theirs: float
    resolution: float | None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def measure(count: int) -> list[Measured]:
    """Time both sides on generated cases that PyTorch can run, the families taking turns."""
    found: list[Measured] = []
    torch.set_num_threads(cores())
    for ticket in tickets(4 * count, 0, None, include_lecture=False):
        case = ticket.draw()
        fast = fast_mode(case)
        if fast is None:
            continue
        report = verify_case(case, ReferenceEngine())
        ours, theirs = [], []
        for _ in range(_REPEATS):
            ours.append(_seconds(lambda case=case: verify_case(case, ReferenceEngine())))
            theirs.append(_seconds(fast))
        found.append(Measured(ticket.family, case.name, min(ours), min(theirs), resolution(report)))
        if len(found) == count:
            break
    return found


def fast_mode(case: Case) -> Callable[[], Any] | None:
    """Return PyTorch's own check of the case; None where it cannot take it: float64, and what it supports."""
    if not all(TorchEngine().supports(node.operation) for node in case.graph.nodes):
        return None
    leaves = [to_tensor(case.values[name]).requires_grad_() for name in case.graph.leaves]
    if not leaves or any(leaf.dtype is not torch.float64 for leaf in leaves):
        return None
    function = twin(case.graph)

    def check() -> bool:
        return torch.autograd.gradcheck(
            lambda *values: function(values), leaves, fast_mode=True, raise_exception=False
        )

    try:
        check()
    except Exception:  # it raises on outputs that depend on no input
        return None
    return check


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Return what was measured, each beside its bar."""
    found = measure(30 if quick else CASES)
    ratio = statistics.median(m.ratio for m in found)
    return [
        {
            "what": f"three witnesses / fast mode, median over {len(found)} generated cases",
            "measured": ratio,
            "bar": 1.0,
            "met": ratio <= 1.0,
            "detail": {
                "cases per second": len(found) / sum(m.ours for m in found),
                "fast mode, cases per second": len(found) / sum(m.theirs for m in found),
                **{f"{f}: {key}": value for f in FAMILIES for key, value in _of_family(found, f).items()},
            },
        }
    ]


def _of_family(found: list[Measured], family: str) -> dict[str, float]:
    own = [m for m in found if m.family == family]
    resolutions = [m.resolution for m in own if m.resolution is not None]
    return {
        "ratio": statistics.median(m.ratio for m in own),
        "milliseconds": 1e3 * statistics.median(m.ours for m in own),
        "resolution": statistics.median(resolutions),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time verify_case beside PyTorch's fast mode.")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = rows(options.quick)
    for entry in found:
        print(f"{entry['what']}: {entry['measured']:.3g}, at most {entry['bar']:g}")
        for key, value in entry["detail"].items():
            print(f"  {key} {value:.3g}")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
