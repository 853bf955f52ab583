"""What an engine is, and what is demanded of its answer before a single number is compared.

An engine belongs to somebody else: it may raise, forget a leaf or return the transpose. Each of these gets
its own sentence here, once, so that everything behind the boundary may rely on names and shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from gradcheck.errors import EngineError, UsageError
from gradcheck.report.words import counted, with_article

if TYPE_CHECKING:
    from reference_impl import Graph

Array = npt.NDArray[Any]

_METHODS = ("supports", "value_and_gradients")
_NAMES_SHOWN = 3
_TEXT_SHOWN = 200


class Engine(Protocol):
    """Something that evaluates a graph and differentiates it.

    One that has complex numbers, too, may say so by an attribute ``complex_numbers = True``: it is then
    verified on cases in complex numbers without being asked to.
    """

    @property
    def name(self) -> str:
        """What reports call the engine."""
        ...

    def supports(self, operation: str) -> bool:
        """Whether the engine has this operation; a graph with one that it lacks is skipped and counted."""
        ...

    def value_and_gradients(
        self, graph: Graph, values: Mapping[str, Array]
    ) -> tuple[Array, Mapping[str, Array]]:
        """Return the output's value and the gradient of every leaf, by name, each of its leaf's shape.

        Where the output is no scalar, the gradients are those of the sum of its elements. Where it is
        complex they are PyTorch's, ``conj(derivative)``. A leaf that the output does not depend on has a
        gradient of zeros. ``values`` may be read-only, and are not to be changed.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """A checked answer: the output's value, and a gradient of the right shape for every leaf."""

    value: Array
    gradients: Mapping[str, Array]


class UnsupportedError(EngineError, NotImplementedError):
    """An engine has the operations but not with these attributes; the case is skipped and counted.

    An engine may raise any ``NotImplementedError`` to say so.
    """

    def __init__(self, message: str, operation: str | None = None) -> None:
        super().__init__(message)
        self.operation = operation


class NonFiniteError(EngineError):
    """An engine's value or gradient holds NaN or infinity; ``answer`` is right in names and shapes."""

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message)
        self.answer = answer


def is_engine(found: object) -> TypeGuard[Engine]:
    """Whether ``found`` has everything that an engine needs."""
    return not _missing(found)


def require_engine(found: object, source: str = "") -> Engine:
    """Return ``found`` if it is an engine.

    Raises:
        UsageError: where it lacks a method, or its name is no text; ``source`` says where it came from.
    """
    if is_engine(found):
        return found
    where = f" in {source}" if source else ""
    raise UsageError(
        f"Expected an engine{where} but got {type(found).__name__} without {_listed(_missing(found))}: "
        "an engine has a name, supports(operation) and value_and_gradients(graph, values)."
    )


def has_complex_numbers(engine: Engine) -> bool:
    """Whether the engine says so, by an attribute ``complex_numbers``; it need not have one."""
    return bool(getattr(engine, "complex_numbers", False))


def unsupported(engine: Engine, graph: Graph) -> tuple[str, ...]:
    """Return the operations of ``graph`` that the engine lacks, each once, in order of the alphabet."""
    needed = {node.operation for node in graph.nodes}
    return tuple(sorted(operation for operation in needed if not engine.supports(operation)))


def call_engine(engine: Engine, graph: Graph, values: Mapping[str, Array], *, finite: bool = True) -> Answer:
    """Ask an engine for a value and its gradients, and check names, shapes and kinds of what it returns.

    Raises:
        UnsupportedError: where it raises ``NotImplementedError``.
        EngineError: where it raises anything else, exits, or does not return one number array for each leaf,
            of the leaf's shape.
        NonFiniteError: where ``finite`` is asked for and an entry is NaN or infinite.
    """
    try:
        returned = engine.value_and_gradients(graph, values)
    except UnsupportedError:
        raise
    except NotImplementedError as error:
        raise UnsupportedError(
            f"Engine {engine.name!r} lacks something that the graph needs: {error}"
        ) from error
    except (Exception, SystemExit) as error:  # one that exits would end the run as if all were right
        raise EngineError(
            f"Engine {engine.name!r} raised {_raised(error)} (in value_and_gradients, on a graph of "
            f"{_operations(graph)}); call it on this graph alone to see where."
        ) from error
    answer = _checked(engine.name, graph, returned)
    if finite:
        _require_finite(engine.name, answer)
    return answer


def _missing(found: object) -> tuple[str, ...]:
    absent = [method for method in _METHODS if not callable(getattr(found, method, None))]
    named = isinstance(getattr(found, "name", None), str)
    return tuple(absent if named else ["a name", *absent])


def _checked(name: str, graph: Graph, returned: object) -> Answer:
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Mapping):
        raise EngineError(
            f"Engine {name!r} returned {_kind(returned)}; return a pair: the value, and a dict from each "
            "leaf's name to its gradient."
        )
    value, gradients = returned
    _check_names(name, graph.leaves, gradients)
    return Answer(
        _array(name, "the value", value, graph.shapes[graph.output]),
        {
            leaf: _array(name, f"the gradient of {leaf!r}", gradients[leaf], shape)
            for leaf, shape in graph.leaves.items()
        },
    )


def _check_names(name: str, leaves: Iterable[str], gradients: Mapping[str, object]) -> None:
    expected = set(leaves)
    absent, extra = sorted(expected - set(gradients)), sorted(map(str, set(gradients) - expected))
    if absent:
        raise EngineError(
            f"Engine {name!r} returned no gradient for {_listed(absent)}; return one for each of the graph's "
            "leaves, zeros where the output does not depend on it."
        )
    if extra:
        raise EngineError(
            f"Engine {name!r} returned a gradient for {_listed(extra)}, which the graph has no leaf for; "
            "return those of the graph's inputs and parameters only."
        )


def _array(name: str, what: str, returned: object, shape: tuple[int, ...]) -> Array:
    try:
        array = np.asarray(returned)
    except (Exception, SystemExit) as error:
        raise EngineError(
            f"Engine {name!r} returned {_kind(returned)} as {what}, which NumPy cannot read ({error}); "
            "return a NumPy array."
        ) from error
    if array.dtype.kind not in "iufc":
        raise EngineError(
            f"Engine {name!r} returned {_kind(returned)} as {what}; return a NumPy array of numbers."
        )
    if array.shape != shape:
        transposed = " (its transpose)" if array.ndim > 1 and array.shape[::-1] == shape else ""
        raise EngineError(
            f"Engine {name!r} returned {what} with shape {array.shape}{transposed}; return it with the "
            f"shape {shape}."
        )
    return array


def _require_finite(name: str, answer: Answer) -> None:
    parts = {"the value": answer.value} | {f"the gradient of {n!r}": g for n, g in answer.gradients.items()}
    for what, array in parts.items():
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            index = tuple(bad[0].tolist())
            place = f" at {list(index)}" if index else ""
            raise NonFiniteError(
                f"Engine {name!r} returned {what} with {len(bad)} of {counted(array.size, 'entry')} not "
                f"finite (first {array[index]}{place}); look for a division by zero or an overflow there.",
                answer,
            )


def _raised(error: BaseException) -> str:
    """Return an exception as one line of bounded length."""
    text = " ".join(str(error).split())
    if len(text) > _TEXT_SHOWN:
        text = text[: _TEXT_SHOWN - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _kind(returned: object) -> str:
    if isinstance(returned, np.ndarray):
        return f"an array of dtype {returned.dtype}"
    return "None" if returned is None else with_article(type(returned).__name__)


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:_NAMES_SHOWN])
    return shown if len(every) <= _NAMES_SHOWN else f"{shown} and {len(every) - _NAMES_SHOWN} more"


def _operations(graph: Graph) -> str:
    return _listed(sorted({node.operation for node in graph.nodes})) or "no operation"
