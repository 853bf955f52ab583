"""What docs/diagnoses.md and docs/tutorial-numpy.md show is what comes out."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradcheck.diagnose import KINDS

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.S)
_CONSOLE = re.compile(r"```console\n\$ gradcheck (.*?)\n(.*?)```", re.S)
# What depends on the machine: times, error bars and what they decide, rounding errors, random draws.
_VARIES = re.compile(
    r"[\d,.]+ m?s\b|\d[\d.]*e-\d+|\d+ forward|(?<=by up to )[\d.]+|[\d.]+ digits| {2,}|\d\.\d{3,}|<cell \d+>"
)


def comparable(text):
    return _VARIES.sub("~", text)


def cell(code):
    """Let the source of a block be found, as that of a notebook's cell is, and return its name."""
    name = f"<cell {len(linecache.cache)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    return name


def read(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["diagnoses.md", "tutorial-numpy.md"])
def test_every_block_runs_and_prints_what_it_says(name):
    scope = {"__name__": "docs"}
    blocks = _BLOCK.findall(read(name))
    assert blocks
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, cell(code), "exec"), scope)
        assert comparable(printed.getvalue()) == comparable(shown), code


def test_every_kind_has_a_section_with_an_example_of_it():
    sections = re.split(r"^## ", read("diagnoses.md"), flags=re.M)
    by_title = {section.partition("\n")[0]: section for section in sections}
    for kind in KINDS:
        assert f", {kind}: " in by_title[kind], kind


def test_the_commands_of_the_tutorial_print_what_it_says():
    sessions = _CONSOLE.findall(read("tutorial-numpy.md"))
    assert sessions
    for arguments, shown in sessions:
        command = [sys.executable, "-m", "gradcheck", *arguments.split()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        summary = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
        expected = [line for line in shown.splitlines() if not line.startswith("  ")]
        assert [comparable(line) for line in summary] == [comparable(line) for line in expected]


def test_the_wrong_homework_is_found_wrong():
    command = [sys.executable, "-m", "gradcheck", "verify", "examples/homework_wrong.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "32 is the length of x and labels" in done.stdout
    assert "The term 0.1 × W2 (0.1 is strength) is missing" in done.stdout
