"""The README's examples run, and its console session is what comes out: every line of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import blocks
from test_docs import comparable, matches

ROOT = Path(__file__).parents[1]
README = blocks("../README.md")
# The example's file is named in the first line of its excerpt.
EXCERPT = next(block for block in README if block.file)
SESSION = next(block for block in README if block.language == "console")
# What the examples speak of, and the README does not define.
SCOPE = """
import numpy as np
import torch
import gradcheck

torch.manual_seed(0)
Attention = lambda width, heads: torch.nn.Linear(5, width)
model, x = torch.nn.Linear(3, 2).double(), torch.randn(4, 3, dtype=torch.float64)
q, k, v = torch.randn(3, 2, 4, dtype=torch.float64).requires_grad_().unbind()
plain_op = my_op = lambda q, k, v, causal: (q * k).sum() * v
params = {"w": np.array([1.0, 2.0])}
loss, gradient = (lambda p: float((p["w"] ** 2).sum())), (lambda p: {"w": 2 * p["w"]})
"""


def printed():
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = SESSION.text.splitlines()[0].removeprefix("$ ").split()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return (done.stdout + done.stderr).splitlines()


def normal(lines):
    """Blank what depends on the machine, also in the columns of the table: digits, evaluations, time."""
    table = re.compile(r"^(\S+ +(?:pass|FAIL) +\d+) .*")
    return [table.sub(r"\1", comparable(line)) for line in lines]


@pytest.fixture(scope="module")
def output():
    return printed()


def test_the_session_is_the_whole_output(output):
    shown = SESSION.text.splitlines()[1:]
    assert not any(line.strip() in ("...", "") or line.endswith("*") for line in shown)
    assert matches(normal(shown), normal(output)), "\n".join(output)


@pytest.mark.parametrize("planted", ["a line less", "another number", "another place"])
def test_a_session_that_is_not_true_is_noticed(output, planted):
    shown = SESSION.text.splitlines()[1:]
    if planted == "a line less":
        del shown[3]
    elif planted == "another number":
        shown = [line.replace("12 of 12", "11 of 12") for line in shown]
    else:
        shown = [line.replace("cube.py:13", "cube.py:14") for line in shown]
    assert not matches(normal(shown), normal(output))


def test_the_excerpt_is_in_its_file():
    name, _, text = EXCERPT.text.partition("\n")
    assert text in (ROOT / name.removeprefix("# ")).read_text(encoding="utf-8")


def test_right_and_wrong_are_shown_within_the_first_screen():
    assert SESSION.line < 30
    assert len(SESSION.text.splitlines()) <= 20


def test_the_python_blocks_run():
    scope = {}
    exec(SCOPE, scope)
    for block in README:
        if block.language == "python" and not block.file:
            exec(compile(block.text, f"README.md:{block.line}", "exec"), scope)
