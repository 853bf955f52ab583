"""The worked examples of the lecture, each with the answer that the slides give or that follows by hand.

The known gradients come from the formulas of the slides, written out here for each example, and from no
engine: what ``reference_impl`` computes is compared with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cases.choices import Array
from cases.record import Case
from reference_impl import Graph, Node

FAMILY = "lecture"


def lecture_cases() -> tuple[Case, ...]:
    """Return every worked example of the lecture."""
    return (
        xy_plus_z(),
        *(nested_functions(x) for x in (0.5, -1.3, 2.0)),
        *(distributed_chain_rule(branches) for branches in (1, 2, 3, 5, 10)),
        chain_of_jacobians(),
        mlp_of_two_layers(samples=1),
        mlp_of_two_layers(samples=5),
        shared_weight(),
        shared_weight_matrix(),
    )


def _case(
    name: str,
    nodes: list[Node],
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    known: Mapping[str, Any],
) -> Case:
    shapes = {leaf: np.shape(value) for leaf, value in {**inputs, **parameters}.items()}
    graph = Graph(
        {leaf: shapes[leaf] for leaf in inputs},
        {leaf: shapes[leaf] for leaf in parameters},
        nodes,
        nodes[-1].name,
    )
    values = {leaf: np.asarray(value, np.float64) for leaf, value in {**inputs, **parameters}.items()}
    answers = {of: np.asarray(value, np.float64) for of, value in known.items()}
    return Case(name, graph, values, FAMILY, None, answers)


def xy_plus_z() -> Case:
    """Return L = (f - t)^2 with f = g + z and g = xy, at x = -2, y = 3, z = 1, t = -4: dL/dx = -6."""
    nodes = [
        Node("g", "multiply", ("x", "y")),
        Node("f", "add", ("g", "z")),
        Node("L", "squared_error", ("f", "t")),
    ]
    # f = -5, so dL/df = 2 (f - t) = -2 = dL/dg = dL/dz = -dL/dt;  dL/dx = y dL/dg,  dL/dy = x dL/dg
    known = {"x": -6.0, "y": 4.0, "z": -2.0, "t": 2.0, "g": -2.0, "f": -2.0, "L": 1.0}
    return _case("f = xy + z, L = (f - t)^2", nodes, {"x": -2.0, "y": 3.0, "z": 1.0, "t": -4.0}, {}, known)


def nested_functions(x: float) -> Case:
    """Return f = e^sin(x^2): f' = e^sin(x^2) cos(x^2) 2x."""
    nodes = [Node("u", "square", ("x",)), Node("s", "sin", ("u",)), Node("f", "exp", ("s",))]
    s = math.sin(x * x)
    known = {
        "x": math.exp(s) * math.cos(x * x) * 2 * x,
        "u": math.exp(s) * math.cos(x * x),
        "s": math.exp(s),
        "f": 1.0,
    }
    return _case(f"e^sin(x^2) at x = {x:g}", nodes, {"x": x}, {}, known)


def distributed_chain_rule(branches: int) -> Case:
    """Return y = f(g_1(x), ..., g_M(x)): dy/dx = sum_i df/dg_i dg_i/dx.

    Here g_i = sin(c_i x) and f = (z_1 + ... + z_M)^2, so df/dz_i = 2 (z_1 + ... + z_M) for each i.
    """
    x, M = 0.7, branches
    c = [0.5 + 0.25 * i for i in range(1, M + 1)]
    nodes = [Node(f"a{i}", "multiply", (f"c{i}", "x")) for i in range(1, M + 1)]
    nodes += [Node(f"z{i}", "sin", (f"a{i}",)) for i in range(1, M + 1)]
    nodes += [
        Node("z", "stack", tuple(f"z{i}" for i in range(1, M + 1))),
        Node("total", "sum", ("z",)),
        Node("y", "square", ("total",)),
    ]
    slope = 2 * sum(math.sin(ci * x) for ci in c)
    known: dict[str, float] = {"x": slope * sum(ci * math.cos(ci * x) for ci in c)}
    for i, ci in enumerate(c, start=1):
        known |= {f"z{i}": slope, f"c{i}": slope * math.cos(ci * x) * x}
    constants = {f"c{i}": ci for i, ci in enumerate(c, start=1)}
    return _case(f"distributed chain rule, M = {M}", nodes, {"x": x, **constants}, {}, known)


def chain_of_jacobians() -> Case:
    """Return f3 o f2 o f1 with f1 = A x, f2 = sin and f3 = u . x: its Jacobian is J_f3 J_f2 J_f1."""
    A = np.array([[1.0, -0.5, 0.25], [0.5, 2.0, -1.0]])
    x, u = np.array([0.3, -0.7, 1.1]), np.array([1.5, -2.0])
    nodes = [
        Node("x1", "matmul", ("A", "x0")),
        Node("x2", "sin", ("x1",)),
        Node("x3", "matmul", ("u", "x2")),
    ]
    J1, J2, J3 = A, np.diag(np.cos(A @ x)), u[None, :]
    slope = (J3 @ J2)[0]
    known = {"x0": (J3 @ J2 @ J1)[0], "x1": slope, "x2": J3[0], "u": np.sin(A @ x), "A": np.outer(slope, x)}
    return _case("chain of Jacobians", nodes, {"x0": x}, {"A": A, "u": u}, known)


def mlp_of_two_layers(samples: int) -> Case:
    """Return L = sum_n l(x_n^(2), y_n) with sigma = tanh and l the squared error.

    By the recursion and equations (1) and (2), with s^l = W^l x^(l-1) + b^l and x^l = tanh(s^l), for each
    sample: dl/ds^l = dl/dx^l sigma'(s^l), dl/dx^(l-1) = W^lT dl/ds^l, dl/dW^l = dl/ds^l x^(l-1)T and
    dl/db^l = dl/ds^l.
    """
    W1, b1 = _ramp(3, 2), np.array([0.1, -0.2, 0.3])
    W2, b2 = _ramp(2, 3)[:, ::-1].copy(), np.array([0.05, -0.1])
    x, y = _ramp(samples, 2) * 1.5, _ramp(samples, 2)[:, ::-1] * 0.8
    nodes: list[Node] = []
    before = "x0"
    for layer in ("1", "2"):
        nodes += [
            Node(f"W{layer}T", "transpose", (f"W{layer}",)),
            Node(f"p{layer}", "matmul", (before, f"W{layer}T")),
            Node(f"s{layer}", "add", (f"p{layer}", f"b{layer}")),
            Node(f"x{layer}", "tanh", (f"s{layer}",)),
        ]
        before = f"x{layer}"
    nodes.append(Node("L", "squared_error", ("x2", "y"), {"reduction": "sum"}))
    known = _over_samples([_gradients_of_sample(W1, b1, W2, b2, *pair) for pair in zip(x, y, strict=True)])
    parameters = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
    return _case(f"MLP of two layers, {samples} samples", nodes, {"x0": x, "y": y}, parameters, known)


def _ramp(rows: int, columns: int) -> Array:
    waves: Array = np.sin(np.arange(1.0, rows * columns + 1))
    return waves.reshape(rows, columns)


def _gradients_of_sample(W1: Array, b1: Array, W2: Array, b2: Array, x0: Array, y: Array) -> dict[str, Array]:
    x1 = np.tanh(W1 @ x0 + b1)
    x2 = np.tanh(W2 @ x1 + b2)
    dx2 = 2 * (x2 - y)
    ds2 = dx2 * (1 - x2**2)
    dx1 = W2.T @ ds2
    ds1 = dx1 * (1 - x1**2)
    of_parameters = {"W2": np.outer(ds2, x1), "b2": ds2, "W1": np.outer(ds1, x0), "b1": ds1}
    return {**of_parameters, "x0": W1.T @ ds1, "y": -dx2}


def _over_samples(gradients: list[dict[str, Array]]) -> dict[str, Array]:
    """Add up what all samples share, the parameters; what each has for itself stays a row of its own."""
    rows = {name: np.stack([g[name] for g in gradients]) for name in gradients[0]}
    return {name: row if name in ("x0", "y") else row.sum(axis=0) for name, row in rows.items()}


def shared_weight() -> Case:
    """Return x1 = w1 x0, x2 = w2 (x0 + x1), x3 = x2 + w1 x1, l = x3.

    w1 is used twice, so its gradient has two terms:
    dl/dx3 = 1,  dl/dx2 = 1,  dl/dx1 = w1 + w2 (through phi3 and through phi2),
    dl/dw2 = x0 + x1,  dl/dw1 = x1 (in phi3) + x0 dl/dx1 (in phi1),  dl/dx0 = w2 + w1 dl/dx1.
    """
    nodes = [
        Node("x1", "multiply", ("w1", "x0")),
        Node("sum", "add", ("x0", "x1")),
        Node("x2", "multiply", ("w2", "sum")),
        Node("again", "multiply", ("w1", "x1")),
        Node("x3", "add", ("x2", "again")),
    ]
    # w1 = 3, w2 = 5, x0 = 2: x1 = 6, x2 = 40, x3 = 58
    known = {"w1": 22.0, "w2": 8.0, "x0": 29.0, "x1": 8.0, "x2": 1.0, "x3": 1.0}
    return _case("DAG of three nodes, w1 shared", nodes, {"x0": 2.0}, {"w1": 3.0, "w2": 5.0}, known)


def shared_weight_matrix() -> Case:
    """Return the same graph with vectors, and w1 and w2 matrices.

    x1 = tanh(w1 x0), x2 = tanh(w2 (x0 + x1)), x3 = w1 (x1 * x2), l = |x3 - t|^2.
    """
    w1, w2 = _ramp(3, 3) * 0.8, np.cos(np.arange(9.0)).reshape(3, 3) * 0.7
    x0, t = np.array([0.4, -1.2, 0.9]), np.array([0.5, 0.1, -0.6])
    nodes = [
        Node("p1", "matmul", ("w1", "x0")),
        Node("x1", "tanh", ("p1",)),
        Node("sum", "add", ("x0", "x1")),
        Node("p2", "matmul", ("w2", "sum")),
        Node("x2", "tanh", ("p2",)),
        Node("q", "multiply", ("x1", "x2")),
        Node("x3", "matmul", ("w1", "q")),
        Node("l", "squared_error", ("x3", "t"), {"reduction": "sum"}),
    ]
    known = _backward_of_shared(w1, w2, x0, t)
    name = "DAG of three nodes, w1 a shared matrix"
    return _case(name, nodes, {"x0": x0, "t": t}, {"w1": w1, "w2": w2}, known)


def _backward_of_shared(w1: Array, w2: Array, x0: Array, t: Array) -> dict[str, Array]:
    """Go back through the DAG as on the slides, each J^T_(phi|.) written out as a matrix."""
    x1 = np.tanh(w1 @ x0)
    x2 = np.tanh(w2 @ (x0 + x1))
    dx3 = 2 * (w1 @ (x1 * x2) - t)
    J3_x2, J3_x1 = np.diag(x1) @ w1.T, np.diag(x2) @ w1.T
    D1, D2 = np.diag(1 - x1**2), np.diag(1 - x2**2)
    dx2 = J3_x2 @ dx3
    dx1 = J3_x1 @ dx3 + w2.T @ D2 @ dx2
    dx0 = w1.T @ D1 @ dx1 + w2.T @ D2 @ dx2
    dw1 = np.outer(dx3, x1 * x2) + np.outer(D1 @ dx1, x0)
    dw2 = np.outer(D2 @ dx2, x0 + x1)
    return {"t": -dx3, "x3": dx3, "x2": dx2, "x1": dx1, "x0": dx0, "w1": dw1, "w2": dw2}
