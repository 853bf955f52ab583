"""How fast the reference backpropagation is, beside PyTorch on the same cores, and what it keeps in memory.

    python -m benchmarks.reference_speed [--json FILE]

Three questions, each with its bar: a real MLP (where matrix products count), a graph of a thousand small
operations (where our own overhead counts), and peak memory as an MLP gets deeper. Beside them, the
lecture's remark that backward takes twice the computations of forward, in time and in operations.
"""

from __future__ import annotations

import argparse
import json
import platform
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.reference_networks import (
    Array,
    TorchClassifier,
    as_graph,
    classifier,
    in_torch,
    residual_chain,
)
from benchmarks.timing import cores, medians
from reference_impl import backward, forward, mlp, value, value_and_gradients

WIDTHS = (784, 512, 512, 10)
BATCH = 128
DEPTHS = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Line:
    """One measured number, and the bar below which (``least``: above which) it is to stay, if any."""

    what: str
    number: float
    unit: str = ""
    bar: float | None = None
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the number stays within its bar."""
        return self.bar is None or (self.number >= self.bar if self.least else self.number <= self.bar)


def mlp_lines() -> list[Line]:
    """Time an MLP in our layers, as our graph, and in PyTorch, which must agree."""
    net, x, y = classifier(WIDTHS, BATCH)
    graph, values = as_graph(net, x, y)
    theirs, passed = TorchClassifier(net, x, y), mlp.forward(net, x)
    kept = forward(graph, values, wrt=graph.parameters)
    assert_same(backward(kept, retain=True), theirs.both())
    ways: dict[str, Callable[[], object]] = {
        "torch": theirs.both,
        "layers": lambda: mlp.loss_and_gradients(net, x, y, with_input=False),
        "graph": lambda: value_and_gradients(graph, values, wrt=graph.parameters),
        "layers forward": lambda: mlp.forward(net, x),
        "layers backward": lambda: mlp.backward(net, passed, y, with_input=False),
        "layers backward to x": lambda: mlp.backward(net, passed, y),
        "graph forward": lambda: forward(graph, values, wrt=graph.parameters),
        "graph backward": lambda: backward(kept, retain=True),
    }
    t = medians(ways)
    return [
        *(
            Line(f"{name}: forward and backward", t[name] * 1e3, "ms")
            for name in ("torch", "layers", "graph")
        ),
        Line("layers / torch", t["layers"] / t["torch"], "", 1.5),
        Line("graph / torch", t["graph"] / t["torch"], "", 1.5),
        Line("layers: backward / forward", t["layers backward"] / t["layers forward"], "", 2.5),
        Line("  multiplications: backward / forward", work_ratio(with_input=False)),
        Line("layers: backward to x too / forward", t["layers backward to x"] / t["layers forward"]),
        Line("graph: backward / forward", t["graph backward"] / t["graph forward"], "", 2.5),
        Line("  multiplications: backward to x too / forward", work_ratio(with_input=True)),
    ]


def work_ratio(*, with_input: bool) -> float:
    """Count the multiplications in matrix products: forward W x; backward ds x^T, and W^T ds if wanted."""
    layers = [below * above for below, above in pairwise(WIDTHS)]
    return (2 * sum(layers) - (0 if with_input else layers[0])) / sum(layers)


def small_graph_lines() -> list[Line]:
    """Time a graph whose arrays are so small that what counts is the work around the arithmetic."""
    graph, values = residual_chain(333)
    eager = in_torch(graph, values)
    assert_same(value_and_gradients(graph, values)[1], eager())
    t = medians({"graph": partial(value_and_gradients, graph, values), "torch": eager})
    return [
        Line("torch eager: forward and backward", t["torch"] * 1e3, "ms"),
        Line("graph: forward and backward", t["graph"] * 1e3, "ms"),
        Line("graph / torch eager", t["graph"] / t["torch"], "", 1.0),
        Line("graph: for each node", t["graph"] * 1e6 / len(graph.nodes), "us"),
    ]


def memory_lines() -> list[Line]:
    """Measure peak memory against depth; of the gradients only the input's is asked for."""
    peaks: dict[str, list[float]] = {"forward alone": [], "forward and backward": []}
    for depth in DEPTHS:
        graph, values = as_graph(*classifier((256,) * depth + (10,), BATCH, "tanh"))
        peaks["forward alone"].append(peak(partial(value, graph, values)))
        peaks["forward and backward"].append(peak(partial(value_and_gradients, graph, values, wrt=["x"])))
    slopes = {name: float(np.polyfit(DEPTHS, measured, 1)[0]) for name, measured in peaks.items()}
    by_depth = [
        Line(f"{name}, {depth} layers", measured[i], "MiB")
        for name, measured in peaks.items()
        for i, depth in enumerate(DEPTHS)
    ]
    return [
        *by_depth,
        *(Line(f"{name}: for each layer", slope, "MiB") for name, slope in slopes.items()),
        Line("one layer's activations x^l", BATCH * 256 * 8 / 2**20, "MiB"),
        Line(
            "forward and backward: R^2 of a line",
            r_squared(peaks["forward and backward"]),
            "",
            0.999,
            least=True,
        ),
    ]


def peak(call: Callable[[], object]) -> float:
    """Return the most memory, in MiB, that a call had allocated at any one time."""
    call()  # what is worked out only once
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def r_squared(measured: list[float]) -> float:
    """Return the share of the variance over depths that a straight line explains."""
    residual = np.asarray(measured) - np.polyval(np.polyfit(DEPTHS, measured, 1), DEPTHS)
    return float(1 - residual.var() / np.var(measured))


def assert_same(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    """Refuse to time what is not the same computation."""
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, theirs[name], rtol=1e-8, atol=1e-10, err_msg=name)


SECTIONS: Mapping[str, Callable[[], list[Line]]] = {
    f"MLP {'-'.join(map(str, WIDTHS))}, batch {BATCH}, float64": mlp_lines,
    "Graph of 1,000 operations on 4 by 4 arrays, float64": small_graph_lines,
    f"Peak memory of an MLP with layers of 256, batch {BATCH}, float64": memory_lines,
}


def table(title: str, lines: list[Line]) -> Table:
    """Lay the lines out for the terminal."""
    shown = Table("measured", "", "", "bar", title=title, title_justify="left", min_width=72)
    for line in lines:
        bound = f"{'at least' if line.least else 'at most'} {line.bar:g}" if line.bar is not None else ""
        number = f"{line.number:.6f}" if line.least else f"{line.number:.3g}"
        shown.add_row(line.what, number, line.unit, bound + ("" if line.met else ": MISSED"))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the reference backpropagation.")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    setting = {
        "cores": cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    console = Console()
    console.print(", ".join(f"{name} {what}" for name, what in setting.items()))
    results = {title: measure() for title, measure in SECTIONS.items()}
    for title, lines in results.items():
        console.print(table(title, lines))
    if options.json:
        record = {title: [asdict(line) for line in lines] for title, lines in results.items()}
        options.json.write_text(json.dumps({**setting, "results": record}, indent=2) + "\n")


if __name__ == "__main__":
    main()
