"""docs/engines.md: every program prints what stands beside it, and every finding is accounted for."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are programs, not a package that is installed

from benchmarks import engines_page  # noqa: E402 - after the path

RESULTS = sorted((ROOT / "benchmarks" / "results" / "engines").glob("*.json"))
PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
_PROGRAM = re.compile(r"^### (.+?)\n.*?```python\n(.*?)\n```\n\n```text\n(.*?)\n```", re.M | re.S)
_IMPORTS = re.compile(r"^(?:import|from) (\w+)", re.M)


def programs():
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        for title, program, printed in _PROGRAM.findall(section):
            yield pytest.param(program, printed, id=f"{section.split()[0]} {title}")


@pytest.mark.parametrize(("program", "printed"), list(programs()))
def test_a_program_of_the_page_prints_what_stands_beside_it(program, printed):
    for library in set(_IMPORTS.findall(program)):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    done = engines_page.run(program)
    shown = done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    assert " ".join(printed.split()) in " ".join(shown.split())


def test_the_page_has_a_program_for_each_kind_of_finding():
    assert len(list(programs())) >= 10


def test_every_finding_has_been_looked_at_and_the_numbers_are_those_of_the_files():
    records = engines_page.load(RESULTS)
    assert engines_page.unnoted(records) == []
    assert {record["library"] for record in records} == {"autograd", "jax", "micrograd", "mygrad", "tinygrad"}
    assert engines_page.summary(records) in PAGE
    for record in records:
        assert f"\n## {engines_page.TITLES[record['library']]} {record['version']}\n" in PAGE


def test_a_finding_that_its_program_does_not_show_is_refused():
    finding = {
        "kind": "wrong gradient",
        "leaf": "x",
        "claimed": "[1.0, nan]",
        "snippet": "import numpy as np\nimport json\n\nprint('w', 3)\nprint('x', np.array([1.0, np.nan]))",
    }
    program, printed = engines_page.reproduce(finding)
    assert printed == "x [ 1. nan]"
    assert "json" not in program
    for claimed in ("[1.0, 2.0]", "[1.0]", "[nan, 1.0]"):
        with pytest.raises(engines_page.NotReproducedError):
            engines_page.reproduce({**finding, "claimed": claimed})
    raising = {**finding, "kind": "raises", "claimed": "Engine 'e' raised ValueError: no"}
    with pytest.raises(engines_page.NotReproducedError):
        engines_page.reproduce(raising)
    assert engines_page.reproduce({**raising, "snippet": "raise ValueError('no')"})[1] == "ValueError: no"


def test_shares_of_one_library_add_up(tmp_path):
    finding = {"operation": "abs", "kind": "raises", "count": 2, "where": ["zeros"]}
    record = {
        "library": "l",
        "version": "1",
        "seed": 0,
        "counts": {"special values": 3},
        "verified": 5,
        "families": [{"family": "dag", "cases": 4}],
        "operations": [{"operation": "abs", "run": 4}],
        "findings": [finding],
    }
    for name, seed in (("a.json", 0), ("b.json", 4)):
        (tmp_path / name).write_text(json.dumps([{**record, "seed": seed}]), encoding="utf-8")
    (merged,) = engines_page.load(tmp_path.glob("*.json"))
    assert merged["verified"] == 10
    assert merged["families"]["dag"]["cases"] == 8
    assert merged["findings"]["abs", "raises"]["count"] == 4
    (tmp_path / "c.json").write_text(json.dumps([{**record, "seed": 7}]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"another share has, too: \('dag', 7\)"):
        engines_page.load(tmp_path.glob("*.json"))
    (tmp_path / "c.json").write_text(json.dumps([{**record, "version": "2"}]), encoding="utf-8")
    with pytest.raises(ValueError, match="others are not"):
        engines_page.load(tmp_path.glob("*.json"))
