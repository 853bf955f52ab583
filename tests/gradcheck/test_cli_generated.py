"""``gradcheck verify`` on generated and saved cases, for the reference implementation and for engines."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import sample_reports as samples

import cases
from gradcheck.cli import main
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.report.json import run_from_dict
from gradcheck.report.records import Verdict
from gradcheck.suite import FamilyRow, OperationRow, Problem, SuiteResult, run_suite
from gradcheck.targets.place import is_from

ENGINE = """
    import gradcheck
    from reference_impl import value_and_gradients

    class Engine:
        name = "mine"

        def supports(self, operation):
            return operation not in ("sin", "conv2d")

        def value_and_gradients(self, graph, values):
            from helper import wrong
            value, gradients = value_and_gradients(graph, values)
            if any(node.operation == "tanh" for node in graph.nodes):
                gradients = {name: wrong(gradient) for name, gradient in gradients.items()}
            return value, gradients

    class Raising(Engine):
        name = "raising"

        def value_and_gradients(self, graph, values):
            raise RuntimeError("out of order")

    class Leaving(Engine):
        name = "leaving"

        def value_and_gradients(self, graph, values):
            raise SystemExit(0)

    class Unsure(Engine):
        name = "unsure"

        def supports(self, operation):
            raise KeyError(operation)

    class Unnamed(Engine):
        name = "unnamed"

        def value_and_gradients(self, graph, values):
            return 0.0, {"nobody": 0.0}

    class Misshapen(Engine):
        name = "misshapen"

        def value_and_gradients(self, graph, values):
            import numpy as np
            value, gradients = value_and_gradients(graph, values)
            return value, {name: np.zeros((7, 7, 7)) for name in gradients}

    class Half:
        name = "half"

        def value_and_gradients(self, graph, values):
            raise NotImplementedError

    class Unable(Engine):
        name = "unable"

        def supports(self, operation):
            return False

    class Wrong(Engine):
        name = "wrong"

        def value_and_gradients(self, graph, values):
            value, gradients = value_and_gradients(graph, values)
            return value, {name: 2 * gradient for name, gradient in gradients.items()}

    unable, wrong = Unable(), Wrong()
    engine, raising, leaving, unsure, half = Engine(), Raising(), Leaving(), Unsure(), Half()
    unnamed, misshapen = Unnamed(), Misshapen()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_engine.py").write_text(textwrap.dedent(ENGINE))
    (tmp_path / "helper.py").write_text("def wrong(gradient):\n    return -gradient\n")
    yield
    for name, module in list(sys.modules.items()):
        if is_from(module, tmp_path.resolve()):
            del sys.modules[name]


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["verify", *map(str, arguments)])
        return left.value.code, *capsys.readouterr()

    return run


def test_the_reference_implementation_is_right(run):
    status, out, err = run("--cases", 10, "--seed", 3, "--json", "r.json")
    assert (status, err) == (0, "")
    rows = [line.split()[:3] for line in out.splitlines()[1:8]]
    counts = {"operation": 4, "mlp": 1, "dag": 1, "block": 1, "kink": 1, "complex": 2}
    assert rows == [["lecture", "14", "14"], *([name, str(n), str(n)] for name, n in counts.items())]
    assert "pass: 24 cases, every gradient right (" in out
    assert "cases per second, seed 3)" in out
    read = run_from_dict(json.loads(Path("r.json").read_text()))
    assert {group.name: len(group.reports) for group in read.groups[1:]} == counts
    assert {operation.engine for operation in read.operations} == {"reference"}


def test_a_family_is_chosen_and_v_shows_every_parameter(run):
    _, out, _ = run("--cases", 1, "--family", "mlp", "-v")
    assert out.count("would see") == 1
    assert "lecture" not in out


def test_a_wrong_engine_is_caught_with_the_smallest_case_and_a_command_that_shows_it(run):
    status, out, _ = run("my_engine.py:engine", "--cases", 12, "--family", "mlp")
    assert status == 1
    assert "enters in tanh" in out
    (command,) = {line.strip() for line in out.splitlines() if "reproduce" in line and "--case " in line}
    saved = command.split("--case ")[1]
    assert cases.load(saved).graph.nodes[0].operation == "tanh"
    row = next(line.split() for line in out.splitlines() if line.startswith("tanh "))
    assert (row[2], int(row[3]) > 0) == ("0", True)
    status, out, _ = run("my_engine.py:engine", "--case", saved)
    assert status == 1
    assert f"reproduce: gradcheck verify my_engine.py:engine --case {saved}" in out
    assert "FAIL: 1 of 1 case with a wrong gradient" in out


def test_an_engine_that_raises_is_told_once_and_is_no_discrepancy(run):
    status, out, err = run("my_engine.py:raising", "--cases", 3, "--family", "mlp")
    assert status == 2
    assert err.count("out of order") == 1
    assert "2 more cases" in err or "1 more case" in err
    assert "nothing was verified" in out or "not verified" in out


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ("leaving", "Engine 'leaving' raised SystemExit: 0 (in value_and_gradients, on a graph of"),
        ("unsure", "(in supports); call it alone"),
        ("unnamed", "Engine 'unnamed' returned no gradient for"),
        ("misshapen", "with shape (7, 7, 7); return it with the shape"),
        ("half", "is no engine yet: it has a name, supports(operation) and value_and_gradients"),
        ("Engine", "is the class Engine, and an engine is an instance: it has a name"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_engine_that_does_anything_but_answer_is_no_success(run, engine, sentence, jobs, tmp_path):
    status, out, err = run(f"my_engine.py:{engine}", "--cases", 1, "--family", "mlp", "--jobs", jobs)
    assert status == 2
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert "not verified" in out
    saved = list(tmp_path.rglob("*.json"))
    assert [f"--case {path.relative_to(tmp_path)}" in out for path in saved] == [True] * len(saved)


def test_an_engine_that_raises_leaves_its_traceback_and_the_smallest_case(run):
    status, out, err = run("my_engine.py:raising", "--cases", 3, "-v", "--json", "r.json")
    assert status == 2
    assert "error: 17 cases not verified" in out
    assert 'File "my_engine.py", line 2' in err
    assert "gradcheck/" not in err
    (failure,) = run_from_dict(json.loads(Path("r.json").read_text())).failures
    assert (failure.count, failure.noun) == (17, "case")
    assert 'raise RuntimeError("out of order")' in failure.message
    (command,) = [line.split("gradcheck verify ")[1] for line in out.splitlines() if "reproduce" in line]
    assert len(cases.load(command.split("--case ")[1]).graph.nodes) == 1
    status, _, err = run(*command.split())
    assert status == 2
    assert 'raise RuntimeError("out of order")' in err


def test_an_engine_that_exits_on_a_saved_case_is_no_success(run):
    cases.save(cases.generate("mlp", 1), "one.json")
    status, _, err = run("my_engine.py:leaving", "--case", "one.json", "--json", "r.json")
    assert status == 2
    assert "SystemExit: 0" in err
    assert Path("r.json").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_verifies_nothing_is_no_success(run, jobs):
    status, _, err = run("my_engine.py:unable", "--cases", 3, "--jobs", jobs, "--json", "r.json")
    assert status == 2
    assert "my_engine.py:unable has no operation of the 17 cases, so that nothing was verified; make" in err
    assert run_from_dict(json.loads(Path("r.json").read_text())).verdict is Verdict.INCONCLUSIVE


def test_a_pipe_that_is_closed_is_no_defect(tmp_path):
    command = [sys.executable, "-m", "gradcheck", "verify", "my_engine.py:wrong", "--cases", "40"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141
    process.stderr.close()


def test_saved_cases_are_verified_by_the_reference_implementation(run):
    cases.save(cases.generate("dag", 1), "one.json")
    cases.save(cases.generate("mlp", 1), "two.json")
    status, out, _ = run("--case", "one.json", "--case", "two.json", "--junit", "r.xml")
    assert status == 0
    assert "pass: 2 cases, every gradient right" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--case", "helper.py"], "helper.py, at line 1"),
        (["--case", "none.json"], "none.json"),
        (["my_engine.py:engine", "--family", "mpl"], "Did you mean 'mlp'"),
        (["--case", "none.json", "--cases", "5"], "--case names saved cases, and --cases is about generated"),
        (["--case", "none.json", "--family", "mlp"], "--case names saved cases, and --family is about"),
        (["--cases", "5", "--order", "2"], "--order is about targets, and engines on cases have none of it"),
        (["my_engine.py:engine", "--no-variations"], "--no-variations is about targets, and engines on"),
        (["--variations", "zeros"], "--variations is about targets, and engines on cases have none"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(run, arguments, words):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


seen = []


def suite(result, engine, *, on_result, on_skip, **options):
    seen.append(options["done"])
    case = cases.generate("mlp", 0)
    on_result(samples.report(samples.passing(), name="mlp 0"), case)
    on_skip(case, "sin")
    return result


def test_skipped_cases_and_operations_are_counted(run, monkeypatch):
    result = SuiteResult(
        "mine",
        families=(FamilyRow("mlp", cases=3, passed=1, skipped=2),),
        operations=(OperationRow("add", 1, 1, 0, 0), OperationRow("sin", 0, 0, 0, 2)),
        notes=("one process did all the work",),
    )
    monkeypatch.setattr("gradcheck.suite.run_suite", partial(suite, result))
    status, out, _ = run("my_engine.py:engine", "--cases", 3)
    assert status == 0
    assert out.splitlines()[0] == "note: one process did all the work"
    assert out.splitlines()[2].split()[:6] == ["mlp", "1", "1", "0", "0", "2"]
    assert [line.split() for line in out.splitlines()[3:5]] == [
        ["operation", "cases", "agreed", "disagreed", "unsupported"],
        ["sin", "0", "0", "0", "2"],
    ]


def test_an_interrupted_suite_tells_what_was_verified(run, monkeypatch):
    result = SuiteResult("mine", families=(FamilyRow("mlp", cases=1, passed=1),), complete=False)
    monkeypatch.setattr("gradcheck.suite.run_suite", partial(suite, result))
    status, out, _ = run("--cases", 3)
    assert status == 130
    assert "stopped before the end: 1 case, every gradient right so far" in out
    seen.clear()
    assert run("--cases", 3, "--resume")[0] == 130
    assert seen == [{"mlp 0"}]


def test_cases_that_are_done_are_left_out():
    found = []
    result = run_suite(
        ReferenceEngine(),
        cases=3,
        families=["mlp"],
        done={"mlp 1"},
        on_result=lambda _, case: found.append(case.seed),
    )
    assert result.cases == 2
    assert found == [0, 2]


def test_what_an_engine_did_instead_of_answering_is_told_once(run, monkeypatch):
    problems = tuple(Problem(f"mlp {i}", "Engine 'mine' returned None") for i in range(5))
    monkeypatch.setattr("gradcheck.suite.run_suite", partial(suite, SuiteResult("mine", problems=problems)))
    status, _, err = run("--cases", 3)
    assert status == 2
    assert err == "gradcheck: mlp 0 and 4 more cases: Engine 'mine' returned None\n"
