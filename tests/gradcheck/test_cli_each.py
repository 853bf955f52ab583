"""A folder of submissions: whatever one does, it is a row, and the run goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradcheck.cli import main
from gradcheck.cli.each.find import find_submissions
from gradcheck.cli.each.process import Processes
from gradcheck.cli.each.verify import Found
from gradcheck.cli.each.work import graders_fault
from gradcheck.errors import UsageError
from gradcheck.report.each import rows
from gradcheck.report.json import run_from_dict
from gradcheck.report.records import Verdict
from gradcheck.report.run import Failure, Run
from gradcheck.report.summary import conclusion

GRADER = """
    import numpy as np
    import gradcheck

    @gradcheck.target(variations=False)
    def homework(submission):
        params = {"w": np.array([0.3, -0.4])}
        return gradcheck.arguments(submission.loss, params, gradient=submission.gradient)
"""
RIGHT = """
def loss(p):
    return float((p["w"] ** 3).sum())

def gradient(p):
    return {"w": 3 * p["w"] ** 2}
"""
HOSTILE = "x;\n\x1b[31m<b>\udcff.py"
SUBMISSIONS = {
    "anna.py": RIGHT,
    "bob.py": RIGHT.replace("3 *", "-3 *"),
    "crashes.py": "import os\ndef loss(p):\n    print('so far')\n    os.abort()\ngradient = loss",
    "exits.py": "import os\ndef loss(p):\n    os._exit(0)\ngradient = loss",
    "folder/layers.py": RIGHT,
    "folder/main.py": "from layers import gradient\ndef loss(p):\n import layers\n return layers.loss(p)",
    "leaves.py": "import sys\nsys.exit('done')",
    "misses.py": RIGHT.replace("gradient", "grad"),
    "numpy.py": RIGHT.replace("gradient(p):", "gradient(p):\n    print('x' * 10**6)"),
    "raises.py": "input('name?')",
    HOSTILE: RIGHT,
    "two/a.py": "",
    "two/b.py": "",
    "notes.txt": "",
}
# By name: the verdict and what the row says of it.
EXPECTED = {
    "anna.py": ("pass", "1 parameter agrees to"),
    "bob.py": ("FAIL", "wrong gradient for w: sign"),
    "crashes.py": ("error", "crashed: Aborted (SIGABRT)"),
    "exits.py": ("error", "ended its process with status 0 before it was verified"),
    "folder": ("pass", "1 parameter agrees to"),
    "leaves.py": ("error", "ends the program (SystemExit: done) when it is loaded"),
    "misses.py": ("error", "has no function 'gradient'. Did you mean 'grad'?"),
    "numpy.py": ("pass", "1 parameter agrees to"),
    "raises.py": ("error", "cannot be loaded: EOFError"),
    "two": ("error", "has no main.py or submission.py, only a.py, b.py"),
    HOSTILE: ("pass", "1 parameter agrees to"),
}


def write(folder, submissions):
    (folder / "grader.py").write_text(textwrap.dedent(GRADER))
    for name, text in submissions.items():
        path = folder / "handed in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def verify(folder, *options):
    command = [sys.executable, "-m", "gradcheck", "verify", "--each", "handed in", "grader.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Return the folder and what came out of all submissions."""
    folder = write(tmp_path_factory.mktemp("each"), SUBMISSIONS)
    return folder, verify(folder, "--jobs", "2", "--json", "r.json", "--html", "r.html", "--junit", "r.xml")


def read(folder):
    return run_from_dict(json.loads((folder / "r.json").read_text()))


def test_each_submission_is_a_row_in_the_order_of_names(graded):
    folder, done = graded
    found = rows(read(folder))
    assert [row.name for row in found] == sorted(EXPECTED)
    for row in found:
        verdict, words = EXPECTED[row.name]
        assert row.verdict == verdict
        assert words in row.found
    assert done.returncode == 1, done.stderr
    assert "FAIL: 1 of 11 submissions with a wrong gradient, 6 of 11 submissions not verified" in done.stdout


def test_names_stay_text(graded):
    folder, done = graded
    assert r"x; \x1b[31m<b>\udcff.py" in done.stdout
    assert "\x1b[31m" not in done.stdout
    page = (folder / "r.html").read_text()
    assert "&lt;b&gt;" in page
    assert "[31m<b>" not in page


def test_what_is_no_submission_is_said_and_nothing_is_left_in_the_folder(graded):
    folder, done = graded
    assert "note: neither a folder nor a file that ends in .py: notes.txt" in done.stdout
    written = {path.name for path in (folder / "handed in").rglob("*") if path.is_file()}
    assert written == {name.rpartition("/")[2] for name in SUBMISSIONS}


def test_a_failure_keeps_what_was_printed_last(graded):
    folder, _ = graded
    (failure,) = [f for f in read(folder).failures if f.target == "crashes.py"]
    assert "\n  | Fatal Python error: Aborted" in failure.message
    assert 'crashes.py", line 4 in loss' in failure.message
    assert "gradcheck/cli" not in failure.message


def test_the_command_of_a_row_gives_that_row_in_full(graded, monkeypatch, capsys):
    folder, _ = graded
    (report,) = [report for report in read(folder).reports if report.name == "bob.py"]
    words = "verify --each 'handed in' --only=bob.py grader.py:homework --seed 0"
    assert report.reproduce == f"gradcheck {words}"
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as left:
        main(shlex.split(words))
    assert left.value.code == 1
    shown = capsys.readouterr().out
    assert "bob.py: FAIL, wrong gradient for w\n" in shown
    assert "worst at [1]" in shown


def test_one_that_loops_is_told_in_full_where_it_is_alone(tmp_path):
    write(tmp_path, {"loops.py": "while True: print('again')"})
    done = verify(tmp_path, "--time-limit", "1")
    assert done.returncode == 1
    assert "loops.py did not finish within 1 s (--time-limit)" in done.stderr
    assert done.stdout.startswith("FAIL: 1 of 1 submission not verified")


SLOW = "import pathlib, time\npathlib.Path('ready').touch()\ntime.sleep(60)"


def test_ctrl_c_keeps_what_is_done_also_behind_one_that_is_not(tmp_path):
    slow = SLOW.replace("'ready'", "'first'")
    write(tmp_path, {"a.py": slow, "b.py": RIGHT, "c.py": SLOW, "d.py": RIGHT})
    words = ["verify", "--each", "handed in", "grader.py", "--jobs", "2", "--json", "r.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gradcheck", *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not ((tmp_path / "ready").exists() and (tmp_path / "first").exists()):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped before the end" in out
    assert [report.name for report in read(tmp_path).reports] == ["b.py"]
    assert read(tmp_path).complete is False


def test_a_resumed_run_keeps_what_could_not_be_verified(tmp_path):
    slow = SLOW.replace("'ready'", "'again'")
    write(tmp_path, {"a.py": "1 / 0", "b.py": RIGHT, "c.py": SLOW, "d.py": RIGHT})
    words = [sys.executable, "-m", "gradcheck", "verify", "--each", "handed in", "grader.py"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    (tmp_path / "handed in" / "a.py").write_text(slow)
    (tmp_path / "handed in" / "c.py").write_text(RIGHT)
    done = verify(tmp_path, "--resume", "--json", "r.json")
    assert "resumed with 2 results" in done.stdout
    assert not (tmp_path / "again").exists()
    assert [failure.target for failure in read(tmp_path).failures] == ["a.py"]
    assert done.returncode == 1


FAULTY = """
    import gradcheck

    @gradcheck.target
    def early(submission):
        raise ValueError("mine")

    @gradcheck.target
    def number(submission):
        return 3

    @gradcheck.target
    def late(submission):
        return submission.gradient({"w": 1.0})["nothing"]

    @gradcheck.target(effort="bogus")
    def bogus(submission):
        return submission
"""


@pytest.mark.parametrize(
    ("target", "submissions", "status", "words"),
    [
        ("early", 1, 2, "grader.py:early fails whatever the submission: raised ValueError: mine"),
        ("number", 2, 2, "grader.py:number fails whatever the submission: returned an int"),
        ("late", 2, 2, "grader.py:late fails whatever the submission: raised KeyError: 'nothing'"),
        ("late", 1, 1, "a0.py raised KeyError: 'nothing'"),
        ("bogus", 1, 2, "grader.py:bogus: Expected 'probe', 'auto' or 'every' but got effort='bogus'"),
    ],
)
def test_a_fault_of_the_grader_is_no_fault_of_the_submissions(
    tmp_path, monkeypatch, capsys, target, submissions, status, words
):
    write(tmp_path, {f"a{i}.py": RIGHT for i in range(submissions)})
    (tmp_path / "grader.py").write_text(textwrap.dedent(FAULTY))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["verify", "--each", "handed in", f"grader.py:{target}"])
    out, err = capsys.readouterr()
    assert left.value.code == status, out
    assert words in err
    if status == 2 and target != "bogus":
        assert f"error: the grader cannot be used, {submissions} submission" in out


def test_what_submissions_get_wrong_in_different_ways_is_theirs():
    def outcome(name, message, suspicion="possible", report=None):
        return SimpleNamespace(name=name), Found(report, message, suspicion)

    one, other = outcome("a.py", "a.py raised KeyError"), outcome("b.py", "b.py raised KeyError")
    assert graders_fault([one, other]) == "raised KeyError"
    for third in (
        outcome("c.py", "c.py raised TypeError"),
        outcome("c.py", "c.py raised KeyError", ""),
        outcome("c.py", "", "", object()),
    ):
        assert graders_fault([one, other, third]) == ""


def test_a_process_ends_in_time_with_what_it_started(tmp_path):
    child = "import time, pathlib; time.sleep(2); pathlib.Path('late').touch()"
    code = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], cwd={str(tmp_path)!r})\n"
        "print('started', flush=True)\nwhile True: print('x' * 1000)"
    )
    ended = Processes().run([sys.executable, "-c", code], 1.0, os.environ)
    assert ended is not None
    assert ended.status is None
    assert len(ended.printed) <= 8000
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_after_a_stop_nothing_is_started():
    processes = Processes()
    processes.stop()
    assert processes.run([sys.executable, "-c", "1/0"], 1.0, os.environ) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--each", "handed in"], "--each verifies submissions against one file of targets"),
        (["--each", "handed in", "grader.py", "a.py"], "one file of targets"),
        (["--each", "nowhere", "grader.py"], "Cannot look for submissions in nowhere: No such file"),
        (["--each", "empty", "grader.py"], "There is no submission in empty; put files"),
        (["--each", "handed in", "grader.py", "--only", "ana.py"], "Did you mean 'anna.py'?"),
        (["--each", "handed in", "grader.py", "--time-limit", "0"], "Expected a positive number of seconds"),
        (["--each", "handed in", "grader.py", "--cases", "3"], "--cases is about cases for an engine"),
        (["--each", "handed in", "plain.py"], "plain.py:alone takes no submission"),
        (["--each", "handed in", "broken.py"], "broken.py cannot be loaded: ZeroDivisionError"),
        (["grader.py"], "needs submission, so it is a target for submissions; verify them with: gradcheck"),
        (["grader.py", "--only", "x"], "--only is about submissions; give --each FOLDER as well."),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(tmp_path, monkeypatch, capsys, words, said):
    write(tmp_path, {"anna.py": RIGHT})
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain.py").write_text(
        "import gradcheck\n@gradcheck.target\ndef alone():\n    return abs, 1\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["verify", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_the_grader_among_the_submissions_is_none_of_them(tmp_path):
    for name in ("grader.py", "anna.py", "__init__.py", ".hidden.py"):
        (tmp_path / name).write_text("")
    found, others = find_submissions(str(tmp_path), leave_out=(tmp_path / "grader.py").resolve())
    assert [each.name for each in found] == ["anna.py"]
    assert others == ()
    with pytest.raises(UsageError, match="It has"):
        find_submissions(str(tmp_path), ["zzz"])


def test_a_run_whose_submissions_could_not_be_verified_is_no_pass():
    run = Run(Verdict.PASS, (), (Failure("a.py", "a.py crashed"),), each="folder")
    assert conclusion(run) == "FAIL: 1 of 1 submission not verified"


def test_the_examples_are_those_of_the_documentation():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "grading.md").read_text()
    files = sorted((root / "examples" / "grading").rglob("*.py"))
    assert [path.name for path in files] == ["grader.py", "anna.py", "bob.py"]
    for path in files:
        name = path.relative_to(root / "examples" / "grading").as_posix()
        assert f"```python\n# {name}\n{path.read_text()}```" in page
