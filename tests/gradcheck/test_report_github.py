"""GitHub shows each discrepancy at the blamed line, and nothing in a name can pass for a command."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sample_reports as samples

from gradcheck.errors import UsageError
from gradcheck.report.github import to_annotations, to_summary, write_summary
from gradcheck.report.records import Diagnosis, Verdict
from gradcheck.report.run import Failure, Group, Run


def run_of(*reports, failures=(), generated=False):
    return Run(Verdict.FAIL, (Group("model.py", reports, generated),), failures)


@pytest.fixture(autouse=True)
def _outside_of_github(monkeypatch, tmp_path):
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_an_error_is_annotated_at_the_blamed_line():
    (line,) = to_annotations(run_of(samples.failing_report())).splitlines()
    assert line.startswith(
        "::error file=model.py,line=40,title=wrong gradient::enters at model.py:40, MyLinear"
    )
    assert "%0Afc1.weight (64, 784): wrong gradient in" in line
    assert line.endswith("%0Areproduce: gradcheck verify model.py:mlp --seed 3")


@pytest.mark.parametrize("blamed", [True, False])
def test_the_line_whose_change_helps_is_annotated_and_the_change_told(blamed):
    change = Diagnosis("slip", "w's gradient is right with `a` instead of `b`", 1.0, {"place": "net.py:7"})
    wrong = replace(samples.failing("w"), diagnoses=(change,))
    blames = samples.failing_report().blames if blamed else ()
    text = to_annotations(run_of(samples.report(wrong, blames=blames, location="model.py:12")))
    assert text.startswith("::error file=net.py,line=7,title=wrong gradient::")
    assert "%0Aw's gradient is right with `a` instead of `b`" in text


def test_without_blame_the_target_is_annotated():
    report = samples.failing_report(blames=(), location="models/mlp.py:12")
    assert to_annotations(run_of(report)).startswith(
        "::error file=models/mlp.py,line=12,title=wrong gradient::"
    )


def test_a_path_is_that_seen_from_the_root_of_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    report = samples.failing_report(blames=(), location="model.py:12")
    assert f"file={tmp_path.name}/model.py,line=12" in to_annotations(run_of(report))


def test_inconclusive_is_a_warning_a_waiver_a_notice_and_errors_come_first():
    run = run_of(
        samples.report(samples.passing(), samples.waived()),
        samples.report(samples.inconclusive()),
        samples.failing_report(),
        failures=(Failure("other.py:x", "boom"),),
    )
    lines = to_annotations(run).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::notice"]
    assert lines[0] == "::error file=other.py,title=target not verified::boom"
    assert "padding_idx" in lines[3]


def test_a_pass_is_not_annotated():
    assert to_annotations(run_of(samples.report(samples.passing()))) == ""


def test_a_hostile_name_cannot_end_a_command_or_start_one():
    name = "x\n::error::owned\r::stop-commands::a,b:c%0A"
    report = samples.report(samples.failing(name), name=name, location=f"{name}.py:3")
    for text in (to_annotations(run_of(report)), to_annotations(run_of(failures=(Failure(name, name),)))):
        assert len(text.splitlines()) == 1
        head, _, _ = text.removeprefix("::error ").partition("::")
        assert all(re.fullmatch(r"\w+=[^,:]*", item) for item in head.split(","))


def test_the_summary_tells_verdict_table_and_reports():
    text = to_summary(
        run_of(samples.failing_report(name="mlp"), samples.report(samples.passing(), name="ok"))
    )
    assert text.startswith("## gradcheck: FAIL&#58; 1 of 2 targets with a wrong gradient")
    assert "| mlp | FAIL | 4 | 0.0 | 830 ms |" in text
    assert "| ok | pass | 1 | 11.4 | 830 ms |" in text
    assert text.count("<details>") == 1
    assert "worst at [17, 203]" in text


def test_the_summary_of_generated_cases_counts_them():
    text = to_summary(run_of(samples.report(samples.passing()), samples.failing_report(), generated=True))
    assert "| model.py | 2 | 1 | 1 | 0 |" in text


def test_hostile_names_stay_text_in_markdown():
    report = samples.hostile_report()
    text = to_summary(run_of(report, failures=(Failure("```\n</details>", "````\n<script>"),)))
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    assert "<script>" not in outside
    assert "onerror=" not in outside.replace("&#61;", "=") or "<img" not in outside
    assert outside.count("</details>") == 2


def test_a_long_summary_stays_below_the_limit_in_whole_parts():
    report = samples.report(samples.failing(notes=("x" * 50_000,)))
    text = to_summary(run_of(*[report] * 30))
    assert len(text.encode()) < 1024 * 1024
    assert text.endswith("</details>\n\nCut here; the log has the rest.\n")


def test_the_summary_is_appended_where_github_says(tmp_path):
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    write_summary(run_of(samples.failing_report()), {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text().startswith("before\n## gradcheck: FAIL")
    write_summary(run_of(), {})
    with pytest.raises(UsageError, match="Cannot write the job summary"):
        write_summary(run_of(), {"GITHUB_STEP_SUMMARY": str(tmp_path)})
