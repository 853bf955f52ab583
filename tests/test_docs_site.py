"""The documentation builds without a warning, lists every page, and asks for nothing from outside."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys

import pytest
from docs_pages import DOCS

yaml = pytest.importorskip("yaml")
pytest.importorskip("mkdocs")
pytest.importorskip("mkdocs_click")
pytest.importorskip("mkdocstrings")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=DOCS.parent, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(path):
    shown = html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))
    return " ".join(shown.split())


def test_every_page_is_listed():
    listed = re.findall(r"[\w-]+\.md", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_command_line_reference_has_every_option(site):
    from gradcheck.cli.command import verify

    page = text(site / "cli" / "index.html")
    assert [
        flag
        for parameter in verify.params
        for flag in parameter.opts
        if flag.startswith("--") and flag not in page
    ] == []


def test_the_command_line_reference_keeps_what_looks_like_markup(site):
    assert "the gradient of <gradient, v>" in text(site / "cli" / "index.html")


def test_the_python_reference_has_the_public_names(site):
    page = text(site / "api" / "index.html")
    for name in (
        "verify",
        "verify_case",
        "target",
        "arguments",
        "Report",
        "tensors",
        "GradientMismatch",
        "Engine",
    ):
        assert name in page
    assert "raise_if_failed" in page
    assert "Verify a backward pass against finite differences" in page


def test_pages_load_nothing_from_outside(site):
    loaded = re.compile(r"""<(?:script|img|link)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^"']*""")
    found = {
        match for page in site.rglob("*.html") for match in loaded.findall(page.read_text(encoding="utf-8"))
    }
    assert found == set()
