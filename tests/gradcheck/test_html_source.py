"""The source around a blamed line comes from the file, and else from what the report kept."""

from __future__ import annotations

import pytest

from gradcheck.report.html.source import Line, lines_around
from gradcheck.report.records import Blame


def blame(location, source="kept"):
    return Blame("f", location, "", source)


def test_the_blamed_line_stands_among_its_neighbours(tmp_path):
    path = tmp_path / "model.py"
    path.write_text("".join(f"line {n}\n" for n in range(1, 21)))
    lines = lines_around(blame(f"{path}:10"))
    assert [line.number for line in lines] == list(range(6, 15))
    assert [line for line in lines if line.blamed] == [Line(10, "line 10", True)]


def test_the_first_line_has_no_neighbours_above(tmp_path):
    (tmp_path / "model.py").write_text("one\ntwo\n")
    assert [line.text for line in lines_around(blame(f"{tmp_path / 'model.py'}:1"))] == ["one", "two"]


@pytest.mark.parametrize(
    "location", [None, "model.py", "model.py:x", "no/such.py:3", "a\0b.py:3", ":7", "model.py:-1"]
)
def test_without_a_file_the_kept_line_is_shown(location):
    assert [line.text for line in lines_around(blame(location))] == ["kept"]


def test_a_file_that_is_no_source_is_not_opened(tmp_path):
    (tmp_path / "secrets.env").write_text("token\n")
    assert [line.text for line in lines_around(blame(f"{tmp_path / 'secrets.env'}:1"))] == ["kept"]


def test_a_line_beyond_the_end_falls_back(tmp_path):
    (tmp_path / "model.py").write_text("one\n")
    assert lines_around(blame(f"{tmp_path / 'model.py'}:9")) == (Line(9, "kept", True),)


def test_bytes_that_are_no_text_fall_back(tmp_path):
    (tmp_path / "model.py").write_bytes(b"\xff\xfe\x00")
    assert lines_around(blame(f"{tmp_path / 'model.py'}:1")) == (Line(1, "kept", True),)


def test_nothing_known_is_nothing_shown():
    assert lines_around(blame(None, None)) == ()


def test_a_blamed_function_is_shown_to_its_end(tmp_path):
    body = "".join(f"        step({n})\n" for n in range(9))
    text = f"class F:\n    @staticmethod\n    def backward(\n        ctx, g\n    ):\n{body}\n"
    text += "        return wrong\n\n"
    (tmp_path / "model.py").write_text(text + "    def other():\n        pass\n" * 3)
    for number in (2, 3):
        lines = [line.text for line in lines_around(blame(f"{tmp_path / 'model.py'}:{number}"))]
        assert lines[-1] == "        return wrong"
