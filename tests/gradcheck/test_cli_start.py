"""What is started for real: nothing heavy is loaded for help, processes share work, Ctrl-C works."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time

import pytest

import gradcheck

HEAVY = ("torch", "hypothesis", "numpy", "rich", "cases", "reference_impl")


def loaded_by(code):
    """Return which heavy modules a fresh Python has after running some code."""
    names = f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{names}"], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import gradcheck; dir(gradcheck)",
        "import gradcheck; gradcheck.Report, gradcheck.target, gradcheck.UsageError",
        "from gradcheck.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from gradcheck.cli import main\ntry: main(['verify', '--help'])\nexcept SystemExit: pass",
        "from gradcheck.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    assert loaded_by(code) == "[]"


def test_every_public_name_is_there_and_sorted():
    assert list(gradcheck.__all__) == sorted(gradcheck.__all__)
    assert set(gradcheck.__all__) <= set(dir(gradcheck))
    for name in gradcheck.__all__:
        assert getattr(gradcheck, name) is not None


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'verify'"):
        gradcheck.verfy  # noqa: B018 - that this raises is the point


def test_a_users_own_cases_folder_is_named(tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck", "verify", "--cases", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert (
        f"gradcheck needs its own package 'cases', but Python finds {tmp_path}/cases/__init__.py"
        in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


SLOW = """
import time
import gradcheck
import gradcheck.verification
from gradcheck.report.records import Report, Verdict

def verify(function, what, *, name, **options):
    if what == "crash":
        import os
        os.abort()
    if what == "slow":
        print("ready", flush=True)
        time.sleep(60)
    return Report(name, Verdict(what), {})

gradcheck.verification.verify = verify

@gradcheck.target
def right():
    return abs, "pass"

@gradcheck.target
def wrong():
    return abs, "fail"

def slow():
    return abs, "slow"

def crash():
    return abs, "crash"
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.py").write_text(SLOW)
    return tmp_path


def command(folder, *arguments):
    return [sys.executable, "-m", "gradcheck", "verify", *arguments], {"cwd": folder, "text": True}


def test_several_processes_find_the_same(model):
    words, options = command(model, "model.py", "--jobs", "2", "--json", "r.json")
    done = subprocess.run(words, capture_output=True, **options)
    assert done.returncode == 1, done.stderr
    assert [line.split(":")[1] for line in done.stdout.splitlines()[:2]] == ["right", "wrong"]
    assert len(json.loads((model / "r.json").read_text())["groups"][0]["reports"]) == 2


def test_a_crash_in_a_process_is_an_error_not_the_end(model):
    words, options = command(model, "model.py:crash", "model.py:right", "--jobs", "2")
    done = subprocess.run(words, capture_output=True, **options)
    assert done.returncode == 2
    assert "model.py:crash: a process ended abruptly" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_shows_and_writes_what_was_found(model, jobs):
    words, options = command(model, "model.py:wrong", "model.py:slow", "--jobs", jobs, "--json", "r.json")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    assert process.stdout is not None
    lines = []
    while not any("ready" in line for line in lines):
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "stopped before the end" in out
    assert "Traceback" not in err
    assert json.loads((model / "r.json").read_text())["complete"] is False


def test_a_reader_that_goes_away_is_no_discrepancy(tmp_path):
    many = (
        SLOW + "for i in range(2000):\n    globals()[f'right{i}'] = gradcheck.target(lambda: (abs, 'pass'))\n"
    )
    (tmp_path / "model.py").write_text(many)
    words, options = command(tmp_path, "model.py")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


def test_a_full_disk_is_one_sentence(model):
    words, options = command(model, "model.py:right")
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, **options)
    assert done.returncode == 2
    assert done.stderr == "gradcheck: [Errno 28] No space left on device\n"


def processor_seconds(*arguments):
    """Return the least processor time, of five, that a fresh Python takes."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@pytest.mark.parametrize("arguments", [("-c", "import gradcheck"), ("-m", "gradcheck", "--help")])
def test_a_start_takes_at_most_a_fifth_of_a_second(arguments):
    assert processor_seconds(*arguments) - processor_seconds("-c", "pass") <= 0.2
