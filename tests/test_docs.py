"""Every code block and console session of the documentation is run, and prints what the page says.

A block whose first line names a file is written there, in a folder of the page's own. Other Python blocks of
a page run one after the other, and a text block after one is its output. A console session is a command and
its output, in which "..." stands for any lines and "*" for any end of a line. Shell blocks must succeed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS, blocks

# Run by test_diagnose_docs.py, which also compares them with the table of diagnoses, and by
# test_docs_engines.py: programs of other libraries, each in a process of its own.
ELSEWHERE = {"diagnoses.md", "tutorial-numpy.md", "engines.md"}
EXTRAS = {"tutorial-jax.md": "jax"}  # pages that an optional library is needed for
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE)
INSTALL = next(block.text for block in blocks("../README.md") if "pip install" in block.text)
LANGUAGES = {"python", "console", "bash", "text", "toml", "yaml", "json"}
# What depends on the machine: times, error bars, rounding errors, counts that these decide.
_VARIES = re.compile(
    r"[\d,.]+ ?(?:ms|s|min)\b|\d[\d.]*e-\d+|\d+ (?:forward|backward|evaluation)|[\d.]+ digits|(?<==)=+"
    r"|(?<=\bpass )\d+\.\d\b"  # the digits of what agrees, in a table
)


def comparable(line):
    return _VARIES.sub("~", " ".join(line.split()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_true(page, folder):
    if page in EXTRAS:
        pytest.importorskip(EXTRAS[page])
    scope = {"__name__": "docs"}
    printed = ""
    for block in blocks(page):
        place = f"docs/{page}:{block.line}"
        assert block.language in LANGUAGES, place
        if block.file:
            write(folder / block.file, block.text)
        elif block.language == "python":
            printed = run_python(block.text, place, scope)
        elif block.language == "text":
            assert_same(block.text.splitlines(), printed.splitlines(), place)
        elif block.language == "console":
            run_session(block.text, place)
        elif block.language == "bash" and "pip install" in block.text:
            assert block.text == INSTALL, f"{place} installs otherwise than the README"
        elif block.language == "bash":
            run_shell(block.text, place)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run_python(code, place, scope):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, place, "exec"), scope)
    return printed.getvalue()


def run_shell(script, place):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{place}\n{done.stdout}{done.stderr}"


def run_session(session, place):
    """Run each command of a session, and compare what it prints up to the next."""
    for part in re.split(r"^\$ ", session, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        assert_same(shown.splitlines(), (done.stdout + done.stderr).splitlines(), f"{place}: {command}")


def assert_same(expected, printed, place):
    assert matches([comparable(line) for line in expected], [comparable(line) for line in printed]), (
        f"{place} shows\n" + "\n".join(expected) + "\nbut what comes out is\n" + "\n".join(printed)
    )


def matches(expected, printed):
    """Compare lines; "..." stands for any number of them, a "*" at the end for any end."""
    if not expected:
        return not any(printed)
    if expected[0] == "...":
        return any(matches(expected[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and same(expected[0], printed[0]) and matches(expected[1:], printed[1:])


def same(expected, line):
    return line.startswith(expected[:-1]) if expected.endswith("*") else line == expected


def test_lines_are_compared_strictly():
    assert matches(["a", "...", "c*"], ["a", "b", "b", "cd"])
    assert not matches(["a", "c"], ["a", "b", "c"])
    assert not matches(["a"], ["a", "b"])
    assert comparable("FAIL  0.83 s  12 evaluations") == comparable("FAIL 1.2 min     9 evaluations")
    assert comparable("anna.py  pass  10.9") == comparable("anna.py  pass   9.8")
    assert comparable("bob.py  FAIL  0.9") != comparable("bob.py  FAIL  1.9")
    assert comparable("1/32") != comparable("1/16")
