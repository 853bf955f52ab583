"""Reports made by hand, for tests of what is made from reports."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

from gradcheck.report.records import (
    Blame,
    Call,
    Comparison,
    Cost,
    Coverage,
    Diagnosis,
    Evidence,
    ParameterResult,
    Report,
    Step,
    VariationResult,
    Verdict,
    Wrong,
)


def comparison(verdict: Verdict = Verdict.PASS, **changes: Any) -> Comparison:
    error = {Verdict.PASS: 3e-12, Verdict.FAIL: 0.12778, Verdict.INCONCLUSIVE: 4e-7}[verdict]
    made = Comparison(
        witness="finite differences",
        claimed=-0.1319 + error,
        expected=-0.1319,
        index=(17, 203),
        abs_error=error,
        rel_error=error / 0.1319,
        uncertainty=6e-7 if verdict is Verdict.INCONCLUSIVE else 3e-12,
        tolerance=1e-7,
        mismatched=50176 if verdict is Verdict.FAIL else 0,
        compared=50176,
        verdict=verdict,
    )
    return dataclasses.replace(made, **changes)


def steps() -> tuple[Step, ...]:
    sizes = [10.0**-k for k in range(1, 9)]
    bounds = [h**4 + 1e-16 / h for h in sizes]
    best = min(bounds)
    return tuple(Step(h, -0.1319 + 0.3 * b, b, chosen=b == best) for h, b in zip(sizes, bounds, strict=True))


def evidence(rows: int = 16, columns: int = 49, points: int = 200, seed: int = 3) -> Evidence:
    draw = random.Random(seed)
    heat = tuple(tuple(abs(draw.gauss(0, 0.1)) for _ in range(columns)) for _ in range(rows))
    truth = [draw.gauss(0, 0.1) for _ in range(points)]
    return Evidence(tuple((t / 32, t) for t in truth), heat, (4, 16), steps())


def failing(name: str = "fc1.weight", **changes: Any) -> ParameterResult:
    made = ParameterResult(
        name=name,
        verdict=Verdict.FAIL,
        shape=(64, 784),
        dtype="float64",
        comparisons={
            "finite differences": comparison(Verdict.FAIL),
            "autograd": comparison(Verdict.FAIL, witness="autograd", uncertainty=0.0),
        },
        diagnoses=(
            Diagnosis(
                "scale",
                "claimed is 1/32 of the true gradient: 32 is the batch size.",
                0.99999,
                {"factor": 0.03125},
            ),
        ),
        coverage=Coverage(directions=6, entries=50176, total=50176, detectable=1e-10),
        wrong=Wrong(50176, 50176, True, "every entry", ((0, 0), (0, 1)), (0.1, 0.2), (3.2, 6.4)),
        digits=0.0,
        message="Wrong in 50,176 of 50,176 entries.",
        evidence=evidence(),
    )
    return dataclasses.replace(made, **changes)


def passing(name: str = "fc1.bias", **changes: Any) -> ParameterResult:
    made = ParameterResult(
        name=name,
        verdict=Verdict.PASS,
        shape=(64,),
        dtype="float64",
        comparisons={"finite differences": comparison(index=None, compared=4)},
        coverage=Coverage(directions=4, entries=0, total=64, detectable=2e-9, shared=3),
        digits=11.4,
    )
    return dataclasses.replace(made, **changes)


def inconclusive(name: str = "fc2.weight", **changes: Any) -> ParameterResult:
    made = ParameterResult(
        name=name,
        verdict=Verdict.INCONCLUSIVE,
        shape=(10, 64),
        dtype="float32",
        comparisons={"finite differences": comparison(Verdict.INCONCLUSIVE)},
        digits=5.1,
        message="The error bar is wider than the tolerance; a float64 copy would settle it.",
        evidence=Evidence(steps=steps()),
    )
    return dataclasses.replace(made, **changes)


def waived(name: str = "embedding.weight") -> ParameterResult:
    return passing(name, waived="padding_idx: the row of the padding token gets no gradient", digits=None)


def trace(layers: int = 3, guilty: int = 0) -> tuple[Call, ...]:
    calls = []
    before = "inputs[0]"
    for i in range(layers):
        verdict = Verdict.FAIL if i == guilty else Verdict.PASS
        calls.append(
            Call(f"{i}a", "MyLinear.apply", f"model.py:{40 + i}", (before, f"fc{i}.weight"), verdict)
        )
        calls.append(Call(f"{i}b", "torch.relu", f"model.py:{80 + i}", (f"{i}a",), Verdict.PASS))
        calls.append(Call(f"{i}c", "torch.add", None, (f"{i}b", before), None))
        before = f"{i}c"
    return tuple(calls)


def report(*results: ParameterResult, name: str = "model.py::mlp", **changes: Any) -> Report:
    verdicts = [result.verdict for result in results]
    verdict = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in verdicts), Verdict.PASS)
    made = Report(name, verdict, {result.name: result for result in results}, cost=Cost(412, 7, 0.83), seed=3)
    return dataclasses.replace(made, **changes)


def failing_report(**changes: Any) -> Report:
    details: dict[str, Any] = {
        "variations": (
            VariationResult("transposed inputs", Verdict.FAIL, "wrong for non-contiguous x", ("fc1.weight",)),
            VariationResult("each output alone", Verdict.PASS),
            VariationResult("other sizes", None, "the forward pass accepts no other size"),
        ),
        "blames": (
            Blame(
                "MyLinear.apply",
                "model.py:40",
                "Its vjp is wrong at its own inputs; everything after it is right.",
                "return MyLinear.apply(x, self.weight)",
            ),
        ),
        "reproduce": "gradcheck verify model.py:mlp --seed 3",
        "trace": trace(),
        "options": {"rtol": 1e-7},
    }
    return report(failing(), passing(), inconclusive(), waived(), **(details | changes))


def large_report(parameters: int, *, wrong: bool) -> Report:
    make = failing if wrong else passing
    return report(*(make(f"encoder.layers.{i}.attention.weight") for i in range(parameters)), name="large")


HOSTILE = (
    "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">\n${7*7}{{7*7}}"
)


def hostile_report() -> Report:
    """Return a report whose every text tries to be markup."""
    wrong = failing(
        HOSTILE,
        message=HOSTILE,
        notes=(HOSTILE,),
        dtype=HOSTILE,
        waived=HOSTILE,
        diagnoses=(Diagnosis(HOSTILE, HOSTILE, 0.5, {HOSTILE: HOSTILE}),),
        comparisons={
            HOSTILE: comparison(Verdict.FAIL, claimed=math.nan, abs_error=math.nan, rel_error=math.inf)
        },
        wrong=Wrong(1, 1, False, HOSTILE, ((0,),), (complex(1, -2),), (math.inf,)),
    )
    return report(
        wrong,
        name=HOSTILE,
        message=HOSTILE,
        notes=(HOSTILE,),
        blames=(Blame(HOSTILE, f"{HOSTILE}.py:3", HOSTILE, HOSTILE),),
        variations=(VariationResult(HOSTILE, None, HOSTILE, (HOSTILE,)),),
        reproduce=HOSTILE,
        trace=(Call(HOSTILE, HOSTILE, HOSTILE, (HOSTILE, "x"), Verdict.FAIL),),
        options={HOSTILE: HOSTILE},
    )
