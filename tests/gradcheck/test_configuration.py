"""[tool.gradcheck]: the nearest file counts, and what it cannot mean is one sentence that helps."""

from __future__ import annotations

import pytest

from gradcheck.configuration import Configuration, find, read, specs
from gradcheck.errors import UsageError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes a pyproject.toml into the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(text):
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return make


def test_targets_options_and_the_run_are_told_apart(project):
    folder = project(
        """
        [tool.gradcheck]
        targets = ["models/*.py", "pkg.ops:attention"]
        rtol = 1e-5
        effort = "every"
        variations = false
        jobs = 2
        allow-inconclusive = true
        json = "out/report.json"
        """
    )
    found = find()
    assert found.path == folder / "pyproject.toml"
    assert found.targets == ("models/*.py", "pkg.ops:attention")
    assert found.options == {"rtol": 1e-5, "effort": "every", "variations": False}
    assert found.run == {"jobs": 2, "allow-inconclusive": True, "json": str(folder / "out/report.json")}


def test_the_nearest_file_above_counts(project):
    folder = project("[tool.gradcheck]\nseed = 7\n")
    (folder / "a" / "b").mkdir(parents=True)
    assert find(folder / "a" / "b").options == {"seed": 7}
    (folder / "a" / "pyproject.toml").write_text("[project]\nname = 'inner'\n")
    assert find(folder / "a" / "b").options == {}


def test_no_file_is_no_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.is_file", lambda self: False)
    assert find(tmp_path) == Configuration()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tagets = ['a.py']", "Unknown key 'tagets'. Did you mean 'targets'?"),
        ("allow_inconclusive = true", "Unknown key 'allow_inconclusive'. Did you mean 'allow-inconclusive'?"),
        ("zzz = 1", "Unknown key 'zzz'. The keys are: allow-inconclusive, atol, baseline,"),
        ("rtol = '1e-5'", 'Expected a finite number that is not negative but got rtol = "1e-5"; write'),
        (
            "rtol = -1",
            "Expected a finite number that is not negative but got rtol = -1; write for example rtol = 1e-5",
        ),
        ("effort = 'evry'", 'Expected "probe", "auto" or "every" but got effort = "evry"; write for example'),
        ("order = true", "Expected 1 or 2 but got order = true; write for example order = 2."),
        ("targets = 'models/*.py'", 'Expected a list of text but got targets = "models/*.py"'),
        ("targets = []", "targets = [] names nothing to verify; name the files"),
        (
            "variations = 'zeros'",
            'Expected true, false or a list of names but got variations = "zeros"; write',
        ),
        ("targets = [3]", "Expected a list of text but got targets = [3]"),
        ("jobs = 0", "Expected a number of processes but got jobs = 0"),
        ("jobs = true", "Expected a number of processes but got jobs = true"),
        ("allow-inconclusive = 1", "Expected true or false but got allow-inconclusive = 1"),
        ("html = ''", 'Expected the name of a file but got html = ""'),
    ],
)
def test_what_cannot_be_meant_is_refused(project, text, sentence):
    folder = project(f"[tool.gradcheck]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        find()
    assert str(caught.value).startswith(f"{folder / 'pyproject.toml'}, [tool.gradcheck]: {sentence}")


def test_a_key_in_place_of_the_table_is_refused(project):
    project("[tool]\ngradcheck = 3\n")
    with pytest.raises(UsageError, match=r"tool\.gradcheck is no table"):
        find()


@pytest.mark.parametrize("content", [b"[tool.gradcheck\n", b"\xff\xfe"])
def test_a_broken_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"Cannot read .*Correct the file"):
        read(path)


def test_patterns_are_expanded_below_the_project(project, monkeypatch):
    folder = project("[tool.gradcheck]\ntargets = ['models/*.py:mlp', 'one.py', 'pkg.ops:attention']\n")
    (folder / "models").mkdir()
    for name in ("models/b.py", "models/a.py", "one.py"):
        (folder / name).write_text("")
    assert specs(find()) == ("models/a.py:mlp", "models/b.py:mlp", "one.py", "pkg.ops:attention")
    monkeypatch.chdir(folder / "models")
    assert specs(find()) == ("a.py:mlp", "b.py:mlp", str(folder / "one.py"), "pkg.ops:attention")


def test_a_pattern_that_matches_nothing_is_refused(project):
    project("[tool.gradcheck]\ntargets = ['modles/*.py']\n")
    with pytest.raises(UsageError, match=r"No file matches the target 'modles/\*\.py'"):
        specs(find())
