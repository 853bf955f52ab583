"""A run over the suite counts right, shows each failure small, and loses nothing."""

from __future__ import annotations

import json

import pytest
from suite_engines import Forgetful, Only, Raising, with_vjp

from cases import generate, load
from gradcheck import verify_case
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.torch import TorchEngine
from gradcheck.errors import UsageError
from gradcheck.report.records import Verdict
from gradcheck.suite import run_suite
from gradcheck.suite.blame import ADDING_UP
from reference_impl import RULES

LARGE = ("mlp", "dag", "block")


def run(engine, tmp_path, **options):
    given = {"cases": 9, "include_lecture": False, "folder": tmp_path / "found", "families": LARGE, **options}
    return run_suite(engine, **given)


@pytest.mark.parametrize("engine", [ReferenceEngine(), TorchEngine()])
def test_right_engines_pass_and_leave_no_file(engine, tmp_path):
    seen = []
    result = run(engine, tmp_path, on_result=lambda report, case: seen.append((case.name, report.verdict)))
    assert result.verdict is Verdict.PASS
    assert result.complete
    assert [(row.family, row.cases, row.passed) for row in result.families] == [
        ("mlp", 3, 3),
        ("dag", 3, 3),
        ("block", 3, 3),
    ]
    expected = [generate(family, seed).name for seed in range(3) for family in LARGE]
    assert [name for name, _ in seen] == expected
    assert 0 < result.resolution < 1e-8
    assert not (tmp_path / "found").exists()


def test_the_worked_examples_are_run_where_no_family_is_named(tmp_path):
    result = run(ReferenceEngine(), tmp_path, cases=0, include_lecture=None, families=None)
    assert [row.family for row in result.families] == ["lecture"]
    assert run(ReferenceEngine(), tmp_path, cases=0, include_lecture=None, families=["mlp"]).cases == 0


def test_every_operation_of_a_passing_run_has_agreed(tmp_path):
    result = run(ReferenceEngine(), tmp_path)
    assert all(row.run == row.agreed > 0 == row.disagreed for row in result.operations)
    names = {n.operation for f in LARGE for s in range(3) for n in generate(f, s).graph.nodes}
    assert {row.operation for row in result.operations} == names


@pytest.mark.parametrize(("engine", "has"), [(ReferenceEngine(), True), (TorchEngine(), False)])
def test_engines_that_have_complex_numbers_are_verified_on_them(engine, has, tmp_path):
    result = run(engine, tmp_path, cases=10, families=None)
    assert ("complex" in {row.family for row in result.families}) is has
    assert result.verdict is Verdict.PASS


def test_a_wrong_operation_is_counted_shrunk_saved_and_shown_again(tmp_path):
    engine = with_vjp("matmul", lambda cotangents: (cotangents[0], 1.0001 * cotangents[1]))
    reports = []
    result = run(engine, tmp_path, spec="my_engine.py:engine", on_result=lambda r, case: reports.append(r))
    assert result.verdict is Verdict.FAIL
    rows = {row.operation: row for row in result.operations}
    assert rows["matmul"].disagreed == len(result.failures) > 1
    assert all(row.disagreed == 0 for name, row in rows.items() if name != "matmul")

    first, second = result.failures[:2]
    assert [blame.operation for blame in first.report.blames] == ["matmul"]
    assert next(node.operation for node in first.minimal.graph.nodes) == "matmul"
    assert sum(value.size for value in first.minimal.values.values()) <= 3
    assert first.command == f"gradcheck verify my_engine.py:engine --case {first.path}"
    assert verify_case(load(first.path), engine).verdict is Verdict.FAIL
    assert verify_case(load(first.path), ReferenceEngine()).verdict is Verdict.PASS

    assert second.path is None
    words = f"--family {second.case.family} --seed {second.case.seed} --cases 1"
    assert second.command == f"gradcheck verify my_engine.py:engine {words}"
    replayed = run(engine, tmp_path, families=[second.case.family], seed=second.case.seed, cases=1)
    assert [failure.case.name for failure in replayed.failures] == [second.case.name]
    assert [r.reproduce for r in reports if not r.ok] == [failure.command for failure in result.failures]


def test_only_whole_files_are_left(tmp_path):
    run(with_vjp("matmul", lambda c: tuple(-x for x in c)), tmp_path)
    files = list((tmp_path / "found").iterdir())
    assert [path.suffix for path in files] == [".json"]
    assert json.loads(files[0].read_text())["format"] == "gradcheck case"


def test_adding_up_is_found_at_fault_and_keeps_the_path_that_is_forgotten(tmp_path):
    result = run(Forgetful(), tmp_path, cases=12, families=["block"])
    kinds = {blame.operation for failure in result.failures for blame in failure.report.blames}
    assert kinds == {ADDING_UP}
    inputs = [name for node in result.failures[0].minimal.graph.nodes for name in node.inputs]
    assert any(inputs.count(name) > 1 for name in inputs)


def test_cases_with_an_operation_that_the_engine_lacks_are_skipped_and_counted(tmp_path):
    skipped = []
    result = run(Only("prod"), tmp_path, on_skip=lambda case, why: skipped.append(why))
    assert sum(row.skipped for row in result.families) == len(skipped) > 0
    assert "matmul" in {name for why in skipped for name in why.split(", ")}
    rows = {row.operation: row for row in result.operations}
    assert rows["matmul"].unsupported > 0 == rows["matmul"].run
    assert result.verdict is Verdict.PASS


def test_of_cases_that_it_has_in_part_an_engine_is_verified_on_the_part(tmp_path):
    seen = []
    lacking = {"matmul", "tanh", "multiply"}
    engine = Only(*(RULES.keys() - lacking))
    result = run(engine, tmp_path, on_result=lambda report, case: seen.append(case))
    parts = [case for case in seen if case.name.startswith("part of ")]
    assert sum(row.partial for row in result.families) == len(parts) > 0
    assert not lacking & {node.operation for case in seen for node in case.graph.nodes}
    rows = {row.operation: row for row in result.operations}
    assert rows["matmul"].unsupported > 0 == rows["matmul"].run
    assert rows["add"].agreed == rows["add"].run > 0


def test_not_implemented_while_running_is_skipped_too(tmp_path):
    result = run(Raising("matmul", NotImplementedError), tmp_path)
    assert sum(row.skipped for row in result.families) > 0
    assert not result.problems


def test_an_engine_that_raises_does_not_end_the_run(tmp_path):
    result = run(Raising("matmul"), tmp_path)
    assert sum(row.errors for row in result.families) == len(result.problems) > 0
    assert sum(row.passed for row in result.families) == 9 - len(result.problems) > 0
    assert "raised RuntimeError: not today" in result.problems[0].message


def test_ctrl_c_returns_what_was_verified_so_far(tmp_path):
    seen = []

    def take(report, case):
        seen.append(case)
        if len(seen) == 4:
            raise KeyboardInterrupt

    result = run(ReferenceEngine(), tmp_path, on_result=take)
    assert not result.complete
    assert result.cases == 4


def test_what_an_earlier_run_has_verified_is_left_out(tmp_path):
    seen = []
    run(
        ReferenceEngine(),
        tmp_path,
        cases=6,
        done={"dag 0", "block 1", "lecture 99"},
        on_result=lambda report, case: seen.append((case.family, case.seed)),
    )
    assert seen == [("mlp", 0), ("block", 0), ("mlp", 1), ("dag", 1)]


def test_options_reach_the_verification(tmp_path):
    engine = with_vjp("matmul", lambda cotangents: tuple(1.01 * c for c in cotangents))
    given = {"families": ["mlp"], "cases": 3}
    assert run(engine, tmp_path, **given, options={"rtol": 0.5}).verdict is Verdict.PASS
    assert run(engine, tmp_path, **given).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "at least one process but got jobs=0"),
        ({"families": ["no"]}, "Unknown family 'no'"),
        ({"options": {"rtl": 1}}, "Unknown option rtl=1"),
        ({"cases": -2}, "cases=-2"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(options, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        run(ReferenceEngine(), tmp_path, **options)


def test_what_is_no_engine_is_refused(tmp_path):
    with pytest.raises(UsageError, match="Expected an engine but got str"):
        run("reference", tmp_path)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "found").write_text("in the way")
    with pytest.raises(UsageError, match="Cannot save the counterexample to"):
        run(with_vjp("matmul", lambda c: tuple(-x for x in c)), tmp_path)
