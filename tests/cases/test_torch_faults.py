"""Each planted fault is a fault, where its row says that it shows; each right twin is right everywhere."""

from collections import Counter

import pytest
import torch
from fault_circumstances import CIRCUMSTANCES, shows

from cases.faults.torch import NEEDS, TORCH_FAULTS, TorchFault

PROGRAMS = {
    f"{f.program.__module__.rpartition('.')[2]}.{f.program.__name__}{dict(f.given) or ''}": f
    for f in TORCH_FAULTS
}
EXACT, ROUNDED = 1e-10, 1e-4


def _label(fault: TorchFault) -> str:
    return f"{fault.family}: {fault.name}"


@pytest.fixture(autouse=True)
def _chance():
    torch.manual_seed(3)


def _tolerance(fault: TorchFault) -> float:
    if fault.needs == "own precision":
        return ROUNDED
    return EXACT if fault.precision else 1e-6


@pytest.mark.parametrize("fault", TORCH_FAULTS, ids=_label)
def test_the_fault_shows_where_its_row_says(fault):
    assert shows(fault.wrong(**fault.reveal), fault.needs, _tolerance(fault))


@pytest.mark.parametrize("fault", [f for f in TORCH_FAULTS if f.needs], ids=_label)
def test_a_fault_that_needs_something_is_hidden_without_it(fault):
    if fault.needs == "own precision":
        fault = TorchFault(**{**vars(fault), "given": {}})
    assert not shows(fault.wrong(), "", EXACT)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_right_twin_is_right_in_every_circumstance(name):
    fault = PROGRAMS[name]
    tolerance = ROUNDED if fault.given.get("dtype") is torch.float32 else EXACT
    asked = [c for c in CIRCUMSTANCES if c != "second order" or "order" in fault.options]
    assert [c for c in asked if shows(fault.right(**fault.reveal), c, tolerance)] == []


@pytest.mark.parametrize("fault", TORCH_FAULTS, ids=_label)
def test_rows_are_complete(fault):
    assert fault.needs in NEEDS
    assert fault.old != fault.new
    assert fault.guilty is None or fault.guilty.count(".") >= 1


def test_there_are_enough_of_each_class():
    counts = Counter(fault.family for fault in TORCH_FAULTS)
    assert len(TORCH_FAULTS) >= 340
    assert len(counts) == 24
    assert min(counts.values()) >= 8
    assert len({(f.family, f.name) for f in TORCH_FAULTS}) == len(TORCH_FAULTS)


def test_a_planted_line_keeps_its_number():
    fault = next(
        f for f in TORCH_FAULTS if f.name == "the quotient rule" or f.name == "the inner derivative twice"
    )
    right, wrong = fault.right().function.__self__, fault.wrong().function.__self__
    assert right.backward.__code__.co_firstlineno == wrong.backward.__code__.co_firstlineno


def test_a_text_that_is_not_there_is_refused():
    fault = TorchFault(**{**vars(TORCH_FAULTS[0]), "old": "no such text"})
    with pytest.raises(ValueError, match="occurs 0 times"):
        fault.wrong()
