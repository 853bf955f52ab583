"""The mistake inside a guilty operation: its vjp examined entry by entry at its own inputs.

What a wrong backward pass does to the parameters before it is mixed by every layer in between; at the
operation itself it can be read. Arguments that are leaves are left out: what is said of them elsewhere is
the same, unless it is about the cotangent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradcheck import explanation
from gradcheck.blame import patches
from gradcheck.blame.alone import Alone
from gradcheck.blame.bench import Bench
from gradcheck.blame.calls import TracedCall
from gradcheck.blame.chance import Chance
from gradcheck.blame.functions import named_arguments
from gradcheck.blame.problem import of_call, tensor_names
from gradcheck.blame.trace import Invocation, Key, Passive, unique_tensors
from gradcheck.diagnose import Facts
from gradcheck.diagnose.words import listing
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Diagnosis
from gradcheck.subjects.torch.layout import is_number, label, wide
from gradcheck.torch_facts import of_cotangents, second_call, shares

# Seconds spent on the entries of one argument; entries of results and constants that a diagnosis looks at.
_SECONDS, _LARGEST = 0.5, 100_000
_UNEXPLAINED = "unexplained"


class Inspector(Passive):
    """Looks into the given calls as they come by; each gets its ``diagnoses``."""

    def __init__(self, calls: Mapping[Key, TracedCall], chance: Chance) -> None:
        self._calls, self._chance = calls, chance
        self.evaluations = self.backwards = 0

    def visit(self, invocation: Invocation) -> Any:
        """Look into the call, then make it."""
        call = self._calls.get(invocation.key)
        if call is not None and _passes_on(invocation, call):
            with patches.undisturbed():
                call.diagnoses = self._look_into(invocation, call)
        return invocation.run()

    def _look_into(self, invocation: Invocation, call: TracedCall) -> tuple[Diagnosis, ...]:
        for double in (True, False):
            problem = of_call(invocation, call, double)
            bench = Bench(problem, self._chance, call.cotangents)
            try:
                alone = Alone(call.operation, problem, bench)
                return _diagnoses(invocation, call, alone)
            except Exception:  # a user's operation may raise anything, or run in its own precision only
                continue
            finally:
                self.evaluations += bench.evaluations
                self.backwards += bench.backwards
        return ()


def _passes_on(invocation: Invocation, call: TracedCall) -> bool:
    """Whether a gradient that may be wrong goes to anything but leaves."""
    arguments = unique_tensors((invocation.args, invocation.kwargs))
    names = tensor_names(invocation, call.parameters)
    inner = {names[id(arguments[i])] for i in call.variables if not arguments[i].is_leaf}
    wrong = set(call.verification.arguments) if call.verification is not None else set()
    return bool(inner & wrong if wrong else inner)


def _diagnoses(invocation: Invocation, call: TracedCall, alone: Alone) -> tuple[Diagnosis, ...]:
    """Return the best explanation of each wrong argument that is no leaf, where there is any."""
    dtypes = {name: label(point.dtype) for name, point in alone.variables.items()}
    outcome = examine_subject(alone, Options(variations=False), dtypes, _SECONDS)
    if not outcome.failing:
        return ()
    found = explanation.explain(outcome, _facts(invocation, call, alone, outcome))
    names = tensor_names(invocation, call.parameters)
    leaves = {names[id(t)] for t in unique_tensors((invocation.args, invocation.kwargs)) if t.is_leaf}
    common = _of_the_cotangent({name: found.of(name) for name in outcome.failing})
    if common is not None:
        return (common,)
    firsts = [found.of(name)[:1] for name in outcome.failing if name not in leaves]
    return tuple(d for first in firsts for d in first if d.kind != _UNEXPLAINED)


def _of_the_cotangent(found: Mapping[str, Sequence[Diagnosis]]) -> Diagnosis | None:
    """Return what the operation mistakes its cotangent for, where this explains every wrong argument.

    Behind other operations a leaf does not show it: there, another cotangent arrives than that of the output.
    """
    firsts = [listed[0] for listed in found.values() if listed]
    words = {first.details.get("cotangent") for first in firsts}
    if len(firsts) < len(found) or len(words) > 1 or None in words:
        return None
    gradients = f"{firsts[0].message}" if len(firsts) == 1 else _of_all(list(found), words.pop())
    return Diagnosis(firsts[0].kind, gradients, 1.0, {**firsts[0].details, "arguments": list(found)})


def _of_all(names: Sequence[str], words: str | None) -> str:
    return f"the gradients of {listing(names)} are right for another cotangent: the cotangent {words}."


def _facts(invocation: Invocation, call: TracedCall, alone: Alone, outcome: Outcome) -> Facts:
    arguments = unique_tensors((invocation.args, invocation.kwargs))
    names = tensor_names(invocation, call.parameters)
    tensors = {names[id(t)]: t for t in arguments if names[id(t)] not in alone.variables}
    several = len(alone.results) > 1
    for i, (result, u) in enumerate(zip(alone.results, outcome.pulls[0].cotangents, strict=True)):
        number = f" {i}" if several else ""
        tensors[f"the result{number}"], tensors[f"the cotangent{number}"] = result, u
    arrays = {
        name: t.detach().to(wide(t.dtype) if is_number(t) else t.dtype).numpy(force=True)
        for name, t in tensors.items()
        if t.numel() <= _LARGEST and not t.dtype.is_complex
    }
    shapes = {name: tuple(t.shape) for name, t in {**alone.variables, **tensors}.items()}
    numbers = explanation.numbers_of(shapes)
    numbers |= explanation.numbers_among(named_arguments(invocation, call.parameters))
    numbers |= shares(arrays)
    outputs = [f"the result{f' {i}' if several else ''}" for i in range(len(alone.results))]
    return Facts(
        numbers=numbers,
        arrays=arrays,
        second_call=second_call(outcome),
        listed=False,
        **of_cotangents(outcome, outputs),
    )
