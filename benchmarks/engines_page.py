"""From the surveys' JSON files to ``docs/engines.md``; only what its printed program shows again gets in.

    python -m benchmarks.engines_survey --render docs/engines.md benchmarks/results/engines/*.json

A person has looked at every finding and said in ``engines_notes`` what it is: rendering refuses one that has
no note.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines_notes import DISMISSED, EXTRA, NOTES, Note

RAISES, PRECISION = "raises", "precision loss"
TITLES = {
    "autograd": "HIPS autograd",
    "jax": "JAX",
    "micrograd": "micrograd",
    "mygrad": "mygrad",
    "tinygrad": "tinygrad",
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)")
_LONGEST = 60
# A tinygrad tensor without axes gets no gradient (a finding of its own); this one has storage.
_SCALAR = re.compile(r"Tensor\(np\.array\(([-+.\de]+)\)\)")
# tinygrad needs no compiler on the device PYTHON.
_ENVIRONMENT = {"DEV": "PYTHON", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}


class NotReproducedError(Exception):
    """A program does not print what was claimed for it."""


@dataclass(frozen=True)
class Shown:
    """A finding with the program that shows it, and what that printed in a process of its own."""

    finding: Mapping[str, Any]
    note: Note
    program: str
    printed: str


def load(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Return one record for each library; shares of one library are added up.

    Raises:
        ValueError: where shares are of different versions, or hold the same case.
    """
    merged: dict[str, dict[str, Any]] = {}
    for file in sorted(files):
        for record in json.loads(file.read_text(encoding="utf-8")):
            known = merged.setdefault(record["library"], _empty(record))
            if known["version"] != record["version"]:
                raise ValueError(f"{file} is of {record['library']} {record['version']}, others are not")
            again = known["cases"] & (cases := _cases(record))
            if again:
                raise ValueError(f"{file} has cases that another share has, too: {sorted(again)[0]}")
            known["cases"] |= cases
            known["counts"].update(record["counts"])
            known["verified"] += record["verified"]
            for table in ("families", "operations"):
                _add_rows(known[table], record[table])
            _add_findings(known["findings"], record["findings"])
    for library, finding in EXTRA:
        if library in merged:
            _add_findings(merged[library]["findings"], [finding])
    return [merged[library] for library in sorted(merged)]


def _empty(record: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {"counts": Counter(), "verified": 0, "families": {}, "operations": {}, "findings": {}}
    return {"library": record["library"], "version": record["version"], "cases": set(), **numbers}


def _cases(record: Mapping[str, Any]) -> set[tuple[str, int]]:
    """Return the generated cases of a share by family and seed; each family's seeds are consecutive."""
    return {(row["family"], record["seed"] + k) for row in record["families"] for k in range(row["cases"])}


def _add_rows(known: dict[str, Counter[str]], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        name = str(next(iter(row.values())))
        known.setdefault(name, Counter()).update({k: v for k, v in row.items() if isinstance(v, int)})


def _add_findings(known: dict[tuple[str, str], dict[str, Any]], more: Iterable[Mapping[str, Any]]) -> None:
    for finding in more:
        key = finding["operation"], finding["kind"]
        first = known.setdefault(key, {**finding, "count": 0, "where": []})
        first["count"] += finding["count"]
        first["where"] = list(dict.fromkeys([*first["where"], *finding["where"]]))


def unnoted(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the findings that nobody has said anything about."""
    found = [(r["library"], *key) for r in records for key in r["findings"]]
    return [key for key in found if key not in NOTES and key not in DISMISSED]


def program(finding: Mapping[str, Any]) -> str:
    """Return the program that shows a finding, without imports that it does not use."""
    text = _SCALAR.sub(r"Tensor(np.array([\1])).reshape(())", finding["snippet"])
    if finding["kind"] == PRECISION:
        text = text.replace(
            "import numpy as np\n", "import numpy as np\n\nnp.set_printoptions(floatmode='unique')\n"
        )
    output = re.search(r"^(\w+)\.sum\(\)\.backward\(\)$", text, re.M)
    if not finding["leaf"] and finding["kind"] != RAISES and output:
        text += f"\nprint('value', {output[1]}{'.numpy()' if 'tinygrad' in text else ''})"
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines = [line for line in text.splitlines() if not _idle(line, used)]
    return "\n".join(lines).strip()


def _idle(line: str, used: set[str]) -> bool:
    if not line.startswith(("import ", "from ")):
        return False
    (statement,) = ast.parse(line).body
    assert isinstance(statement, ast.Import | ast.ImportFrom)
    bound = {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return not bound & used


def reproduce(finding: Mapping[str, Any]) -> tuple[str, str]:
    """Run a finding's program in a process of its own; return it, and what it printed.

    Raises:
        NotReproducedError: where it does not print the claimed value, or does not raise what was claimed.
    """
    text = program(finding)
    done = run(text)
    if finding["kind"] == RAISES:
        name = re.search(r"raised (\w+)", finding["claimed"])
        last = (done.stderr.strip().splitlines() or [""])[-1]
        if done.returncode == 0 or name is None or not last.split(":")[0].endswith(name[1]):
            raise NotReproducedError(f"it does not raise what was claimed, but: {last or 'nothing'}")
        return text, last
    if done.returncode:
        raise NotReproducedError(done.stderr.strip().splitlines()[-1])
    name = _python_name(finding["leaf"]) or "value"
    lines = re.search(rf"^{name} (.*?)(?=^\w+ |\Z)", done.stdout, re.M | re.S)
    exact = 1e-15 if finding["kind"] == PRECISION else 1e-6
    if lines is None or not same(lines[1], finding["claimed"], exact):
        raise NotReproducedError(f"it prints {done.stdout.strip()!r}, claimed was {finding['claimed']}")
    return text, f"{name} {lines[1]}".strip()


def run(text: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def same(printed: str, claimed: str, relative: float) -> bool:
    """Whether two texts hold the same numbers."""
    a, b = ([float(number) for number in _NUMBER.findall(text)] for text in (printed, claimed))
    if not b:
        return printed.strip() == claimed
    return len(a) == len(b) and np.allclose(a, b, rtol=relative, atol=0, equal_nan=True)


def _python_name(leaf: str) -> str:
    plain = "".join(c if c.isalnum() else "_" for c in leaf)
    return plain if plain.isidentifier() or not plain else f"v_{plain}"


def write(path: Path, files: Iterable[Path]) -> None:
    """Write the page, its programs formatted like all others of the documentation."""
    path.write_text(render(files), encoding="utf-8")
    subprocess.run(["ruff", "format", "--quiet", str(path)], check=True)


def render(files: Iterable[Path]) -> str:
    """Return the page.

    Raises:
        ValueError: where a finding has no note.
    """
    records = load(files)
    missing = unnoted(records)
    if missing:
        raise ValueError(
            f"Nobody has said what these are; add them to benchmarks/engines_notes.py: {missing}"
        )
    return _HEAD + summary(records) + "".join(map(_library, records))


_HEAD = """# Released libraries, surveyed

Five automatic-differentiation libraries, each run through its adapter over generated graphs, and over one
operation at a time at special values: zeros, ties, whole numbers, repeated indices, axes of length 1, empty
arrays, magnitudes from 1e-100 to 1e100. Everything was computed in float64. The truth is the reference
backpropagation in extended precision; where that and a library differ, finite differences have the last word,
one output at a time.

What is listed here was shrunk to the smallest values that show it and looked at one by one, and is printed by
the program beside it, run in a process of its own. A finding is one of these:

- **wrong gradient**: no subgradient, and outside what rounding explains. "NaN" says that it is not a number.
- **convention at a kink**: the function has no derivative there, and the library's choice lies between the
  one-sided ones, or is one of several subgradients. Nothing is wrong; two libraries may differ.
- **precision loss**: right, but with fewer digits than rounding the inputs would cost.
- **raises**: where the function has a value and a gradient, the library raises.

The files behind this page are in `benchmarks/results/engines`. It is made by:

```bash
python -m benchmarks.engines_survey --render docs/engines.md benchmarks/results/engines/*.json
```

To have a library of your own looked at in this way, see [the tutorial for engines](tutorial-engines.md).

"""


def summary(records: Iterable[Mapping[str, Any]]) -> str:
    head = (
        "| library | version | generated | agreed | differed | raised | unsupported | special values |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for record in records:
        total: Counter[str] = sum(record["families"].values(), Counter())
        rows.append(
            f"| {TITLES[record['library']]} | {record['version']} | {total['cases']} | {total['passed']} "
            f"| {total['failed'] + total['inconclusive']} | {total['errors']} | {total['skipped']} "
            f"| {record['counts']['special values']} |\n"
        )
    return (
        head
        + "".join(rows)
        + "\nOf a generated case the part is run that the library has the operations for; *unsupported* are\n"
        "those of which nothing is left. *Differed* counts cases in which something else came out than the\n"
        "reference says, conventions at ties and kinks included. What that was, the sections below say.\n"
        "\nJAX and tinygrad compile every graph anew, which takes most of the time: hence fewer cases, and\n"
        "of tinygrad most of the kind that compiles soonest, kinks. In their later shares (JAX from seed\n"
        "3000 on, tinygrad from 2000 on) they were kept from optimising what is run once: JAX compiled\n"
        "each graph as a whole without XLA's optimisations (`gradcheck.engines.jax:compiled_engine`);\n"
        "tinygrad, on its device PYTHON throughout, had `NOOPT=1 SPEC=0`. The backward pass is put\n"
        "together in the same way with and without. The programs below run without.\n"
    )


def _library(record: Mapping[str, Any]) -> str:
    library = record["library"]
    shown, lost = [], []
    for (operation, kind), finding in sorted(record["findings"].items()):
        if (library, operation, kind) in NOTES:
            try:
                shown.append(Shown(finding, NOTES[library, operation, kind], *reproduce(finding)))
            except NotReproducedError as error:
                lost.append(f"{operation}, {kind}: {error}")
    for text in lost:
        print(f"{library}: left out, as its program does not show it: {text}", file=sys.stderr)
    parts = [f"\n## {TITLES[library]} {record['version']}\n\n", _families(record)]
    parts += [_table(shown)] if shown else ["Nothing was found.\n"]
    parts += [_shown(each) for each in shown]
    reasons = sorted({why for (name, *_), why in DISMISSED.items() if name == library})
    if reasons:
        parts.append("\n### Looked at, and not the library's\n\n" + "".join(f"- {why}\n" for why in reasons))
    return "".join(parts)


def _families(record: Mapping[str, Any]) -> str:
    cases = ", ".join(f"{row['cases']} {family}" for family, row in sorted(record["families"].items()))
    numbers = record["operations"].values()
    return (
        f"Generated cases: {cases}. Operations: {sum(row['run'] > 0 for row in numbers)} run, "
        f"{sum(row['run'] == 0 and row['unsupported'] > 0 for row in numbers)} that the library or its "
        "adapter lacks.\n\n"
    )


def _table(shown: Iterable[Shown]) -> str:
    rows = [
        f"| {each.note.title} | {each.note.kind} | {_short(each.finding['claimed'], each)} "
        f"| {_short(each.finding['true'], each)} | {each.finding['count']} |\n"
        for each in shown
    ]
    head = "| expression | what it is | claimed | true | times |\n|---|---|---|---|---|\n"
    return head + "".join(rows)


def _short(text: str, each: Shown) -> str:
    if each.finding["kind"] == RAISES:
        return f"`{each.printed.split(':')[0]}`" if text else ""
    rounded = text if each.finding["kind"] == PRECISION else _NUMBER.sub(lambda m: f"{float(m[0]):.4g}", text)
    return f"`{rounded}`" if len(rounded) <= _LONGEST else f"`{rounded[:_LONGEST]}...`"


def _shown(each: Shown) -> str:
    return (
        f"\n### {each.note.title}\n\n{each.note.kind[0].upper()}{each.note.kind[1:]}. {each.note.text}\n\n"
        f"```python\n{each.program}\n```\n\n```text\n{each.printed}\n```\n"
    )
