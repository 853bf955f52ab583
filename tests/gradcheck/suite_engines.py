"""Engines that are wrong in known ways, importable by worker processes."""

from __future__ import annotations

from dataclasses import replace

from gradcheck.engines.reference import ReferenceEngine
from reference_impl import RULES, Graph, Node, value_and_gradients


def with_vjp(operation, change, name="planted"):
    """Return the reference engine with the cotangents of one operation passed through ``change``."""
    rule = RULES[operation]

    def vjp(cotangent, output, inputs, **attributes):
        return change(rule.vjp(cotangent, output, inputs, **attributes))

    return ReferenceEngine({**RULES, operation: replace(rule, vjp=vjp)}, name)


class Forgetful:
    """Every vjp is right, but of a leaf that is read twice only the first path is followed."""

    name = "forgetful"

    def supports(self, operation):
        return operation in RULES

    def value_and_gradients(self, graph, values):
        seen, copies, nodes = set(), {}, []
        for node in graph.nodes:
            inputs = []
            for name in node.inputs:
                again = name in seen and name in graph.leaves
                copy = f"{name} again {len(copies)}" if again else name
                if again:
                    copies[copy] = name
                seen.add(name)
                inputs.append(copy)
            nodes.append(Node(node.name, node.operation, tuple(inputs), node.attributes))
        leaves = {**graph.leaves, **{copy: graph.leaves[name] for copy, name in copies.items()}}
        changed = Graph(leaves, {}, nodes, graph.output, graph.allow_unused)
        given = {**values, **{copy: values[name] for copy, name in copies.items()}}
        value, gradients = value_and_gradients(changed, given)
        return value, {name: gradients[name] for name in graph.leaves}


class Raising(ReferenceEngine):
    """Has every operation, and raises where there is a certain one."""

    def __init__(self, operation="tanh", error=RuntimeError):
        super().__init__(name="raising")
        self.operation, self.error = operation, error

    def __reduce__(self):
        return Raising, (self.operation, self.error)

    def value_and_gradients(self, graph, values, cotangent=None):
        if any(node.operation == self.operation for node in graph.nodes):
            raise self.error("not today")
        return super().value_and_gradients(graph, values, cotangent)


class Only(ReferenceEngine):
    """Has some operations only."""

    def __init__(self, *operations):
        super().__init__(name="only")
        self.operations = operations

    def supports(self, operation):
        return operation in self.operations
