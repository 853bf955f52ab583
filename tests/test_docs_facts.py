"""The tables of the documentation say what the tables of the code say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gradcheck.cli.command import EXAMPLES
from gradcheck.judge import TOLERANCES
from gradcheck.variations.names import NAMES

ROOT = Path(__file__).parents[1]


def rows(page, name):
    """Return the cells of the table that follows the marker ``name``, row by row."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    part = text.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]
    lines = part.strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(page, name):
    return [row[0].strip("`") for row in rows(page, name)]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_tolerances_are_those_of_the_judge():
    shown = {row[0].strip("`"): (float(row[1]), float(row[2])) for row in rows("verdicts.md", "tolerances")}
    assert shown == {dtype: (t.relative, t.of_largest) for dtype, t in TOLERANCES.items()}


def test_the_variations_are_those_that_are_tried_in_their_order():
    assert names("verdicts.md", "variations") == list(NAMES)


def test_the_exit_statuses_are_those_of_the_help():
    block = EXAMPLES.split("Exit status:\n")[1]
    said = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in block.strip().splitlines()]
    assert rows("verdicts.md", "statuses") == said


def sources():
    """Return the checker's source with string literals that continue on the next line joined."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "gradcheck").rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("note", names("verdicts.md", "notes"))
def test_each_note_of_the_table_is_one_that_the_code_can_write(note):
    fragments = [part.strip() for part in note.split("...") if part.strip()]
    text = sources()
    assert fragments
    assert [fragment for fragment in fragments if fragment not in text] == []


def test_each_module_has_its_line_in_the_floor_plan():
    hidden = {"__init__", "__main__", "_version"}
    found = {path.stem for path in (ROOT / "gradcheck").glob("*.py")} - hidden
    found |= {path.parent.name for path in (ROOT / "gradcheck").glob("*/__init__.py")}
    assert sorted(names("architecture.md", "modules")) == sorted(found)


def test_each_dependency_has_its_reason():
    needed = [re.split(r"[<>=\[]", requirement)[0] for requirement in project()["dependencies"]]
    assert sorted(names("architecture.md", "dependencies")) == sorted(needed)
    assert sorted(names("architecture.md", "extras")) == sorted(project()["optional-dependencies"])


@pytest.mark.parametrize(
    "page", ["architecture.md", "method.md", "verdicts.md", "tutorial-torch.md", "faq.md"]
)
def test_links_to_other_pages_lead_somewhere(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([\w-]+\.md)(?:#([\w-]+))?\)", text):
        linked = (ROOT / "docs" / target).read_text(encoding="utf-8")
        titles = [
            re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-")
            for t in re.findall(r"^#+ (.+)$", linked, re.M)
        ]
        assert not anchor or anchor in titles, f"{page} links to {target}#{anchor}"
