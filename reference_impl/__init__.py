"""Backpropagation in NumPy, as in the lecture: over an MLP layer by layer, and over any graph."""

from reference_impl import mlp
from reference_impl.backprop import (
    ForwardPass,
    backward,
    evaluate_all,
    forward,
    value,
    value_and_gradients,
)
from reference_impl.descent import Descent, descend, descend_mlp
from reference_impl.errors import (
    Cycle,
    DuplicateName,
    GraphError,
    MissingName,
    ShapeMismatch,
    UnknownOperation,
    UnusedValue,
    ValuesError,
    WrongArity,
    WrongAttribute,
)
from reference_impl.graph import Graph, Node
from reference_impl.jacobian import jacobian
from reference_impl.mlp import MLP
from reference_impl.rules import RULES, Like, Rule
from reference_impl.shapes import infer_shape

__all__ = [
    "MLP",
    "RULES",
    "Cycle",
    "Descent",
    "DuplicateName",
    "ForwardPass",
    "Graph",
    "GraphError",
    "Like",
    "MissingName",
    "Node",
    "Rule",
    "ShapeMismatch",
    "UnknownOperation",
    "UnusedValue",
    "ValuesError",
    "WrongArity",
    "WrongAttribute",
    "backward",
    "descend",
    "descend_mlp",
    "evaluate_all",
    "forward",
    "infer_shape",
    "jacobian",
    "mlp",
    "value",
    "value_and_gradients",
]
