"""The reference implementation beside other libraries, and beside what the lecture says."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import reference_speed
from benchmarks.record import Bar, Cell, Plot, Result, Table
from benchmarks.reference_networks import Array, classifier
from benchmarks.timing import medians
from reference_impl import mlp

WIDTHS, BATCH = (784, 512, 512, 10), 128
TINY, FEW = (8, 16, 4), 4  # micrograd's numbers are Python objects, one by one
_TWICE = "the computational cost of backward is twice that of forward"
CLAIMS = {
    "layers: backward / forward": _TWICE,
    "  multiplications: backward to x too / forward": _TWICE,
    "forward and backward: R^2 of a line": "memory: all the intermediate results, so linear in depth",
}


def measure(quick: bool) -> Result:
    found = {title: lines() for title, lines in reference_speed.SECTIONS.items()}
    lines = [line for of_title in found.values() for line in of_title]
    peaks = {kind: [x.number for x in lines if x.what.startswith(f"{kind}, ")] for kind in _KINDS}
    tables = [
        Table(title, ("measured", "", "unit"), [[x.what.strip(), x.number, x.unit] for x in of_title])
        for title, of_title in found.items()
    ]
    return Result(
        tables=(_beside_others(quick), _claims(lines), *tables),
        bars=[
            Bar(f"reference: {x.what.strip()}", x.number, x.bar, x.least) for x in lines if x.bar is not None
        ],
        plots=(
            Plot(
                "depth",
                "Peak memory by depth",
                "layers of 256",
                "MiB",
                list(reference_speed.DEPTHS),
                peaks,
                logy=False,
            ),
        ),
    )


_KINDS = ("forward alone", "forward and backward")


def _claims(lines: list[Any]) -> Table:
    rows = [[CLAIMS[x.what], x.what.strip(), x.number] for x in lines if x.what in CLAIMS]
    return Table("What the lecture says", ("lecture", "measured as", ""), rows)


def _beside_others(quick: bool) -> Table:
    rows: list[list[Cell]] = []
    for widths, batch in ((TINY, FEW), (WIDTHS, BATCH)):
        net, x, y = classifier(widths, batch)
        ways = {
            "reference, layers": lambda n=net, x=x, y=y: mlp.loss_and_gradients(n, x, y, with_input=False),
            "PyTorch": reference_speed.TorchClassifier(net, x, y).both,
            "HIPS autograd": _hips(net, x, y),
        }
        if widths == TINY:
            ways["micrograd"] = _micrograd(net, x, y)
        spent = medians(ways)
        title = f"{'-'.join(map(str, widths))}, batch {batch}"
        rows += [[title, name, seconds * 1e3, seconds / spent["PyTorch"]] for name, seconds in spent.items()]
    columns = ("network", "implementation", "forward and backward, ms", "of PyTorch's")
    return Table(
        "Beside other implementations", columns, rows, "micrograd computes number by number in Python."
    )


def _hips(net: mlp.MLP, x: Array, y: Array) -> Any:
    import autograd
    import autograd.numpy as anp

    def loss(parameters: Any) -> Any:
        h = x
        for i, (W, b) in enumerate(parameters, 1):
            h = h @ W.T + b
            h = anp.maximum(h, 0) if i < len(parameters) else h
        shifted = h - anp.max(h, axis=1, keepdims=True)
        log_p = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
        return -anp.sum(log_p[anp.arange(len(y)), y])

    parameters = list(zip(net.W, net.b, strict=True))
    both = autograd.value_and_grad(loss)
    _same(net, x, y, both(parameters)[1])
    return lambda: both(parameters)


def _micrograd(net: mlp.MLP, x: Array, y: Array) -> Any:
    from micrograd.engine import Value

    def both() -> list[tuple[Array, Array]]:
        layers = [
            ([[Value(v) for v in row] for row in W], [Value(v) for v in b])
            for W, b in zip(net.W, net.b, strict=True)
        ]
        total = Value(0.0)
        for sample, label in zip(x, y, strict=True):
            total = total + _number_by_number(layers, [Value(v) for v in sample], int(label))
        total.backward()
        return [
            (np.array([[v.grad for v in row] for row in W]), np.array([v.grad for v in b])) for W, b in layers
        ]

    _same(net, x, y, both())
    return both


def _number_by_number(layers: Any, h: list[Any], label: int) -> Any:
    """Return the sample's loss; micrograd has no logarithm, so its exponentials are Values made by hand."""
    for i, (W, b) in enumerate(layers, 1):
        h = [sum((w * v for w, v in zip(row, h, strict=True)), c) for row, c in zip(W, b, strict=True)]
        h = [v.relu() for v in h] if i < len(layers) else h
    return _log_sum_exp(h) - h[label]


def _log_sum_exp(values: list[Any]) -> Any:
    from micrograd.engine import Value

    data = np.array([v.data for v in values])
    top = data.max()
    weights = np.exp(data - top)
    out = Value(float(top + np.log(weights.sum())), tuple(values), "logsumexp")

    def backward() -> None:
        for v, weight in zip(values, weights / weights.sum(), strict=True):
            v.grad += float(weight) * out.grad

    out._backward = backward
    return out


def _same(net: mlp.MLP, x: Array, y: Array, theirs: Any) -> None:
    """Refuse to time what is not the same computation."""
    _, ours = mlp.loss_and_gradients(net, x, y)
    for W, b, (dW, db) in zip(ours.W, ours.b, theirs, strict=True):
        np.testing.assert_allclose(dW, W, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(db, b, rtol=1e-8, atol=1e-10)
