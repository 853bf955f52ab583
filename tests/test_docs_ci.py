"""The gates of docs/ci.md that other services run: their files are well-formed, and their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import blocks

from gradcheck.cli.command import verify

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
FLAGS = {flag for parameter in verify.params for flag in parameter.opts}
FILES = {block.file: yaml.safe_load(block.text) for block in blocks("ci.md") if block.language == "yaml"}


def commands():
    github = FILES[".github/workflows/gradients.yml"]["jobs"]["gradcheck"]["steps"]
    gitlab = FILES[".gitlab-ci.yml"]["gradients"]["script"]
    return [step["run"] for step in github if "run" in step] + gitlab


def test_the_commands_of_the_gates_use_flags_that_exist():
    ours = [shlex.split(command) for command in commands() if command.startswith("gradcheck")]
    assert len(ours) == 2
    for words in ours:
        assert words[:2] == ["gradcheck", "verify"]
        assert {word for word in words if word.startswith("--")} <= FLAGS


def test_the_extras_that_the_gates_install_exist():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        extra
        for line in commands()
        for names in re.findall(r"gradcheck\[(.*?)\]", line)
        for extra in names.split(",")
    }
    assert wanted <= set(project["optional-dependencies"])
    assert "html" in wanted


def test_the_artifacts_are_the_files_that_are_written():
    gitlab = FILES[".gitlab-ci.yml"]["gradients"]
    assert gitlab["artifacts"]["reports"]["junit"] in gitlab["script"][1]
    assert gitlab["artifacts"]["paths"][0] in gitlab["script"][1]


def test_the_hook_is_what_the_page_names():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repository,) = FILES[".pre-commit-config.yaml"]["repos"]
    assert [each["id"] for each in repository["hooks"]] == [hook["id"]]
    assert hook["entry"] == "gradcheck verify"
    assert hook["pass_filenames"] is False


def test_pre_commit_accepts_the_hook():
    pytest.importorskip("pre_commit")
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
