"""The hand-written backward passes inside a JAX function, each alone at the inputs that it has there.

JAX writes a function down as a list of equations (a jaxpr), in which a ``jax.custom_vjp`` function stays one
equation. The list is walked, the equations are computed one by one, and each hand-written one becomes a
Subject of its own. JAX's own operations are taken for right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex

from gradcheck import mixtures
from gradcheck.options import Options
from gradcheck.pipeline import Outcome, examine_subject
from gradcheck.report.records import Blame
from gradcheck.subjects.jax import BackwardError, JaxSubject

_CUSTOM = "custom_vjp_call"
# Equations whose own equations are looked into, by the parameter that holds them.
_INNER = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "checkpoint": "jaxpr"}
# Seconds for the entries of one leaf of one rule, and output entries asked for one by one at a kink.
_SECONDS = 0.5
_OUTPUTS = 8


@dataclass(frozen=True)
class Rule:
    """One use of a hand-written backward pass: the function, and its arguments there."""

    name: str
    location: str | None
    function: Callable[..., Any]
    values: tuple[Any, ...]


def rules(subject: JaxSubject) -> list[Rule]:
    """Return the hand-written rules met in a run of the subject, in the order of the computation.

    Raises whatever JAX raises where the function cannot be traced (its Python code looks at values).
    """
    with subject.precise():
        leaves = {name: jax.numpy.asarray(value) for name, value in subject.variables.items()}
        closed = jax.make_jaxpr(subject.call)(leaves)
        if not _has_rules(closed.jaxpr):
            return []
        return list(_walk(closed.jaxpr, closed.consts, jax.tree_util.tree_leaves(leaves)))


def _has_rules(jaxpr: Any) -> bool:
    """Whether there is anything to walk to: computing equations one by one takes JAX long to compile."""
    return any(
        equation.primitive.name == _CUSTOM or any(_has_rules(body) for body, _ in _inner(equation))
        for equation in jaxpr.eqns
    )


def _inner(equation: Any) -> list[tuple[Any, Sequence[Any]]]:
    """Return the equations that an equation holds, with their constants, where they are looked into."""
    inner = equation.params.get(_INNER.get(equation.primitive.name, ""))
    if inner is None:
        return []
    return [(inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())]


def _walk(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> Iterator[Rule]:
    known: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        if equation.primitive.name == _CUSTOM:
            yield _rule(equation, values)
        for body, own in _inner(equation):
            yield from _walk(body, own, values)
        known.update(zip(equation.outvars, _alone(equation)(*values), strict=True))


def _alone(equation: Any) -> Callable[..., Any]:
    """Return an equation as a function of all its inputs."""
    names: list[Any] = [atom for atom in equation.invars if not isinstance(atom, jex.Literal)]
    names = list(dict.fromkeys(names))
    debug = jax.make_jaxpr(lambda: ())().jaxpr
    single = debug.replace(
        eqns=[equation], constvars=[], invars=names, outvars=list(equation.outvars), effects=set()
    )
    run = jax.jit(jex.jaxpr_as_fun(jex.ClosedJaxpr(single, [])))
    places = [equation.invars.index(name) for name in names]
    return lambda *values: run(*(values[i] for i in places))


def _rule(equation: Any, values: Sequence[Any]) -> Rule:
    backward = getattr(equation.params.get("bwd"), "f", None)
    code = getattr(backward, "__code__", None)
    called = equation.params.get("call_jaxpr")
    name = getattr(getattr(getattr(called, "jaxpr", None), "debug_info", None), "func_name", "")
    location = f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else None
    # arrays that the function closes over come first: a rule says nothing of them, and JAX refuses to ask
    closed = equation.params.get("num_consts", 0)
    function = partial(_alone(equation), *values[:closed])
    title = str(name or getattr(backward, "__name__", "custom_vjp"))
    return Rule(title, location, function, tuple(values[closed:]))


def blame(found: Sequence[Rule], options: Options) -> tuple[Blame, ...]:
    """Return the rules that are wrong alone, each place once."""
    blames: dict[tuple[str, str | None], Blame] = {}
    for rule in found:
        place = rule.name, rule.location
        message = "" if place in blames else fault(rule, options)
        if message:
            blames[place] = Blame(rule.name, rule.location, message)
    return tuple(blames.values())


def fault(rule: Rule, options: Options) -> str:
    """Return what is wrong with a rule alone at its own inputs, "" where nothing is."""
    wide = any(np.asarray(v).dtype.itemsize >= 8 for v in rule.values if _is_float(v))
    subject = JaxSubject(rule.function, rule.values, name=rule.name, double=wide)
    try:
        outcome = examine(subject.quickened(), options)
    except BackwardError as error:
        return f"its backward pass raises {error}"
    wrong = outcome.failing or (outcome.tied and tied_fault(subject, options))
    if not wrong:
        return ""
    return f"a hand-written backward pass, wrong alone at its own inputs: {describe(outcome, wrong[0])}"


def examine(subject: JaxSubject, options: Options) -> Outcome:
    """Run the pipeline on a subject, with directions and a few entries."""
    return examine_subject(
        subject, options.quick(), dtypes(subject.variables, subject.outputs), locate_seconds=_SECONDS
    )


def tied_fault(subject: JaxSubject, options: Options) -> list[str]:
    """Return the leaves wrong for some single entry of the outputs, of which the first few are tried.

    At kinks the sum over several entries, some with a minus sign, may leave the one-sided derivatives
    although each entry's gradient is a subgradient.
    """
    for number, output in enumerate(subject.outputs):
        for entry in range(min(output.size, _OUTPUTS)):
            single = JaxSubject(
                lambda *args, n=number, e=entry, **kwargs: _entry(subject, args, kwargs, n, e),
                subject.args,
                subject.kwargs,
                name=subject.name,
                double=subject.double,
                values=subject.arrays,
            )
            outcome = examine(single, options)
            wrong = outcome.failing or mixtures.standing(outcome)
            if wrong:
                return wrong
    return []


def _entry(subject: JaxSubject, args: Any, kwargs: Mapping[str, Any], number: int, entry: int) -> Any:
    result = jax.tree_util.tree_leaves(subject.function(*args, **kwargs))
    floats = [leaf for leaf in result if _is_float(leaf)]
    return jax.numpy.reshape(floats[number], (-1,))[entry]


def dtypes(variables: Mapping[str, Any], outputs: Sequence[Any]) -> dict[str, str]:
    """Return the dtype whose tolerance applies to each leaf: its own, or the coarsest output's."""
    from gradcheck import judge

    def looseness(name: str) -> float:
        return judge.tolerance(name).relative

    coarsest = max((str(output.dtype) for output in outputs), key=looseness)
    return {name: max(str(array.dtype), coarsest, key=looseness) for name, array in variables.items()}


def describe(outcome: Outcome, name: str) -> str:
    """Return the numbers of a wrong gradient in words."""
    finding = outcome.findings[name]
    if finding.message:
        return finding.message
    if finding.comparison is None or finding.tied is not None:
        probe = finding.tied or finding.probes[0]
        return f"moved together, claimed {probe.claimed:.6g}, finite differences {probe.estimate.value:.6g}"
    compared = finding.comparison
    return f"claimed {compared.claimed:.6g}, finite differences {compared.expected:.6g}"


def _is_float(leaf: Any) -> bool:
    return bool(jax.numpy.issubdtype(jax.numpy.result_type(leaf), jax.numpy.inexact))
