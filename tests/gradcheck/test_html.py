"""The page, as text: what it says, what it escapes, what it leaves out, and that it needs nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from sample_reports import (
    HOSTILE,
    comparison,
    failing,
    failing_report,
    hostile_report,
    inconclusive,
    large_report,
    passing,
    report,
)

from gradcheck.errors import UsageError
from gradcheck.report.html import pictures, to_html, write
from gradcheck.report.records import Verdict
from gradcheck.report.run import Against, Discrepancy, Failure, Group, Operation, Run


class Page(HTMLParser):
    """The elements and the text of a document; fails on tags that do not nest."""

    VOID = frozenset({"meta", "input", "br", "img", "link"})

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(document)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def failing_page():
    return Page(to_html([failing_report()]))


@pytest.mark.parametrize(
    "said",
    [
        "Wrong gradient for fc1.weight (1 of 4 parameters).",
        "Wrong gradient in 50,176 of 50,176 entries. Wrong in 50,176 of 50,176 entries.",
        "The error enters at MyLinear.apply",
        "everything after it is right",
        "return MyLinear.apply(x, self.weight)",
        "gradcheck verify model.py:mlp --seed 3",
        "32 is the batch size",
        "explains 100% of the discrepancy",
        "Where: every entry.",
        "Looked at 4 random directions and 0 of 64 entries, perturbed together with 2 other parameters.",
        "An error of 2e-9 of the gradient's norm would have been seen with 99.9% probability.",
        "Waived: padding_idx",
        "a float64 copy would settle it",
        "downsampled: each of 16 × 49 cells shows the largest discrepancy in a block of 4 × 16 entries",
        "200 entries; a right gradient lies on the dashed diagonal",
        "At the chosen step 0.0001 the numerical derivative is -0.1319 ± 1e-12.",
        "the forward pass accepts no other size",
        "412 forward evaluations, 7 backward evaluations, 830 ms; seed 3; rtol 1e-07",
    ],
)
def test_a_failing_report_says(failing_page, said):
    assert said in failing_page.text


def test_the_verdict_comes_before_everything_else(failing_page):
    assert failing_page.text.index("fail Wrong gradient") < failing_page.text.index("Theme")


def test_the_message_of_a_report_is_its_first_sentence():
    assert (
        "Half of it is missing." in Page(to_html([report(failing(), message="Half of it is missing.")])).text
    )


def test_parameters_come_worst_first():
    page = Page(to_html([report(passing("a"), inconclusive("b"), failing("c"))]))
    order = [
        attributes["data-name"]
        for tag, attributes in page.elements
        if tag == "tr" and "data-name" in attributes
    ]
    assert order == ["c", "b", "a"]


def test_the_row_of_a_parameter_shows_its_worst_comparison():
    fine, wrong = comparison(witness="autograd"), comparison(Verdict.FAIL, abs_error=0.75)
    document = to_html([report(failing(comparisons={"autograd": fine, "finite differences": wrong}))])
    assert 'data-value="0.75">0.75</td>' in document


def test_several_reports_get_a_table_of_subjects():
    page = Page(to_html([failing_report(), report(passing(), name="second")]))
    assert "fail 1 of 2 targets with a wrong gradient." in page.text
    assert ("table", {"id": "subjects"}) in page.elements


def test_no_reports_are_no_pass():
    assert "inconclusive Nothing was verified." in Page(to_html([])).text


def test_what_could_not_be_run_is_told_and_is_no_pass():
    run = Run(
        Verdict.PASS, (Group("a.py", (report(passing()),)),), (Failure("b.py:<b>", "line 1\n<line> 2"),)
    )
    page = Page(to_html(run))
    assert "error 1 target not verified, 1 right." in page.text
    assert "Could not be run b.py:<b> line 1 <line> 2" in page.text


def test_what_a_baseline_knows_is_told_apart():
    wrong = report(failing(), passing(), name="m.py:f")
    known = Discrepancy("m.py:f", "fc1.weight", Verdict.FAIL, reason="upstream bug 7")
    gone = Discrepancy("m.py:g", "w", Verdict.FAIL, reason="old")
    against = Against(known=(known,), gone=(gone,))
    page = Page(to_html(Run(Verdict.PASS, (Group("m.py", (wrong,)),), against=against)))
    assert "Known: upstream bug 7" in page.text
    assert "No longer occurs: m.py:g w; take it out of the baseline." in page.text
    standings = [row["data-standing"] for tag, row in page.elements if tag == "tr" and "data-standing" in row]
    assert sorted(standings) == ["known", "pass"]


def test_the_operations_of_an_engine_are_counted():
    counted = (Operation("tiny", "where", 1200, 1199, 1, 0),)
    run = Run(Verdict.FAIL, (Group("dag", (report(passing()),), generated=True),), operations=counted)
    assert "where tiny 1,200 1,199 1 0" in Page(to_html(run)).text


def test_of_very_many_subjects_only_the_worst_have_sections():
    reports = [report(passing(), name=f"case {i}") for i in range(300)]
    reports[250] = report(failing(evidence=None), name="case 250")
    document = to_html(reports)
    page = Page(document)
    assert "Only 200 subjects, the worst, have sections of their own" in page.text
    sections = [each["id"] for tag, each in page.elements if each.get("class") == "subject"]
    assert len(sections) == 200
    assert "s250" in sections
    assert (
        len(
            [row for tag, row in page.elements if tag == "tr" and row.get("data-name", "").startswith("case")]
        )
        == 300
    )
    assert len(document.encode()) < 1_500_000


def test_a_run_that_was_stopped_says_so():
    run = Run(Verdict.PASS, (Group("a.py", (report(passing()),)),), complete=False)
    assert "Stopped before the end" in Page(to_html(run)).text


@pytest.mark.parametrize("make", [failing_report, hostile_report])
def test_ids_are_unique_and_references_resolve(make):
    document = to_html([make(), make()])
    ids = [attributes["id"] for _, attributes in Page(document).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', document)
    assert used
    assert set(used) <= set(ids)


def test_hostile_text_stays_text():
    page = Page(to_html([hostile_report()]))
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert page.text.count(" ".join(HOSTILE.split())) > 20


def test_the_page_asks_for_nothing_from_outside():
    document = to_html([failing_report()])
    loaded = [
        value
        for tag, attributes in Page(document).elements
        for name, value in attributes.items()
        if name in {"src", "href", "xlink:href", "action"}
        and not value.startswith(("#", "data:image/png;base64,"))
    ]
    assert loaded == []
    assert "default-src 'none'" in document
    assert "@import" not in document


def test_the_same_reports_give_the_same_page():
    assert to_html([failing_report()]) == to_html([failing_report()])


def test_a_page_for_200_passing_parameters_is_small():
    assert len(to_html([large_report(200, wrong=False)]).encode()) < 1_000_000


def test_a_page_for_200_failing_parameters_is_below_two_megabytes_and_says_what_it_left_out(monkeypatch):
    allowed = pictures._BYTES
    monkeypatch.setattr(pictures, "_BYTES", 20_000)
    document = to_html([large_report(200, wrong=True)])
    assert document.count("Not plotted, to keep the page small") == 199
    assert len(document.encode()) + allowed < 1_950_000  # the last parameter plotted may go over by one


def test_details_of_passing_parameters_are_left_out_of_a_huge_run():
    page = Page(to_html([large_report(601, wrong=False), report(failing())]))
    assert "Passing parameters have no details here" in page.text
    opened = [attributes["id"] for tag, attributes in page.elements if attributes.get("class") == "parameter"]
    assert opened == ["s1p0"]


def test_without_matplotlib_the_page_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(pictures.Pictures, "_have", lambda self, library: self.__dict__.update(missing=True))
    page = Page(to_html([failing_report()]))
    assert "pip install 'gradcheck[html]'" in page.text
    assert "svg" not in [tag for tag, _ in page.elements]


def test_the_file_is_written_whole(tmp_path):
    write([failing_report()], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == to_html([failing_report()])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"Cannot write the HTML report to .*Name a file"):
        write([report(passing())], tmp_path / "missing" / "report.html")


def test_the_libraries_for_drawing_are_imported_late():
    code = (
        "import sys, gradcheck.report.html; "
        "print(sorted({'jinja2', 'matplotlib', 'grandalf', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
