"""A case in a file: written whole or not at all, and what cannot be read or written is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cases import CaseError, generate, load, save, to_json


def test_save_and_load(tmp_path):
    case = generate("dag", 5)
    save(case, tmp_path / "case.json")
    assert to_json(load(tmp_path / "case.json")) == to_json(case)
    assert [path.name for path in tmp_path.iterdir()] == ["case.json"]


def test_saving_replaces_what_was_there(tmp_path):
    path = tmp_path / "case.json"
    path.write_text("old", encoding="utf-8")
    save(generate("dag", 1), path)
    assert load(path).seed == 1


def test_an_interrupted_save_leaves_no_half_file(tmp_path, monkeypatch):
    path = tmp_path / "case.json"
    path.write_text("old", encoding="utf-8")
    written = Path.write_text

    def interrupted(self, text, **options):
        written(self, text[:10], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(generate("dag", 1), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(
        CaseError, match=r"^Cannot write .*nowhere.*: No such file or directory; choose another"
    ):
        save(generate("dag", 1), tmp_path / "nowhere" / "case.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CaseError, match=r"^Cannot write .*folder: "):
        save(generate("dag", 1), tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        CaseError, match=r"^Cannot read .*none\.json: No such file or directory; check the path\.$"
    ):
        load(tmp_path / "none.json")
    with pytest.raises(CaseError, match=r"^Cannot read "):
        load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x80\x04")
    with pytest.raises(CaseError, match=r"binary: not UTF-8 at byte 0; is this a case\?$"):
        load(tmp_path / "binary")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "bom.json").write_text("\ufeff" + to_json(generate("dag", 2)), encoding="utf-8")
    assert load(tmp_path / "bom.json").seed == 2
