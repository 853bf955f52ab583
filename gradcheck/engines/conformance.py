"""What every engine has to get right, for its author to run: operation by operation, and as a whole.

    @pytest.mark.parametrize("requirement", conformance.requirements(engine), ids=str)
    def test_my_engine_conforms(requirement):
        requirement.verify()

or, without pytest, ``print(conformance.check(engine))``. Each requirement is small enough to debug, and is
judged against the reference implementation: what an engine gets wrong here needs no finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Answer, Engine, UnsupportedError, call_engine, require_engine
from gradcheck.engines.own_format import held_format
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.samples import SAMPLES, Sample
from gradcheck.engines.weighting import can_weigh, random_cotangent, weighted
from gradcheck.errors import EngineError
from reference_impl import Graph, Node

Array = npt.NDArray[Any]

TOLERANCE = 1e-9  # relative to the largest entry: float64, a few roundings, no step size anywhere
# One that holds numbers in float32 may be off by so many roundings, those of the inputs among them.
_ROUNDINGS = 100.0


class NotConforming(AssertionError):
    """An engine breaks a requirement; the sentence says what it returned and what was expected."""


@dataclass(frozen=True)
class Requirement:
    """One thing that the engine must do; ``verify`` raises where it does not."""

    name: str
    engine: Engine
    run: Callable[[Engine], None]

    def __str__(self) -> str:
        return self.name

    def verify(self) -> None:
        """Try the engine.

        Raises:
            NotConforming: where it does something else.
            UnsupportedError: where it says that it lacks what is needed.
        """
        try:
            self.run(self.engine)
        except UnsupportedError:
            raise
        except EngineError as error:
            raise NotConforming(f"{self.name}: {error}") from error


@dataclass(frozen=True)
class Outcome:
    """How an engine did: requirements met, those it lacks the operations for, and what it broke and how."""

    engine: str
    met: tuple[str, ...]
    unsupported: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was broken."""
        return not self.broken

    def __str__(self) -> str:
        counts = f"{len(self.met)} met, {len(self.broken)} broken, {len(self.unsupported)} unsupported"
        return "\n".join([f"{self.engine}: {counts}", *(f"  {sentence}" for _, sentence in self.broken)])


def requirements(engine: Engine) -> tuple[Requirement, ...]:
    """Return what the engine must do, for the operations that it says it supports.

    Raises:
        UsageError: where it is no engine.
    """
    require_engine(engine)
    found = [*_of_operations(engine), *_of_graphs(engine)]
    return tuple(Requirement(name, engine, run) for name, run in found)


def check(engine: Engine) -> Outcome:
    """Try every requirement, and say how the engine did."""
    met, unsupported, broken = [], [], []
    for requirement in requirements(engine):
        try:
            requirement.verify()
        except UnsupportedError:
            unsupported.append(requirement.name)
        except NotConforming as error:
            broken.append((requirement.name, str(error)))
        else:
            met.append(requirement.name)
    return Outcome(engine.name, tuple(met), tuple(unsupported), tuple(broken))


Run = Callable[[Engine], None]


def _of_operations(engine: Engine) -> Iterator[tuple[str, Run]]:
    weigh = can_weigh(engine)
    for operation, samples in SAMPLES.items():
        if engine.supports(operation):
            for number, sample in enumerate(samples, start=1):
                yield f"{operation}-{number}", _same_as_reference(operation, sample, weigh)


def _same_as_reference(operation: str, sample: Sample, weigh: bool) -> Run:
    def run(engine: Engine) -> None:
        graph, values = sample.graph(operation), sample.values()
        if weigh:
            graph, cotangent = weighted(graph)
            values[cotangent] = random_cotangent(graph.leaves[cotangent], seed=0)
        shapes = ", ".join(map(str, sample.shapes))
        attributes = "".join(f", {name}={value!r}" for name, value in sample.attributes.items())
        compare(engine, graph, values, f"{operation}({shapes}{attributes})")

    return run


def compare(engine: Engine, graph: Graph, values: dict[str, Array], what: str) -> Answer:
    """Compare an engine's answer with the reference implementation's.

    Raises:
        EngineError: where the engine's answer is no answer.
        NotConforming: where it is another one.
    """
    expected = call_engine(ReferenceEngine(), graph, values)
    answer = call_engine(engine, graph, values)
    tolerance = max(TOLERANCE, _ROUNDINGS * float(np.finfo(held_format(engine)).eps))
    _require_close(f"the value of {what}", answer.value, expected.value, tolerance)
    for name, gradient in answer.gradients.items():
        _require_close(f"the gradient of {what} for {name!r}", gradient, expected.gradients[name], tolerance)
    return answer


def _require_close(what: str, found: Array, expected: Array, tolerance: float) -> None:
    error = np.abs(found - expected)
    if error.size and error.max() > tolerance * max(1.0, np.abs(expected).max()):
        at = np.unravel_index(np.argmax(error), error.shape)
        place = f" at {[int(i) for i in at]}" if at else ""
        raise NotConforming(f"{what} is {found[at]:.12g}{place}, expected {expected[at]:.12g}")


def _of_graphs(engine: Engine) -> Iterator[tuple[str, Run]]:
    yield "refuses-unknown-operations", _refuses_unknown
    yield "output-may-be-a-leaf", _leaf_as_output
    if all(map(engine.supports, ("multiply", "add", "sum"))):
        yield "gradients-add-over-paths", _adds_over_paths
        yield "unused-leaves-have-zeros", _unused_leaves
        yield "values-are-left-alone", _leaves_values_alone
        yield "any-memory-layout", _any_layout
        yield "repetition-changes-nothing", _repeats
        yield "any-leaf-name", _any_name


def _refuses_unknown(engine: Engine) -> None:
    if engine.supports("no such operation"):
        raise NotConforming("supports('no such operation') is true: answer by looking into your table")


def _leaf_as_output(engine: Engine) -> None:
    compare(engine, Graph({}, {"x": (2,), "w": (3,)}, [], "x"), _two_leaves((2,), (3,)), "a leaf")


def _adds_over_paths(engine: Engine) -> None:
    nodes = [
        Node("a", "multiply", ("x", "x")),  # the same operand twice
        Node("b", "multiply", ("a", "w")),
        Node("c", "add", ("a", "b")),  # a is read by two nodes, x reaches c over four paths
        Node("y", "sum", ("c",)),
    ]
    compare(engine, Graph({"x": (3,)}, {"w": (3,)}, nodes, "y"), _two_leaves((3,), (3,)), "sum(x*x + x*x*w)")


def _product() -> Graph:
    nodes = [Node("a", "multiply", ("x", "w")), Node("y", "sum", ("a",))]
    return Graph({"x": (2, 3)}, {"w": (2, 3)}, nodes, "y")


def _two_leaves(x: tuple[int, ...], w: tuple[int, ...]) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {"x": random.uniform(0.5, 2, x), "w": random.uniform(0.5, 2, w)}


def _unused_leaves(engine: Engine) -> None:
    nodes = [Node("y", "multiply", ("x", "x"))]
    compare(engine, Graph({"x": (2,)}, {"w": (3, 1)}, nodes, "y"), _two_leaves((2,), (3, 1)), "x*x, w unused")


def _leaves_values_alone(engine: Engine) -> None:
    values = _two_leaves((2, 3), (2, 3))
    before = {name: value.copy() for name, value in values.items()}
    for value in values.values():
        value.flags.writeable = False
    compare(engine, _product(), values, "sum(x*w), read-only values")
    for value in values.values():
        value.flags.writeable = True
    compare(engine, _product(), values, "sum(x*w)")
    for name, value in values.items():
        if not np.array_equal(value, before[name]):
            raise NotConforming(f"the value of leaf {name!r} was changed: work on a copy")


def _any_layout(engine: Engine) -> None:
    values = _two_leaves((2, 3), (2, 3))
    turned = {"x": np.asfortranarray(values["x"]), "w": values["w"][:, ::-1]}
    compare(engine, _product(), turned, "sum(x*w), x in Fortran order, w with negative strides")


def _repeats(engine: Engine) -> None:
    values = _two_leaves((2, 3), (2, 3))
    for time in ("first", "second", "third"):
        compare(engine, _product(), values, f"sum(x*w), the {time} time")


def _any_name(engine: Engine) -> None:
    names = {"x": "layer1.weight", "w": "inputs[0]"}
    nodes = [Node("a b", "multiply", tuple(names.values())), Node("y", "sum", ("a b",))]
    graph = Graph({names["x"]: (2, 3)}, {names["w"]: (2, 3)}, nodes, "y")
    values = {names[name]: value for name, value in _two_leaves((2, 3), (2, 3)).items()}
    compare(engine, graph, values, "sum of a product of leaves with such names")
