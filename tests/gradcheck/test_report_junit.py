"""JUnit files follow the schema that Jenkins validates against, and say the same as the text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
import sample_reports as samples

from gradcheck.report.junit import to_junit
from gradcheck.report.records import Verdict
from gradcheck.report.run import Failure, Group, Run

# junit-10.xsd of the Jenkins xUnit plugin, as far as it is used: attributes (required first), and children.
RESULT = (set(), {"type", "message"}, set())
SCHEMA = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"time", "skipped"}, {"testcase"}),
    "testcase": ({"name"}, {"time", "classname"}, {"failure", "error", "skipped"}),
    "failure": RESULT,
    "error": RESULT,
    "skipped": RESULT,
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def validate(element):
    required, optional, children = SCHEMA[element.tag]
    assert required <= set(element.attrib) <= required | optional
    assert TIME.fullmatch(element.get("time", ""))
    for child in element:
        assert child.tag in children
        validate(child)


def parsed(run, **options):
    root = ElementTree.fromstring(to_junit(run, **options))
    validate(root)
    return root


def run_of(*reports, failures=(), generated=False):
    return Run(Verdict.FAIL, (Group("model.py", reports, generated),), failures)


def test_each_parameter_and_each_variation_is_a_test_case():
    root = parsed(run_of(samples.failing_report(name="model.py:mlp")))
    suite = root.find("testsuite")
    assert suite.get("name") == "model.py:mlp"
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found == {
        "fc1.weight": ["failure"],
        "fc1.bias": [],
        "fc2.weight": ["error"],
        "embedding.weight": ["skipped"],
        "variation: transposed inputs": ["failure"],
        "variation: each output alone": [],
        "variation: other sizes": ["skipped"],
    }
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "2", "1")


def test_a_failure_tells_the_numbers_the_blame_and_how_to_reproduce_it():
    failure = parsed(run_of(samples.failing_report())).find(".//failure")
    assert failure.get("message") == "fc1.weight (64, 784): wrong gradient in 50,176 of 50,176 entries"
    assert "worst at [17, 203]: claimed -0.00412" in failure.text
    assert "enters at model.py:40, MyLinear.apply" in failure.text
    assert "reproduce: gradcheck verify model.py:mlp --seed 3" in failure.text


def test_a_waiver_is_skipped_with_its_reason():
    skipped = parsed(run_of(samples.report(samples.waived()))).find(".//skipped")
    assert skipped.get("type") == "waived"
    assert "padding_idx" in skipped.get("message")


def test_inconclusive_is_an_error_unless_it_is_allowed():
    run = run_of(samples.report(samples.inconclusive()))
    assert parsed(run).find(".//error").get("type") == "inconclusive"
    assert parsed(run, allow_inconclusive=True).find(".//skipped").get("type") == "inconclusive"


def test_a_generated_case_is_one_test_case():
    root = parsed(
        run_of(samples.report(samples.passing(), name="dag 7"), samples.failing_report(), generated=True)
    )
    passed, failed = root.iter("testcase")
    assert (passed.get("name"), list(passed)) == ("dag 7", [])
    assert "wrong gradient for fc1.weight" in failed.find("failure").get("message")


@pytest.mark.parametrize("verdict", Verdict)
def test_a_report_without_parameters_is_still_a_test_case(verdict):
    (case,) = parsed(run_of(samples.report(message="no loss", verdict=verdict))).iter("testcase")
    assert [child.tag for child in case] == {"pass": [], "fail": ["failure"], "inconclusive": ["error"]}[
        verdict
    ]


def test_a_target_that_could_not_be_verified_is_an_error_with_its_traceback():
    error = parsed(run_of(failures=(Failure("other.py:x", "other.py:x raised\nTraceback"),))).find(".//error")
    assert (error.get("type"), error.get("message")) == ("TargetError", "other.py:x raised")
    assert error.text == "other.py:x raised\nTraceback"


def test_hostile_names_stay_text():
    report = samples.hostile_report()
    root = parsed(run_of(report, failures=(Failure("]]>\x00\x1b\ud800\uffff&<x>", "\x0c"),)))
    assert root.find("testsuite").get("name") == samples.HOSTILE
    assert root.findall("testsuite")[1].find("testcase").get("name") == "]]>\\x00\\x1b\\ud800\\uffff&<x>"
