"""Backpropagation over a graph: the forward pass, then the chain rule from the output back, once per node.

Forward, each node computes its value from those it reads. Backward, each node that the output depends on
has its cotangent complete when its turn comes, as all its readers came before; its vjp hands each input a
share, and the shares of all paths add up (the distributed chain rule). Of the values, the forward pass
keeps only what some vjp will read, and the backward pass lets go of each once no vjp will read it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reference_impl.errors import ValuesError, did_you_mean
from reference_impl.graph import Graph
from reference_impl.plan import Plan, plan, rules_used
from reference_impl.rules import RULES, Like, Rule
from reference_impl.rules.rule import Array

Values = Mapping[str, npt.ArrayLike]
Gradients = dict[str, Array]


@dataclass(eq=False)
class ForwardPass:
    """The output, and of all values those that the backward pass will read.

    The caller's arrays are among these, not copies: they are not to be changed before ``backward``.
    ``kept`` is None once the backward pass has used it up.
    """

    output: Array
    wrt: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]  # shape and dtype of each gradient to come
    plan: Plan
    kept: list[Any] | None


def value(graph: Graph, values: Values, rules: Mapping[str, Rule] = RULES) -> Array:
    """Return the graph's output for the given leaf values, keeping nothing else.

    Args:
        graph: the computation.
        values: an array for each leaf, of its shape and any floating-point or complex dtype.
        rules: the table of operations.

    Raises:
        ValuesError: where a leaf has no value or a value of the wrong shape, or there is no such leaf, or
            no rule for an operation.
    """
    return forward(graph, values, rules, wrt=()).output


def evaluate_all(graph: Graph, values: Values, rules: Mapping[str, Rule] = RULES) -> dict[str, Array]:
    """Return the value of every leaf and every node, by name.

    Raises:
        ValuesError: as ``value``.
    """
    rules_used(graph, rules)
    found: dict[str, Any] = leaf_values(graph, values)
    for node in graph.nodes:
        try:
            found[node.name] = rules[node.operation].forward(
                *[found[name] for name in node.inputs], **node.attributes
            )
        except Exception as error:
            error.add_note(f"In node {node.name!r} ({node.operation}), going forward.")
            raise
    return {name: np.asarray(array) for name, array in found.items()}


def forward(
    graph: Graph,
    values: Values,
    rules: Mapping[str, Rule] = RULES,
    *,
    wrt: Iterable[str] | None = None,
    output: str | None = None,
) -> ForwardPass:
    """Run the forward pass, keeping what the backward pass to ``wrt`` (None: every leaf) will read.

    ``output`` names the value to end in, where that is not the graph's own output.

    Raises:
        ValuesError: as ``value``; or where ``wrt`` or ``output`` names nothing in the graph.
    """
    names = tuple(graph.leaves) if wrt is None else tuple(dict.fromkeys(wrt))
    target = graph.output if output is None else output
    for name in (*names, target):
        if name not in graph.shapes:
            raise ValuesError(f"The graph has no value called {name!r}.{did_you_mean(name, graph.shapes)}")
    steps = plan(graph, target, names, rules)
    leaves = leaf_values(graph, values)
    kept: list[Any] = [*leaves.values(), *[None] * len(graph.nodes)]
    _run_forward(steps, kept)
    result = np.asarray(kept[steps.output])
    owner = _owner(result)
    if any(owner is _owner(leaf) for leaf in leaves.values()):
        result = result.copy()  # the caller may want to write into it
    if not steps.keeps_output:
        kept[steps.output] = Like(result.shape, result.dtype)
    alike = {name: leaves.get(name, kept[i]) for name, i in zip(names, steps.wrt, strict=True)}
    dtypes = {name: result.dtype if array is None else array.dtype for name, array in alike.items()}
    return ForwardPass(result, {name: (graph.shapes[name], dtypes[name]) for name in names}, steps, kept)


def backward(
    forward_pass: ForwardPass, cotangent: npt.ArrayLike | None = None, *, retain: bool = False
) -> Gradients:
    """Return the gradient with respect to each of the pass's ``wrt``, of its shape and dtype.

    Args:
        forward_pass: from ``forward``; used up, unless ``retain`` keeps its values for another call.
        cotangent: of the output, of its shape; None means ones.
        retain: whether the forward pass will be gone back through again.

    Raises:
        ValuesError: where the cotangent has another shape, or the forward pass was already used up.
    """
    if forward_pass.kept is None:
        raise ValuesError(
            "This forward pass was already gone back through. Run it again, or pass retain=True."
        )
    seed = _cotangent(forward_pass.output, cotangent)
    kept = list(forward_pass.kept) if retain else forward_pass.kept
    if not retain:
        forward_pass.kept = None
    cotangents = _run_backward(forward_pass.plan, kept, seed)
    taken = {id(_owner(seed))}
    return {
        name: _gradient(cotangents[i], *alike, taken)
        for i, (name, alike) in zip(forward_pass.plan.wrt, forward_pass.wrt.items(), strict=True)
    }


def value_and_gradients(
    graph: Graph,
    values: Values,
    wrt: Iterable[str] | None = None,
    cotangent: npt.ArrayLike | None = None,
    rules: Mapping[str, Rule] = RULES,
) -> tuple[Array, Gradients]:
    """Return the output, and the gradient of <cotangent, output> with respect to each value asked for.

    Args:
        graph: the computation.
        values: an array for each leaf, of its shape and any floating-point or complex dtype.
        wrt: names of leaves or nodes; None means every leaf. Those that do not reach the output get zeros.
        cotangent: of the output's shape; None means ones.
        rules: the table of operations.

    Raises:
        ValuesError: where a value, the cotangent or a name does not fit the graph.
    """
    passed = forward(graph, values, rules, wrt=wrt)
    return passed.output, backward(passed, cotangent)


def leaf_values(graph: Graph, values: Values) -> dict[str, Array]:
    """Return an array for each leaf, in the graph's order, never a copy of a floating-point array.

    Raises:
        ValuesError: where one is missing, of the wrong shape or not numeric, or there is no such leaf.
    """
    leaves = graph.leaves
    for name in values:
        if name not in leaves:
            raise ValuesError(f"The graph has no leaf called {name!r}.{did_you_mean(name, leaves)}")
    return {name: _leaf_value(name, shape, values) for name, shape in leaves.items()}


def _leaf_value(name: str, shape: tuple[int, ...], values: Values) -> Array:
    if name not in values:
        raise ValuesError(f"Leaf {name!r} has no value. Give it an array of shape {shape}.")
    try:
        array = np.asarray(values[name])
    except ValueError as error:
        raise ValuesError(f"Expected an array for leaf {name!r}: {error}") from error
    if array.dtype.kind not in "fc":
        if array.dtype.kind not in "iub":
            raise ValuesError(f"Expected numbers for leaf {name!r} but got dtype {array.dtype}.")
        array = array.astype(np.float64)
    if array.shape != shape:
        raise ValuesError(f"Expected shape {shape} for leaf {name!r} but got {array.shape}.")
    return array


def _run_forward(steps: Plan, values: list[Any]) -> None:
    """Fill in the values of the nodes, and let go of what will not be read again."""
    output = -1
    try:
        for compute, inputs, output, shrink, drop in steps.forward:
            values[output] = compute(*[values[i] for i in inputs])
            for i in shrink:
                values[i] = Like(values[i].shape, values[i].dtype)
            for i in drop:
                values[i] = None
    except Exception as error:
        error.add_note(f"In {steps.labels[output]}, going forward.")
        raise


def _run_backward(steps: Plan, values: list[Any], seed: Array) -> list[Any]:
    """Return the cotangent of each value asked for, by position; None where no path leads to it."""
    cotangents: list[Any] = [None] * len(values)
    cotangents[steps.output] = seed
    asked = set(steps.wrt)
    shares: Any
    output = -1
    try:
        for vjp, inputs, output, targets, shrink, drop in steps.backward:
            shares = vjp(cotangents[output], values[output], [values[i] for i in inputs])
            if output not in asked:
                cotangents[output] = None
            for i, share in zip(targets, shares, strict=True):
                if i is not None:
                    held = cotangents[i]
                    cotangents[i] = share if held is None else held + share
            shares = share = held = None  # or they would outlive their use by one step
            for i in shrink:
                values[i] = Like(values[i].shape, values[i].dtype)
            for i in drop:
                values[i] = None
    except Exception as error:
        error.add_note(f"In {steps.labels[output]}, going backward.")
        raise
    return cotangents


def _cotangent(output: Array, cotangent: npt.ArrayLike | None) -> Array:
    if cotangent is None:
        return np.ones(output.shape, output.dtype)
    seed = np.asarray(cotangent)
    if seed.shape != output.shape:
        raise ValuesError(f"Expected a cotangent of the output's shape {output.shape} but got {seed.shape}.")
    if seed.dtype.kind not in ("iufc" if output.dtype.kind == "c" else "iuf"):
        raise ValuesError(f"Expected a cotangent of the output's dtype {output.dtype} but got {seed.dtype}.")
    return seed.astype(output.dtype, copy=False)


def _gradient(cotangent: Any, shape: tuple[int, ...], dtype: np.dtype[Any], taken: set[int]) -> Array:
    """Return a cotangent as an array that the caller may keep and write into.

    Cotangents may share memory with each other and with the output's, whose owners are in ``taken``; a copy
    is made where the owner is taken already, or holds more than this.
    """
    if cotangent is None:
        return np.zeros(shape, dtype)
    array = np.asarray(cotangent)
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = array.real
    array = array.astype(dtype, copy=False)
    owner = _owner(array)
    if id(owner) in taken or owner.size != array.size or not array.flags.writeable:
        return array.copy()
    taken.add(id(owner))
    return array


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
