"""The pytest plugin, tried on generated projects: most in this process, with a stand-in for ``verify``."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap

import pytest
from sample_reports import failing, inconclusive, passing, report

from gradcheck import verification
from gradcheck.options import Options
from gradcheck.report.html import to_html
from gradcheck.report.json import run_from_dict
from gradcheck.report.records import Cost, Verdict
from gradcheck.targets.place import is_from

pytest_plugins = ["pytester"]

# Loaded for good: an in-process run forgets what it loaded, and NumPy refuses to be loaded twice.
for module in ("fixture", "items", "outputs", "summary"):
    importlib.import_module(f"gradcheck.plugin.{module}")
importlib.import_module("hypothesis.internal.conjecture.engine")
to_html([report(failing())])

RESULTS = {"pass": passing, "fail": failing, "inconclusive": inconclusive}


@pytest.fixture(autouse=True)
def calls(monkeypatch, pytester):
    """Stand in for ``verify``: the first input is the verdict. Return the options of each call."""
    seen = []

    def verify(function, *inputs, **keywords):
        options = Options.of(**keywords)
        seen.append(keywords)
        verdict = function(*inputs)
        made = RESULTS[verdict]()
        return report(made, name=options.name, seed=options.seed, cost=Cost(412, 7, options.seed + 0.5))

    monkeypatch.setattr(verification, "verify", verify)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    yield seen
    for name, module in list(sys.modules.items()):
        if is_from(module, pytester.path.resolve()):
            del sys.modules[name]


def write(pytester, **files):
    for name, text in files.items():
        path = pytester.path / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def outcome(pytester, *arguments, **expected):
    done = pytester.runpytest_inprocess("-p", "no:randomly", *arguments)
    done.assert_outcomes(**expected)
    return done


TWO_TARGETS = """
    import gradcheck

    @gradcheck.target
    def right():
        return (lambda: "pass"),

    @gradcheck.target(rtol=1e-3)
    def wrong():
        return (lambda: "fail"),
"""


@pytest.fixture
def targets(pytester):
    write(pytester, models__ops_py=TWO_TARGETS)
    pytester.makeini("[pytest]\ngradcheck_targets = models/*.py\n")


# --- the fixture ---


def test_a_right_gradient_passes_and_the_report_is_returned(pytester):
    write(
        pytester,
        test_one_py="""
        def test_it(gradcheck):
            assert gradcheck(lambda: "pass").ok
        """,
    )
    outcome(pytester, passed=1)


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_anything_but_a_pass_fails_the_test(pytester, verdict):
    write(pytester, test_one_py=f"def test_it(gradcheck):\n    gradcheck(lambda: '{verdict}')\n")
    outcome(pytester, failed=1)


def test_the_failure_is_the_report_and_shows_no_frame_of_ours(pytester):
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'fail')\n")
    done = outcome(pytester, failed=1)
    done.stdout.fnmatch_lines(
        [
            ">*gradcheck(lambda: 'fail')",
            "E*GradientMismatch: test_one.py::test_it: FAIL, wrong gradient for fc1.weight",
            "E*fc1.weight (64, 784): wrong gradient in 50,176 of 50,176 entries",
            "E*reproduce: pytest test_one.py::test_it --gradcheck-seed 0",
            "test_one.py:2: GradientMismatch",
        ]
    )
    assert "gradcheck/plugin" not in done.stdout.str()


def test_an_error_in_the_forward_pass_shows_the_users_frames_only(pytester):
    write(
        pytester,
        test_one_py="""
        def forward():
            raise RuntimeError("mine")

        def test_it(gradcheck):
            gradcheck(forward)
        """,
    )
    done = outcome(pytester, failed=1)
    done.stdout.fnmatch_lines([">*gradcheck(forward)", ">*raise RuntimeError*", "E*RuntimeError: mine"])
    assert "gradcheck/plugin" not in done.stdout.str()


def test_an_error_of_usage_shows_no_frame_that_is_not_theirs(pytester):
    pytester.makepyfile("import torch\ndef test_it(gradcheck):\n    gradcheck(torch.tanh)\n")
    result = pytester.runpytest_subprocess()
    result.stdout.fnmatch_lines(["*has no parameter or input that requires grad*"])
    result.stdout.no_fnmatch_line("*contextlib*")


def test_an_error_of_ours_keeps_our_frames(pytester, monkeypatch):
    monkeypatch.setattr(verification, "verify", lambda function, **options: None)
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n")
    outcome(pytester, failed=1).stdout.fnmatch_lines(["E*AttributeError*", "*gradcheck/plugin/fixture.py:*"])


def test_a_second_call_in_a_test_has_a_name_of_its_own(pytester, calls):
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n" * 1)
    write(
        pytester,
        test_one_py="""
        def test_it(gradcheck):
            gradcheck(lambda: "pass")
            gradcheck(lambda: "pass")
            gradcheck(lambda: "pass", name="mine")
        """,
    )
    outcome(pytester, passed=1)
    assert [call["name"] for call in calls] == ["test_one.py::test_it", "test_one.py::test_it (2)", "mine"]


# --- options ---


def test_the_nearest_option_wins(pytester, calls):
    pytester.makepyprojecttoml(
        """
        [tool.gradcheck]
        rtol = 1.0
        atol = 1.0
        order = 2
        effort = "every"
        [tool.pytest.ini_options]
        gradcheck_atol = "2.0"
        gradcheck_order = "1"
        gradcheck_effort = "probe"
        """
    )
    write(
        pytester,
        test_one_py="""
        import pytest
        pytestmark = pytest.mark.gradcheck(order=2, effort="auto", seed=3)

        @pytest.mark.gradcheck(effort="every", seed=4)
        def test_it(gradcheck):
            gradcheck(lambda: "pass", seed=5)
        """,
    )
    outcome(pytester, passed=1)
    assert calls == [
        {"name": "test_one.py::test_it", "rtol": 1.0, "atol": 2.0, "order": 2, "effort": "every", "seed": 5}
    ]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("gradcheck_rtol = 1e-5", {"rtol": 1e-5}),
        ("gradcheck_seed = 12", {"seed": 12}),
        ("gradcheck_effort = every", {"effort": "every"}),
        ("gradcheck_variations = False", {"variations": False}),
        ("gradcheck_variations = other sizes, ties", {"variations": ["other sizes", "ties"]}),
    ],
)
def test_options_of_the_ini_file(pytester, calls, line, value):
    pytester.makeini(f"[pytest]\n{line}\n")
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n")
    outcome(pytester, passed=1)
    assert calls == [{"name": "test_one.py::test_it", **value}]


@pytest.mark.parametrize(
    ("ini", "arguments", "sentence"),
    [
        (
            "gradcheck_effort = evry",
            (),
            "*tox.ini: Expected 'probe', 'auto' or 'every' but got effort='evry'*",
        ),
        (
            "gradcheck_targets = modles/*.py",
            (),
            "*No file matches 'modles/[*].py' below *correct gradcheck_targets.",
        ),
        ("gradcheck_targets = ops.py", (), "*No file is 'ops.py' below *"),
        (
            "gradcheck_targets = test_one.py:f",
            (),
            "*names files, but 'test_one.py:f' names one target; write*",
        ),
        ("", ("--gradcheck-seed", "x"), "*Expected 'random' or an integer*got --gradcheck-seed x*"),
        ("", ("--gradcheck-html", "no/such/x.html"), "*Cannot write the HTML report to no/such/x.html*"),
    ],
)
def test_what_cannot_be_used_ends_the_run_before_it_starts(pytester, ini, arguments, sentence):
    pytester.makeini(f"[pytest]\n{ini}\n")
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n")
    done = pytester.runpytest_inprocess(*arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([sentence])


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        ("1e-5", "*UsageError: Expected options by name but got @pytest.mark.gradcheck(1e-05,)*"),
        ("rtoll=1e-5", "*UsageError: Unknown option rtoll=1e-05. Did you mean 'rtol' or 'atol'?"),
    ],
)
def test_a_marker_that_cannot_be_used_fails_the_test(pytester, mark, sentence):
    write(
        pytester,
        test_one_py=f"""
        import pytest

        @pytest.mark.gradcheck({mark})
        def test_it(gradcheck):
            gradcheck(lambda: "pass")
        """,
    )
    outcome(pytester, failed=1).stdout.fnmatch_lines([sentence])


def test_the_marker_is_declared(pytester):
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.gradcheck(*options*): *"])


# --- the seed ---


def test_a_seed_on_the_command_line_replays_a_run(pytester, calls, targets):
    write(
        pytester,
        test_one_py="""
        import pytest

        @pytest.mark.gradcheck(seed=4)
        def test_it(gradcheck):
            gradcheck(lambda: "pass")
        """,
    )
    done = outcome(pytester, "--gradcheck-seed", "7", passed=2, failed=1)
    assert [call["seed"] for call in calls] == [7, 7, 7]
    done.stdout.fnmatch_lines(["*gradcheck: 1 fail, 2 pass (seed 7)*"])


def test_a_random_seed_is_printed(pytester, calls):
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n")
    done = outcome(pytester, "--gradcheck-seed", "random", passed=1)
    done.stdout.fnmatch_lines([f"*(seed {calls[0]['seed']})*"])


# --- targets ---


def test_each_target_is_a_test(pytester, targets):
    done = outcome(pytester, "-v", passed=1, failed=1)
    done.stdout.fnmatch_lines(["models/ops.py::right PASSED*", "models/ops.py::wrong FAILED*"])
    done.stdout.fnmatch_lines(
        [
            "*_ wrong _*",
            "models/ops.py:wrong: FAIL, wrong gradient*",
            "*reproduce: gradcheck verify models/ops.py:wrong*",
        ]
    )


def test_options_of_a_target_win_over_those_of_the_project(pytester, calls, targets):
    pytester.makeini("[pytest]\ngradcheck_targets = models/*.py\ngradcheck_rtol = 1e-9\n")
    outcome(pytester, passed=1, failed=1)
    assert [call["rtol"] for call in calls] == [1e-9, 1e-3]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-k", "right"), {"passed": 1, "deselected": 1}),
        (("-k", "ops and not right"), {"failed": 1, "deselected": 1}),
        (("models/ops.py::wrong",), {"failed": 1}),
        (("models/ops.py",), {"passed": 1, "failed": 1}),
        (("models",), {"passed": 1, "failed": 1}),
        (("-m", "gradcheck"), {"passed": 1, "failed": 1}),
        (("-m", "not gradcheck"), {"deselected": 2}),
        (("-p", "no:terminal"), {}),
        (("-p", "no:cacheprovider"), {"passed": 1, "failed": 1}),
    ],
)
def test_targets_are_selected_like_tests(pytester, targets, calls, arguments, expected):
    done = pytester.runpytest_inprocess(*arguments)
    if expected:
        done.assert_outcomes(**expected)
    else:
        assert done.ret == pytest.ExitCode.TESTS_FAILED
        assert len(calls) == 2


def test_the_last_failed_are_run_again(pytester, targets):
    outcome(pytester, passed=1, failed=1)
    outcome(pytester, "--lf", failed=1)


def test_collecting_shows_targets_and_verifies_nothing(pytester, targets, calls):
    done = pytester.runpytest_inprocess("--collect-only")
    done.stdout.fnmatch_lines(["*<TargetFile ops.py>", "*<TargetItem right>", "*<TargetItem wrong>"])
    assert calls == []


def test_targets_outside_testpaths_are_collected_once_and_as_nothing_else(pytester, targets):
    pytester.makeini("[pytest]\ntestpaths = tests\ngradcheck_targets = models/*.py tests/*.py\n")
    write(pytester, tests__test_one_py=TWO_TARGETS + "\n    def test_plain():\n        pass\n")
    write(pytester, models__other_py="def test_that_is_none():\n    assert False, 'gradcheck'\n")
    done = outcome(pytester, "-v", passed=3, failed=2)
    assert sorted(line.split()[0] for line in done.outlines if " PASSED" in line or " FAILED" in line) == [
        "models/ops.py::right",
        "models/ops.py::wrong",
        "tests/test_one.py::right",
        "tests/test_one.py::test_plain",
        "tests/test_one.py::wrong",
    ]


def test_files_of_one_name_in_two_folders_do_not_get_in_each_others_way(pytester, targets):
    write(pytester, models__deep__ops_py=TWO_TARGETS)
    pytester.makeini("[pytest]\ngradcheck_targets = models/**/*.py\n")
    outcome(pytester, passed=2, failed=2)
    outcome(pytester, "models/deep/ops.py::right", "models/ops.py::right", passed=2)


def test_a_file_that_never_names_us_is_not_loaded(pytester, targets):
    write(pytester, models__loud_py="raise SystemExit('loaded')\n")
    outcome(pytester, passed=1, failed=1)


def test_a_file_that_cannot_be_loaded_is_an_error_with_the_users_traceback(pytester, targets):
    write(pytester, models__broken_py="import gradcheck\n\ndef f():\n    return 1 / 0\n\nf()\n")
    done = pytester.runpytest_inprocess("--continue-on-collection-errors")
    done.assert_outcomes(errors=1, passed=1, failed=1)
    done.stdout.fnmatch_lines(["*ERROR collecting models/broken.py*", "*line 4, in f", "*ZeroDivisionError*"])
    assert "gradcheck/targets" not in done.stdout.str()


def test_marks_on_a_target_hold(pytester, calls):
    write(
        pytester,
        ops_py="""
        import gradcheck, pytest

        @pytest.mark.skip(reason="not now")
        @gradcheck.target
        def skipped():
            return (lambda: "fail"),

        @gradcheck.target
        @pytest.mark.xfail(strict=True)
        def known():
            return (lambda: "fail"),

        @pytest.mark.gradcheck(atol=0.5)
        @gradcheck.target
        def loose():
            return (lambda: "pass"),
        """,
    )
    pytester.makeini("[pytest]\ngradcheck_targets = ops.py\n")
    outcome(pytester, "--strict-markers", passed=1, skipped=1, xfailed=1)
    assert [call.get("atol") for call in calls] == [None, 0.5]


def test_a_target_that_raises_says_so_in_the_users_words(pytester):
    write(pytester, ops_py="import gradcheck\n\n@gradcheck.target\ndef broken():\n    return 1 / 0\n")
    pytester.makeini("[pytest]\ngradcheck_targets = ops.py\n")
    done = outcome(pytester, "--gradcheck-json", "report.json", failed=1)
    done.stdout.fnmatch_lines(
        ["*ops.py:broken raised ZeroDivisionError*", '*File "ops.py", line 5, in broken*']
    )
    run = run_from_dict(json.loads((pytester.path / "report.json").read_text()))
    assert [failure.target for failure in run.failures] == ["ops.py::broken"]


# --- the summary ---


def test_the_summary_has_a_line_for_each_subject(pytester, targets):
    done = outcome(pytester, passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*= gradcheck: 1 fail, 1 pass (seed 0) =*",
            "pass  models/ops.py:right  fc1.bias    11.4 digits  412 evaluations  500 ms",
            "FAIL  models/ops.py:wrong  fc1.weight  0.0 digits   412 evaluations  500 ms",
        ]
    )


def test_a_run_that_verifies_nothing_says_nothing(pytester):
    write(pytester, test_one_py="def test_it():\n    pass\n")
    assert "gradcheck:" not in outcome(pytester, passed=1).stdout.str()


def test_a_quiet_run_in_which_all_pass_has_one_line(pytester):
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n")
    told = outcome(pytester, "-q", passed=1).outlines
    assert [line for line in told if "gradcheck" in line] == [f"{' gradcheck: 1 pass (seed 0) ':=^80}"]
    assert not any(line.startswith("and 1 more") for line in told)


MANY = """
    import pytest

    @pytest.mark.parametrize("seed", range(30))
    def test_it(gradcheck, seed):
        gradcheck(lambda: "fail" if seed == 29 else "pass", seed=seed)
"""


@pytest.mark.parametrize(("flag", "lines"), [("-q", 1), ("--tb=no", 21), ("-v", 30)])
def test_the_summary_of_many_subjects_is_short_unless_asked(pytester, flag, lines):
    write(pytester, test_many_py=MANY)
    done = outcome(pytester, flag, passed=29, failed=1)
    told = [
        line for line in done.outlines if line.endswith((" s", " ms")) and line.startswith(("pass ", "FAIL "))
    ]
    assert len(told) == lines
    assert any("test_it[29]" in line for line in told)
    assert ("and 9 more subjects that pass; -v shows all" in done.outlines) == (lines == 21)
    done.stdout.fnmatch_lines(["slowest: test_many.py::test_it[[]29] 29.5 s, *", "*seeds 0, 1, 2, ...*"][:1])


def test_a_test_that_runs_twice_counts_once(pytester, calls):
    write(
        pytester,
        conftest_py="""
        import pytest
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for _ in range(2):
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    item.ihook.pytest_runtest_logreport(report=report)
            return True
        """,
        test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'pass')\n",
    )
    done = pytester.runpytest_inprocess()
    assert len(calls) == 2
    done.stdout.fnmatch_lines(["*gradcheck: 1 pass (seed 0)*"])


# --- reports ---


def test_json_and_html_reports_are_written(pytester, targets):
    write(pytester, test_one_py="def test_it(gradcheck):\n    gradcheck(lambda: 'inconclusive')\n")
    done = outcome(pytester, "--gradcheck-json=a.json", "--gradcheck-html=a.html", passed=1, failed=2)
    done.stdout.fnmatch_lines(["HTML report: a.html", "JSON report: a.json"])
    run = run_from_dict(json.loads((pytester.path / "a.json").read_text()))
    assert run.verdict is Verdict.FAIL
    assert run.complete
    assert [group.name for group in run.groups] == ["models/ops.py", "test_one.py"]
    assert [each.name for each in run.reports] == [
        "models/ops.py:right",
        "models/ops.py:wrong",
        "test_one.py::test_it",
    ]
    assert (pytester.path / "a.html").read_text() == to_html(run.reports)


def test_reports_are_written_without_a_terminal(pytester, targets):
    pytester.runpytest_inprocess("-p", "no:terminal", "--gradcheck-json=a.json")
    assert len(run_from_dict(json.loads((pytester.path / "a.json").read_text())).reports) == 2


def test_an_interrupted_run_reports_what_it_has_and_says_so(pytester):
    write(
        pytester,
        test_one_py="""
        def test_first(gradcheck):
            gradcheck(lambda: "pass")

        def test_second():
            raise KeyboardInterrupt
        """,
    )
    pytester.runpytest_inprocess("--gradcheck-json=a.json", no_reraise_ctrlc=True)
    run = run_from_dict(json.loads((pytester.path / "a.json").read_text()))
    assert len(run.reports) == 1
    assert not run.complete


def test_reports_do_not_end_up_in_junit_properties(pytester, targets):
    pytester.runpytest_inprocess("--junit-xml=junit.xml")
    assert "<properties" not in (pytester.path / "junit.xml").read_text()


# --- hypothesis ---


def test_hypothesis_shrinks_and_does_not_complain(pytester, calls):
    write(
        pytester,
        test_one_py="""
        from hypothesis import given, settings, strategies as st

        @settings(database=None, deadline=None)
        @given(size=st.integers(0, 1000))
        def test_it(gradcheck, size):
            gradcheck(lambda: "pass" if size < 17 else "fail" if size > 40 else "inconclusive")
        """,
    )
    done = outcome(pytester, "-W", "error", failed=1)
    assert "size=41" in done.stdout.str()
    assert "HealthCheck" not in done.stdout.str()
    assert len(calls) > 5


def test_a_hypothesis_test_is_one_subject(pytester):
    write(
        pytester,
        test_one_py="""
        from hypothesis import given, settings, strategies as st

        @settings(database=None, max_examples=20)
        @given(size=st.integers(0, 1000))
        def test_it(gradcheck, size):
            gradcheck(lambda: "pass")
        """,
    )
    outcome(pytester, "--gradcheck-json=a.json", passed=1)
    (kept,) = run_from_dict(json.loads((pytester.path / "a.json").read_text())).reports
    assert kept.notes == ("one of 20 examples that hypothesis tried",)


# --- what it costs, and other processes ---


def test_loading_the_plugin_imports_nothing_heavy(pytester):
    write(
        pytester,
        conftest_py="""
        import sys

        HEAVY = {"torch", "numpy", "hypothesis", "rich", "click", "jinja2", "matplotlib", "tomllib"}

        def pytest_unconfigure(config):
            assert config.pluginmanager.has_plugin("gradcheck-ledger")
            print("heavy:", sorted(HEAVY & set(sys.modules)))
        """,
        test_one_py="def test_it():\n    pass\n",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=pytester.path, check=False)
    assert "heavy: []" in done.stdout, done.stdout + done.stderr


REAL = """
    import numpy as np

    def loss(params):
        return np.sin(params["w"]).sum()

    def test_right(gradcheck):
        gradcheck(loss, {"w": np.arange(3.0)}, gradient=lambda p: {"w": np.cos(p["w"])})

    def test_wrong(gradcheck):
        gradcheck(loss, {"w": np.arange(3.0)}, gradient=lambda p: {"w": np.cos(p["w"]) / 2})
"""


def test_xdist_workers_send_what_they_verified_under_warnings_as_errors(pytester):
    pytest.importorskip("xdist")
    write(pytester, test_real_py=REAL)
    arguments = [
        "-n2",
        "-W",
        "error",
        "--gradcheck-json=a.json",
        "--gradcheck-html=a.html",
        "--gradcheck-seed=random",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=pytester.path, check=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    run = run_from_dict(json.loads((pytester.path / "a.json").read_text()))
    assert {each.name: each.verdict for each in run.reports} == {
        "test_real.py::test_right": Verdict.PASS,
        "test_real.py::test_wrong": Verdict.FAIL,
    }
    assert len({each.seed for each in run.reports}) == 1
    assert f"(seed {run.seed})" in done.stdout
    assert "test_real.py::test_wrong" in (pytester.path / "a.html").read_text()
