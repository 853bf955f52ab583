"""Who may import whom, read from the source; and what may be loaded when, asked of fresh processes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A folder or file, and the packages from outside the standard library that it may import. The first row that
# fits a file holds for it.
ALLOWED = (
    ("reference_impl", {"numpy", "reference_impl"}),
    ("cases/strategies.py", {"numpy", "cases", "hypothesis"}),
    ("cases/faults/torch", {"numpy", "cases", "torch"}),
    ("cases/programs", {"numpy", "cases"}),
    ("cases", {"numpy", "cases", "reference_impl"}),
    ("gradcheck/numerical", {"numpy", "gradcheck", "array_api_compat", "torch"}),
    ("gradcheck/diagnose", {"numpy", "gradcheck"}),
    ("gradcheck/blame", {"numpy", "gradcheck", "torch"}),
    ("gradcheck/variations/jax", {"numpy", "gradcheck", "jax"}),
    ("gradcheck/variations", {"numpy", "gradcheck", "torch"}),
    ("gradcheck/subjects/engine.py", {"numpy", "gradcheck", "reference_impl"}),
    ("gradcheck/subjects/jax.py", {"numpy", "gradcheck", "jax"}),
    ("gradcheck/subjects", {"numpy", "gradcheck", "torch"}),
    ("gradcheck/jax_rules.py", {"numpy", "gradcheck", "jax"}),
    ("gradcheck/engines/torch", {"numpy", "gradcheck", "reference_impl", "torch"}),
    ("gradcheck/engines/autograd.py", {"numpy", "gradcheck", "reference_impl", "autograd"}),
    ("gradcheck/engines/jax.py", {"numpy", "gradcheck", "reference_impl", "jax"}),
    ("gradcheck/engines/micrograd.py", {"numpy", "gradcheck", "reference_impl", "micrograd"}),
    ("gradcheck/engines/mygrad.py", {"numpy", "gradcheck", "reference_impl", "mygrad"}),
    ("gradcheck/engines/tinygrad.py", {"numpy", "gradcheck", "reference_impl", "tinygrad"}),
    ("gradcheck/engines", {"numpy", "gradcheck", "reference_impl"}),
    ("gradcheck/suite/workers.py", {"gradcheck", "torch"}),  # to tell it how many threads to use
    ("gradcheck/suite", {"numpy", "gradcheck", "reference_impl", "cases"}),
    ("gradcheck/cli", {"gradcheck", "click", "rich", "cases"}),
    ("gradcheck/report/html", {"numpy", "gradcheck", "jinja2", "matplotlib", "grandalf"}),
    ("gradcheck/report/junit.py", {"gradcheck", "junitparser"}),
    ("gradcheck/report", {"numpy", "gradcheck", "rich"}),
    ("gradcheck/strategies", {"numpy", "gradcheck", "hypothesis", "torch"}),
    ("gradcheck/plugin", {"gradcheck", "pytest"}),
    ("gradcheck/pytest_plugin.py", {"gradcheck", "pytest"}),
    ("gradcheck/progress.py", {"gradcheck", "rich"}),
    ("gradcheck", {"numpy", "gradcheck", "torch"}),
)


def sources():
    return sorted(
        path.relative_to(ROOT).as_posix()
        for package in ("gradcheck", "reference_impl", "cases")
        for path in (ROOT / package).rglob("*.py")
    )


def imported(source):
    """Return the packages, outside the standard library, that a file imports anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} has a relative import"
            modules.add(node.module)
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names


def within(source, place):
    return source == place or source.startswith(place + "/")


def test_every_file_imports_only_what_its_place_may():
    wrong = []
    for source in sources():
        allowed = next(packages for place, packages in ALLOWED if within(source, place))
        wrong += [f"{source} imports {package}" for package in sorted(imported(source) - allowed)]
    assert wrong == []


def test_no_row_of_the_table_is_out_of_date():
    assert [place for place, _ in ALLOWED if not (ROOT / place).exists()] == []


def test_the_layers_below_know_nothing_of_those_above():
    above = ("cli", "suite", "plugin", "targets", "pytest_plugin", "verify_torch", "verification")
    below = ("numerical", "diagnose", "subjects", "engines", "blame", "variations", "judge.py", "pipeline.py")
    wrong = []
    for source in sources():
        if not any(within(source, f"gradcheck/{place}") for place in below):
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        wrong += [
            f"{source} imports gradcheck.{name}"
            for name in above
            for start in (f"from gradcheck.{name}", f"import gradcheck.{name}")
            if any(line.strip().startswith(start) for line in text.splitlines())
        ]
    assert wrong == []


def loaded_after(code, *modules):
    """Return which of the modules a fresh process has loaded after running the code."""
    ask = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {modules!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import gradcheck",
        "import gradcheck.pytest_plugin",
        "import gradcheck\n@gradcheck.target(rtol=1e-5)\ndef f(): ...",
        "from gradcheck import Report, Verdict, UsageError, arguments, target, verify",
    ],
)
def test_what_everybody_imports_loads_nothing_heavy(code):
    heavy = ("torch", "hypothesis", "numpy", "rich", "jinja2", "matplotlib", "cases", "reference_impl")
    assert loaded_after(code, *heavy) == []


def test_the_reference_implementation_and_the_cases_load_none_of_the_checker():
    heavy = ("gradcheck", "torch", "hypothesis", "jax")
    assert loaded_after("import reference_impl, cases, cases.faults, cases.programs", *heavy) == []


_VERIFY = """
import torch
import gradcheck
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
report = gradcheck.verify(model, torch.randn(3, 4))
assert report.ok and report.variations, str(report)
"""


def test_verifying_a_module_loads_neither_compilers_nor_what_only_others_need():
    slow = (
        "torch._dynamo",
        "torch._inductor",
        "hypothesis",
        "cases",
        "reference_impl",
        "jinja2",
        "matplotlib",
    )
    assert loaded_after(_VERIFY, *slow) == []


def test_verifying_a_numpy_gradient_does_not_load_torch():
    code = (
        "import numpy as np, gradcheck\n"
        "assert gradcheck.verify(lambda p: float((p**2).sum()), np.ones(3), gradient=lambda p: 2 * p).ok"
    )
    assert loaded_after(code, "torch", "hypothesis", "cases", "reference_impl") == []
