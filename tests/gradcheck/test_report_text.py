"""The text report says what is wrong first, and stays readable in a log, narrow, and with any name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
import sample_reports as samples

from gradcheck.report.records import Blame, Diagnosis, VariationResult, Verdict
from gradcheck.report.sentences import variation_line
from gradcheck.report.text import make_console, show, to_text

FAILURE = """\
model.py:mlp: FAIL, wrong gradient for fc1.weight (1 of 2 parameters)
  fc1.weight (64, 784): wrong gradient in 50,176 of 50,176 entries
    worst at [17, 203]: claimed -0.00412, finite differences -0.1319 +- 3e-12, \
autograd -0.1319 +- 0, tolerance 1e-07
    where: every entry
    wrong entries: [0, 0], [0, 1] and 50,174 more
    claimed is 1/32 of the true gradient: 32 is the batch size.
  variation transposed inputs: FAIL, wrong for non-contiguous x (fc1.weight)
  enters at model.py:40, MyLinear.apply; Its vjp is wrong at its own inputs; everything after it is right.
    > return MyLinear.apply(x, self.weight)
  parameter   shape   verdict  digits  error     +-  tolerance  examined      would see
  fc1.weight  64x784  FAIL        0.0   0.13  3e-12      1e-07  every entry       1e-10
  fc1.bias    64      pass       11.4  3e-12  3e-12      1e-07  4 directions      2e-09
  412 forward evaluations, 7 backward evaluations, 2 variations tried, 1 skipped, 830 ms, seed 3
  reproduce: gradcheck verify model.py:mlp --seed 3"""


def failing_report(**changes):
    parameters = {r.name: r for r in (samples.failing(message=""), samples.passing())}
    return samples.failing_report(name="model.py:mlp", parameters=parameters, **changes)


def test_a_failure_reads_from_what_is_wrong_to_how_to_reproduce_it():
    assert to_text(failing_report(), width=90) == FAILURE


def test_a_pass_is_two_lines():
    assert to_text(samples.report(samples.passing()), width=100).splitlines() == [
        "model.py::mlp: pass, 1 parameter agrees to 11.4 digits",
        "  412 forward evaluations, 7 backward evaluations, 830 ms, seed 3",
    ]


def test_str_of_a_report_is_its_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    assert str(failing_report()) == FAILURE


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_table_fits_the_width_and_keeps_names_and_verdicts(width):
    text = to_text(samples.large_report(3, wrong=True), width=width)
    table = [line for line in text.splitlines() if line.startswith("  enc") and ":" not in line]
    assert len(table) == 3
    assert all("FAIL" in line for line in table)
    assert max(map(len, table)) <= width


def test_long_names_are_cut_in_the_middle():
    name = "encoder.layers.11.attention.output.projection.lora_A.default.weight" * 2
    text = to_text(samples.report(samples.passing(name), samples.passing("b")), width=80)
    (row,) = [line for line in text.splitlines() if line.startswith("  encoder.l")]
    assert "..." in row
    assert "t.weight " in row


def test_many_parameters_show_the_worst_and_count_the_rest():
    report = samples.large_report(40, wrong=False)
    text = to_text(report, width=100)
    assert "and 10 more parameters, no worse than these" in text
    assert len(to_text(report, width=100, verbose=True).splitlines()) > len(text.splitlines())


def test_many_failures_are_told_for_the_first_and_listed_for_the_rest():
    text = to_text(samples.large_report(14, wrong=True), width=100)
    assert text.count("worst at") == 10
    assert "and 4 more parameters, in the table below" in text


def test_fewer_are_told_where_the_operation_behind_them_is_named():
    report = replace(
        samples.large_report(14, wrong=True), blames=(Blame("Cube.backward", "cube.py:3", "wrong"),)
    )
    text = to_text(report, width=100)
    assert text.count("worst at") == 4
    assert text.index("and 10 more parameters") < text.index("enters at cube.py:3")


def test_a_name_that_tries_to_be_markup_or_an_escape_sequence_stays_text():
    name = "inputs[0][bold]\x1b[31m\nred:smile:\u202e"
    text = to_text(samples.report(samples.failing(name), name=name), width=200)
    assert "inputs[0][bold]\\x1b[31m red:smile:\\u202e" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_colour_appears_on_a_terminal_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def printed(is_terminal):
        file = StringIO()
        file.isatty = lambda: is_terminal
        show(failing_report(), make_console(file, width=100))
        return file.getvalue()

    assert "\x1b[" in printed(True)
    assert "\x1b[" not in printed(False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;31m" not in printed(True)


def test_the_width_of_a_log_is_that_of_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert make_console(StringIO()).width == 60
    monkeypatch.delenv("COLUMNS")
    assert make_console(StringIO()).width == 100


def test_numbers_that_nearly_agree_are_shown_to_the_digit_that_differs():
    near = samples.comparison(Verdict.FAIL, claimed=1.0, expected=1.0 + 3e-9, index=(0,))
    text = to_text(samples.report(samples.failing(comparisons={"finite differences": near})), width=100)
    assert "claimed 1, finite differences 1.000000003 +- 3e-12" in text


def test_complex_and_non_finite_numbers_are_shown():
    odd = samples.comparison(Verdict.FAIL, claimed=complex(1, -2), expected=complex("nan+infj"), index=None)
    text = to_text(samples.report(samples.failing(comparisons={"finite differences": odd})), width=100)
    assert "along a random direction: claimed (1-2j), finite differences (nan+infj) +- 3e-12" in text


def test_the_odd_one_out_is_seen():
    agrees = samples.comparison(Verdict.PASS, witness="autograd", claimed=-0.00412, expected=-0.00412)
    wrong = samples.comparison(Verdict.FAIL, claimed=-0.00412)
    comparisons = {"autograd": agrees, "finite differences": wrong}
    text = to_text(samples.report(samples.failing(comparisons=comparisons)), width=100)
    assert "finite differences -0.1319 +- 3e-12, autograd -0.00412 +- 3e-12 (agrees)" in text


def test_an_inconclusive_report_says_what_would_settle_it():
    text = to_text(samples.report(samples.inconclusive()), width=100)
    assert text.startswith("model.py::mlp: inconclusive, the gradient for fc2.weight could not be resolved")
    assert "a float64 copy would settle it" in text


def test_a_waiver_is_never_silent():
    text = to_text(samples.report(samples.passing(), samples.waived()), width=100)
    assert "1 parameter agrees to 11.4 digits, 1 waived" in text
    assert "waived: embedding.weight: padding_idx: the row of the padding token gets no gradient" in text


def test_a_partial_explanation_says_how_much_it_explains():
    diagnosis = Diagnosis("sign", "the sign is wrong", 0.6)
    text = to_text(samples.report(samples.failing(diagnoses=(diagnosis,))), width=100)
    assert "the sign is wrong (explains 60% of the discrepancy)" in text


def test_a_report_that_fails_only_under_a_variation_says_so():
    variation = VariationResult("expanded cotangents", Verdict.FAIL, "off by 100%")
    report = samples.report(samples.passing(), variations=(variation,), verdict=Verdict.FAIL)
    assert to_text(report, width=100).startswith("model.py::mlp: FAIL, right as given, wrong under expanded")


def test_a_report_without_parameters_has_its_message_first():
    report = samples.report(verdict=Verdict.FAIL, message="the loss is not a scalar")
    assert to_text(report, width=100).startswith("model.py::mlp: FAIL, the loss is not a scalar\n")
    assert to_text(samples.report(), width=100).startswith("model.py::mlp: pass, nothing to verify\n")


def test_rich_is_loaded_only_to_show():
    code = "import sys, gradcheck.report.text; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sentence_is_told_once():
    told = "W has shape (2, 3), its gradient (3, 2): is it transposed?"
    result = samples.failing("W", message=told, wrong=None, diagnoses=(Diagnosis("shape", told, 1.0),))
    assert to_text(samples.report(result)).count(told) == 1


def test_a_skipped_variation_says_so_once():
    skipped = VariationResult("zeros", None, "skipped: over budget")
    assert variation_line(skipped) == "variation zeros: skipped, over budget"


def vanishing(count: int, within: str = "6e-12"):
    return [
        samples.passing(
            f"{i}.weight", notes=(f"its gradient is zero to within {i + 1}{within[1:]}",), digits=None
        )
        for i in range(count)
    ]


def test_many_notes_of_one_kind_are_counted():
    text = to_text(samples.report(*vanishing(9), samples.passing(notes=("at a kink",))), width=100)
    assert text.count("its gradient is zero to within") == 4
    assert "note: 5 more parameters: the same, with other numbers" in text
    assert "note: fc1.bias: at a kink" in text


def test_a_few_notes_of_one_kind_are_all_told():
    text = to_text(samples.report(*vanishing(5)), width=100)
    assert text.count("its gradient is zero to within") == 5


def test_parameters_without_digits_are_not_counted_among_those_that_agree():
    text = to_text(samples.report(*vanishing(2), samples.passing(), samples.passing("b")), width=100)
    assert "2 parameters agree to 11.4 digits or more, 2 have gradients too small to tell from zero" in text
    assert "1 parameter has a gradient too small to tell from zero" in to_text(samples.report(*vanishing(1)))
