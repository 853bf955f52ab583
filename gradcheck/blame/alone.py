"""One operation as a Subject of its own, so that the whole pipeline can look at it entry by entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from gradcheck.blame.arrangement import copy
from gradcheck.blame.bench import Bench
from gradcheck.blame.problem import Problem


class Alone:
    """The arguments are the leaves, by the names that the operation gives them.

    ``bench`` was made for ``problem``; it counts what runs here.
    """

    fixed_cotangent = is_linear = False

    def __init__(self, name: str, problem: Problem, bench: Bench) -> None:
        self.name, self._problem, self._bench = name, problem, bench
        self.variables: Mapping[str, torch.Tensor] = dict(zip(problem.names, problem.points, strict=True))
        first = bench.pull()
        self._count, self._chosen = len(first.results), first.chosen
        self.results = [first.results[i] for i in self._chosen]
        self.epsilon = self.precision = bench.epsilon(first)

    def evaluate(self, values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return the differentiable results with the named arguments replaced."""
        points = [copy(values.get(name, point)) for name, point in self.variables.items()]
        self._bench.evaluations += 1
        with torch.no_grad():
            results = self._problem.function(points)
        return [results[i].detach() for i in self._chosen]

    def pull_back(self, cotangents: Sequence[torch.Tensor | None] | None) -> dict[str, torch.Tensor | None]:
        """Return the operation's own gradient of each argument."""
        given: list[torch.Tensor | None] = [None] * self._count
        for i, cotangent in zip(self._chosen, cotangents or (), strict=True):
            given[i] = cotangent
        return dict(zip(self._problem.names, self._bench.pull(cotangents=given).gradients, strict=True))
