"""A file is there whole or not at all, and whether it can be written is known before the work."""

from __future__ import annotations

import os
import stat

import pytest

from gradcheck.errors import UsageError
from gradcheck.files import near, require_writable, staying_here, write_whole


def test_text_is_written_as_utf8_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, "σ'(s)\n", "the JSON report")
    assert path.read_bytes() == "σ'(s)\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_new_file_is_as_readable_as_any_other_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_whole(tmp_path / "ours", "", "the report")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_keeps_pointing_where_it_does(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", "text", "the report")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"


def test_a_device_is_written_to_not_replaced(tmp_path):
    before = os.stat(os.devnull).st_rdev
    require_writable(os.devnull, "the report")
    write_whole(os.devnull, "text", "the report")
    assert os.stat(os.devnull).st_rdev == before


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "no" / "such" / "report.json", "there is no folder"),
        (lambda folder: folder, "it is a folder"),
        (lambda folder: folder / "a\0b", "null"),
        (lambda folder: folder / ("x" * 300), "too long"),
    ],
)
def test_an_unwritable_path_is_found_out_beforehand_and_leaves_nothing(tmp_path, make, reason):
    with pytest.raises(UsageError, match=f"(?s)Cannot write the JSON report to .*{reason}.*Name a file"):
        require_writable(make(tmp_path), "the JSON report")
    with pytest.raises(UsageError, match="Cannot write the JSON report to"):
        write_whole(make(tmp_path), "text", "the JSON report")
    assert os.listdir(tmp_path) == []


def test_trying_changes_nothing(tmp_path):
    (tmp_path / "report.json").write_text("precious")
    require_writable(tmp_path / "report.json", "the report")
    require_writable(tmp_path / "other.json", "the report")
    assert os.listdir(tmp_path) == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "precious"


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text("old")

    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "report.json", "new", "the report")
    assert os.listdir(tmp_path) == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "old"


def test_paths_are_shown_from_where_it_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    with staying_here():
        os.chdir("other")
        assert near(tmp_path / "model.py") == "model.py"
        assert near(tmp_path.parent / "model.py") is None
    assert os.getcwd() == str(tmp_path)
