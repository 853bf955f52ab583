"""A tape in fifty lines, as one writes it after the lecture, and the adapter that has it verified.

gradcheck verify examples/engines/tape.py:engine --cases 2000
"""

import sys

import numpy as np

from gradcheck.engines.adapter import Adapter
from gradcheck.engines.snippets import Language


class Variable:
    """An array, and the steps that lead from its gradient to those of the arrays it came from."""

    def __init__(self, value, steps=()):
        self.value = np.asarray(value)
        self.steps = steps  # pairs: a variable, and its share as a function of this one's gradient
        self.gradient = np.zeros(self.value.shape)

    def backward(self):
        """Follow the steps back from here, each variable once, its readers before it."""
        order, seen = [], set()

        def visit(variable):
            if id(variable) not in seen:
                seen.add(id(variable))
                for source, _ in variable.steps:
                    visit(source)
                order.append(variable)

        visit(self)
        self.gradient = np.ones(self.value.shape)
        for variable in reversed(order):
            for source, share in variable.steps:
                source.gradient = source.gradient + share(variable.gradient)


def unbroadcast(gradient, shape):
    """Sum over the axes along which an array of this shape was repeated."""
    new = gradient.ndim - len(shape)
    axes = tuple(range(new)) + tuple(new + i for i, n in enumerate(shape) if n == 1)
    return gradient.sum(axis=axes).reshape(shape)


def add(a, b):
    steps = [(v, lambda g, v=v: unbroadcast(g, v.value.shape)) for v in (a, b)]
    return Variable(a.value + b.value, steps)


def multiply(a, b):
    return Variable(
        a.value * b.value,
        [
            (a, lambda g: unbroadcast(g * b.value, a.value.shape)),
            (b, lambda g: unbroadcast(g * a.value, b.value.shape)),
        ],
    )


def tanh(a):
    y = np.tanh(a.value)
    return Variable(y, [(a, lambda g: g * (1 - y * y))])


def relu(a):
    return Variable(np.maximum(a.value, 0), [(a, lambda g: g * (a.value > 0))])


def total(a, axis=None, keepdims=False):
    y = a.value.sum(axis=axis, keepdims=True)
    shape = y.shape if keepdims else a.value.sum(axis=axis).shape
    return Variable(y.reshape(shape), [(a, lambda g: np.broadcast_to(g.reshape(y.shape), a.value.shape))])


class Tape(Adapter):
    """What gradcheck needs to know: the table, and how leaves are made and gradients read."""

    name = "tape"
    operations = {"add": add, "multiply": multiply, "relu": relu, "sum": total, "tanh": tanh}  # noqa: RUF012 - read only
    # how a user of the tape writes, for programs that show a mistake without gradcheck
    language = Language(
        preamble="import numpy as np\nimport tape",
        leaf="{name} = tape.Variable({array})",
        backward="{output}.backward()",
        gradient="{name}.gradient",
        modules={"tape": sys.modules[__name__]},
    )

    def differentiate(self, function, leaves):
        """Run a graph forward and backward."""
        variables = {name: Variable(array) for name, array in leaves.items()}
        output = function(variables)
        output.backward()
        return output.value, {name: variable.gradient for name, variable in variables.items()}


engine = Tape()
