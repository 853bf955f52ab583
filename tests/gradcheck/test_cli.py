"""The command line: exit statuses, outputs, and one clear sentence for whatever cannot be done."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sample_reports as samples

import gradcheck
from gradcheck import judge
from gradcheck.cli import main
from gradcheck.report.json import run_from_dict
from gradcheck.report.records import Verdict
from gradcheck.targets.place import is_from

TARGETS = """
    import gradcheck

    @gradcheck.target
    def right():
        return abs, "pass"

    @gradcheck.target
    def wrong():
        return abs, "fail"

    @gradcheck.target
    def unsure():
        return abs, "inconclusive"

    @gradcheck.target
    def broken():
        raise ValueError("no such size")

    def stop():
        import os, signal
        if not os.path.exists("patient"):
            os.kill(os.getpid(), signal.SIGINT)
        return abs, "pass"

    def terminate():
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
        return abs, "pass"
"""
MADE = {"pass": samples.passing, "fail": samples.failing, "inconclusive": samples.inconclusive}


def read_run(path):
    return run_from_dict(json.loads(Path(path).read_text()))


@pytest.fixture(autouse=True)
def calls(tmp_path, monkeypatch):
    """Run in a folder with targets whose input says what ``verify`` is to find."""
    found = []

    def verify(function, what, **keywords):
        found.append(keywords)
        if what == "defect":
            judge.digits(None, 1.0)
        return samples.report(MADE[what](), name=keywords["name"], seed=keywords.get("seed", 0))

    monkeypatch.setattr("gradcheck.verification.verify", verify)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (tmp_path / "model.py").write_text(textwrap.dedent(TARGETS))
    (tmp_path / "notes.txt").write_text("do not lose me")
    yield found
    for name, module in list(sys.modules.items()):
        if is_from(module, tmp_path.resolve()):
            del sys.modules[name]


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line: status, standard output, standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["verify", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err or "broken" in err or "defect" in err
        return left.value.code, out, err

    return run


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        (["right"], 0),
        (["wrong"], 1),
        (["broken"], 2),
        (["unsure"], 3),
        (["right", "unsure", "wrong", "broken"], 1),
        (["right", "unsure", "broken"], 2),
        (["right", "unsure"], 3),
    ],
)
def test_the_exit_status_is_that_of_the_worst(run, targets, status):
    assert run(*(f"model.py:{name}" for name in targets))[0] == status


def test_inconclusive_can_be_allowed(run):
    assert run("model.py:unsure", "--allow-inconclusive")[0] == 0


def test_every_target_of_a_file_is_verified_and_told(run):
    status, out, err = run("model.py")
    assert status == 1
    assert "model.py:right: pass, 1 parameter agrees to 11.4 digits" in out
    assert "reproduce: gradcheck verify model.py:wrong --seed 0" in out
    assert (
        "FAIL: 1 of 3 targets with a wrong gradient, 1 of 3 targets not resolved, 1 target not verified"
        in out
    )
    assert err.startswith("gradcheck: model.py:broken raised ValueError: no such size\n")
    assert 'File "model.py", line 18, in broken' in err


def test_a_single_target_is_shown_in_full_and_several_in_a_line_each(run):
    assert "412 forward evaluations" in run("model.py:right")[1]
    assert (
        "412 forward evaluations" not in run("model.py:right", "model.py:unsure")[1].split("inconclusive")[0]
    )
    assert (
        "412 forward evaluations"
        in run("model.py:right", "model.py:unsure", "-v")[1].split("inconclusive")[0]
    )


def test_a_target_named_twice_is_verified_once(run, calls):
    run("model.py:right", "model.py:right", "model.py")
    assert len(calls) == 3


def test_options_reach_the_verification(run, calls):
    run(
        "model.py:right",
        "--order",
        2,
        "--rtol",
        "1e-3",
        "--atol",
        0,
        "--effort",
        "every",
        "--seed",
        5,
        "--no-variations",
    )
    run("model.py:right", "--variations", "ties", "--variations", "other sizes")
    assert calls == [
        {
            "name": "model.py:right",
            "order": 2,
            "rtol": 1e-3,
            "atol": 0.0,
            "effort": "every",
            "seed": 5,
            "variations": False,
        },
        {"name": "model.py:right", "variations": {"ties", "other sizes"}},
    ]


def test_files_are_written_in_every_format(run):
    status, _, _ = run("model.py", "--json", "r.json", "--junit", "r.xml", "--html", "r.html")
    assert status == 1
    read = read_run("r.json")
    assert [report.verdict.value for report in read.reports] == ["pass", "fail", "inconclusive"]
    assert (read.complete, read.gradcheck, len(read.failures)) == (True, gradcheck.__version__, 1)
    assert ElementTree.parse("r.xml").getroot().get("failures") == "1"
    assert "model.py:wrong" in Path("r.html").read_text()


def test_our_own_files_are_written_again(run):
    files = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html"]
    files += ["--baseline", "known.json", "--accept", "x"]
    assert [run("model.py:right", *files)[0] for _ in range(2)] == [0, 0]


def test_a_torch_py_beside_the_target_is_named(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "mine.py").write_text("import torch\n" + textwrap.dedent(TARGETS))
    for words in (["-m", "gradcheck"], ["-P", "-m", "gradcheck"]):
        command = [sys.executable, *words, "verify", "mine.py:right", "mine.py:stop"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 2
        assert "torch.py hides the installed module 'torch'; rename it." in ended.stderr
        assert "Traceback" not in ended.stderr


def test_an_empty_list_of_targets_is_no_gate(run, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.gradcheck]\ntargets = []\n")
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "targets = [] names nothing to verify; name the files, or leave the key out" in err


def test_github_gets_annotations_and_a_summary(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    _, out, _ = run("model.py:wrong", "--github")
    assert "\n::error file=model.py,line=8,title=wrong gradient::" in out
    assert (tmp_path / "summary.md").read_text().startswith("## gradcheck: FAIL")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.py"], "gradcheck: There is no file 'nothing.py'. Check the path."),
        (["modle.py"], "gradcheck: There is no file 'modle.py'. Did you mean 'model.py'?"),
        (["model.py:rigth"], "gradcheck: There is no 'rigth' in model.py. Did you mean 'right'?"),
        (
            ["model.py", "--effort", "all"],
            "gradcheck: Expected 'probe', 'auto' or 'every' but got effort='all'; use",
        ),
        (["model.py", "--order", "3"], "gradcheck: Expected 1 or 2 but got order=3; use"),
        (["model.py", "--rtol", "-1"], "got rtol=-1.0; use"),
        (["model.py", "--seed", "-1"], "got seed=-1; use"),
        (["model.py", "--jobs", "0"], "Expected a number of at least 1 but got --jobs 0; leave it out"),
        (["--cases", "-5"], "Expected a number of at least 1 but got --cases -5; leave it out"),
        (
            ["model.py", "--cases", "5"],
            "--cases is about cases for an engine, but model.py is no engine; leave",
        ),
        (["--variations", "a", "--no-variations"], "--no-variations and --variations contradict each other"),
        (
            ["model.py", "--json", "no/such/r.json"],
            "Cannot write the JSON report to no/such/r.json: there is no folder",
        ),
        (["model.py", "--html", "."], "Cannot write the HTML report to .: it is a folder"),
        (
            ["model.py", "--json", "a", "--junit", "./a"],
            "--json and --junit name the same file, ./a; give each",
        ),
        (["--case", "no.json"], "no.json"),
        (["model.py", "--json", "model.py"], "to model.py: .py is the ending of a program"),
        (["--cases", "2", "--html", "lost.py"], "to lost.py: .py is the ending of a program"),
        (["model.py", "--baseline", "lost.py", "--accept", "x"], "lost.py: .py is the ending of a program"),
        (["model.py", "--junit", "notes.txt"], "to notes.txt: it is there already, and gradcheck did not"),
        (["model.py", "--baseline", "notes.txt", "--accept", "x"], "to notes.txt: it is there already"),
        (["model.py", "--json", "b", "--baseline", "b", "--accept", "x"], "--baseline and --json name the"),
        (["model.py", "--json", ""], "Expected the name of a file for the JSON report but got an empty one"),
        (["model.py", "--json", "-"], "got -; for standard output: /dev/stdout."),
        (["model.py", "--baseline", ""], "Expected the name of a file for the baseline but got an empty"),
        (["--family", "dga"], "Unknown family 'dga'. Did you mean 'dag'?"),
    ],
)
def test_bad_usage_is_one_sentence_before_anything_runs(run, calls, arguments, sentence):
    status, out, err = run(*arguments)
    assert (status, out, calls) == (2, "", [])
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verfy"], "There is no command 'verfy'. Did you mean 'verify'?"),
        (["model.py"], "To verify a target: gradcheck verify model.py"),
        (["verify", "--cass", "1"], "--case"),
        (["verify", "--seed", "x"], "'x' is not a valid integer"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest(capsys, arguments, words):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_version_and_help(capsys):
    for arguments, words in (
        (["--version"], f"gradcheck {gradcheck.__version__}"),
        (["verify", "-h"], "Exit status"),
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(("how", "status"), [("stop", 130), ("terminate", 143)])
def test_a_stopped_run_tells_and_writes_what_was_verified(run, how, status):
    before = signal.getsignal(signal.SIGINT)
    left, out, _ = run("model.py:wrong", f"model.py:{how}", "model.py:right", "--json", "r.json")
    assert left == status
    assert "FAIL: 1 of 1 target with a wrong gradient, stopped before the end" in out
    read = read_run("r.json")
    assert (len(read.reports), read.complete, read.verdict) == (1, False, Verdict.FAIL)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_before_the_first_result_still_writes(run):
    assert run("model.py:stop", "--json", "r.json")[0] == 130
    assert read_run("r.json").reports == ()


def test_a_defect_of_ours_is_named_as_ours_and_the_others_go_on(run, tmp_path):
    (tmp_path / "defect.py").write_text(
        "import gradcheck\n@gradcheck.target\ndef hit():\n    return abs, 'defect'\n"
    )
    status, out, err = run("defect.py", "model.py:right")
    assert status == 2
    assert "model.py:right: pass" in out
    assert "defect.py:hit: gradcheck itself failed. Please report this" in err
    assert "in digits" in err


def test_a_file_that_cannot_be_loaded_does_not_hide_the_others(run, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    status, out, err = run("broken.py", "model.py:right")
    assert status == 2
    assert "broken.py cannot be loaded: ZeroDivisionError" in err
    assert "model.py:right: pass" in out


def test_pyproject_names_targets_and_options(run, tmp_path, calls):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.gradcheck]\ntargets = ["mod*.py:right"]\nrtol = 1e-3\nseed = 4\njson = "r.json"\n'
    )
    status, _, _ = run("--seed", 5)
    assert status == 0
    assert calls == [{"name": "model.py:right", "rtol": 1e-3, "seed": 5}]
    assert os.path.exists("r.json")


def test_output_that_is_no_terminal_has_no_colour_and_no_bar(run):
    assert "\x1b" not in "".join(run("model.py")[1:])


def test_names_that_the_output_cannot_hold_are_escaped(run, tmp_path):
    (tmp_path / "größe.py").write_text(
        "import gradcheck\n@gradcheck.target\ndef σ():\n    return abs, 'pass'\n"
    )
    status, out, _ = run("größe.py")
    assert status == 0
    assert re.search("größe.py:σ: pass", out)


def test_the_seed_of_a_failure_is_that_of_its_inputs(run, calls):
    _, out, _ = run("model.py:wrong", "--seed", 9)
    assert "reproduce: gradcheck verify model.py:wrong --seed 9" in out
    assert calls[0]["seed"] == 9


def test_a_baseline_accepts_what_is_found_and_stops_at_what_is_new(run):
    known = ("--baseline", "known.json")
    assert run("model.py:wrong", *known)[0] == 2
    assert run("model.py:wrong", *known, "--accept", "issue 12")[0] == 0
    status, out, _ = run("model.py:wrong", *known)
    assert status == 0
    assert "known: model.py:wrong fc1.weight: issue 12" in out
    assert run("model.py:wrong", "model.py:unsure", *known)[0] == 3
    assert "give both" in run("model.py:wrong", "--accept", "why")[2]


def test_accepting_says_what_is_recorded_and_that_reasons_stay(run):
    known = ("--baseline", "known.json", "--accept")
    _, out, _ = run("model.py:wrong", *known, "issue 12")
    assert "recorded in known.json: 1 discrepancy (issue 12)\n" in out
    _, out, _ = run("model.py:wrong", *known, "issue 13")
    assert "recorded in known.json: 0 discrepancies; 1 known before, for the reason given then; to" in out


def test_a_target_is_known_however_its_file_is_named(run, tmp_path):
    known = ("--baseline", "known.json")
    run("./model.py:wrong", *known, "--accept", "issue 12")
    assert '"model.py:wrong"' in (tmp_path / "known.json").read_text()
    assert run("model.py:wrong", *known)[0] == 0
    assert run(f"{tmp_path}/model.py:wrong", *known)[0] == 0


def test_a_target_that_is_declared_wrongly_does_not_hide_the_others(run, tmp_path):
    more = "@gradcheck.target(effort='all')\ndef odd(): pass\n@gradcheck.target\ndef needs(a, b): pass\n"
    (tmp_path / "model.py").write_text(textwrap.dedent(TARGETS) + more)
    status, out, err = run("model.py")
    assert status == 1
    assert "model.py:right: pass" in out
    assert "model.py:odd: Expected 'probe', 'auto' or 'every' but got effort='all'" in err
    assert "model.py:needs: A target takes no arguments, or one, a submission, but needs needs a, b" in err
    assert run("model.py:odd", "--jobs", "2")[0] == 2


def test_what_was_not_verified_is_an_error_beside_what_is_right(run):
    out = run("model.py:right", "model.py:broken")[1]
    assert "\nerror: 1 target not verified, 1 right (" in out


def test_a_target_that_changes_the_folder_changes_no_output(run, tmp_path):
    (tmp_path / "other").mkdir()
    moves = "def moves():\n    import os\n    os.chdir('other')\n    return abs, 'pass'\n"
    (tmp_path / "model.py").write_text(textwrap.dedent(TARGETS) + moves)
    assert run("model.py:moves", "model.py:right", "--json", "r.json")[0] == 0
    assert (tmp_path / "r.json").exists()


def test_ctrl_c_before_anything_is_loaded_is_one_sentence(run, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("gradcheck.configuration.find", interrupt)
    status, out, err = run("model.py")
    assert (status, out) == (130, "")
    assert err.strip() == "gradcheck: stopped before anything was verified."


def test_a_stopped_run_goes_on_where_it_ended(run, tmp_path, calls):
    command = ("model.py:wrong", "model.py:stop", "model.py:right")
    assert run(*command)[0] == 130
    (tmp_path / "patient").touch()
    calls.clear()
    status, out, _ = run(*command, "--resume", "--json", "r.json")
    assert status == 1
    assert out.startswith("resumed with 1 result of the run that was stopped\n")
    assert [call["name"] for call in calls] == ["model.py:stop", "model.py:right"]
    assert len(read_run("r.json").reports) == 3
    assert not (tmp_path / ".gradcheck" / "run.jsonl").exists()


def test_only_the_same_command_is_resumed(run):
    run("model.py:wrong", "model.py:stop")
    status, out, err = run("model.py:wrong", "model.py:stop", "--rtol", "1", "--resume")
    assert (status, out) == (2, "")
    assert "run.jsonl is of another command than this one; give the same, or leave out --resume" in err


@pytest.mark.parametrize("name", ["model.py", "helper_of_model.py"])
def test_nothing_is_taken_up_where_a_file_has_changed_since(run, tmp_path, calls, name):
    (tmp_path / "helper_of_model.py").write_text("K = 1\n")
    model = tmp_path / "model.py"
    model.write_text("import helper_of_model\n" + model.read_text())
    run("model.py:wrong", "model.py:right", "model.py:stop")
    (tmp_path / name).write_text((tmp_path / name).read_text() + "\nL = 2\n")
    calls.clear()
    _, out, _ = run("model.py:wrong", "model.py:right", "model.py:stop", "--resume")
    assert out.startswith(f"{name} has changed since: starts at the beginning\n")
    assert [call["name"] for call in calls][:2] == ["model.py:wrong", "model.py:right"]


def test_a_result_that_was_cut_off_is_verified_again(run, tmp_path, calls):
    run("model.py:wrong", "model.py:right", "model.py:stop")
    journal = tmp_path / ".gradcheck" / "run.jsonl"
    journal.write_text(journal.read_text()[:-20])
    calls.clear()
    run("model.py:wrong", "model.py:right", "model.py:stop", "--resume")
    assert [call["name"] for call in calls] == ["model.py:right"]


def test_there_need_not_be_anything_to_resume(run):
    status, out, _ = run("model.py:right", "--resume")
    assert status == 0
    assert "resumed" not in out


def test_a_folder_that_cannot_be_written_gets_no_journal(run, tmp_path):
    (tmp_path / ".gradcheck").write_text("a file is in the way")
    assert run("model.py:right")[0] == 0
