"""The drawing of the computation: the guilty operation is marked, and what is cut off is said."""

from __future__ import annotations

import itertools

import pytest
from sample_reports import trace

from gradcheck.report.html.drawing import draw
from gradcheck.report.records import Blame, Call, Verdict


def test_nothing_traced_is_no_drawing():
    assert draw((), ()) is None


def test_the_guilty_operation_is_marked():
    drawn = draw(trace(guilty=1), ())
    assert [(box.label, box.place) for box in drawn.boxes if box.kind == "guilty"] == [
        ("✗ MyLinear.apply", "model.py:41")
    ]
    assert drawn.caption == "The error enters at MyLinear.apply, marked ✗."


def test_a_blamed_operation_is_marked_where_its_call_carries_no_verdict():
    calls = (Call("a", "mul", "m.py:3", ("x",)), Call("b", "mul", "m.py:4", ("a",)))
    drawn = draw(calls, (Blame("mul", "m.py:4", ""),))
    assert [box.place for box in drawn.boxes if box.kind == "guilty"] == ["m.py:4"]


def test_leaves_and_calls_are_told_apart():
    drawn = draw(trace(1, guilty=-1), ())
    assert {box.label: box.kind for box in drawn.boxes} == {
        "inputs[0]": "leaf",
        "fc0.weight": "leaf",
        "MyLinear.apply": "right",
        "torch.relu": "right",
        "torch.add": "call",
    }
    assert drawn.caption == "The whole computation."
    assert len(drawn.edges) == 5


def test_boxes_lie_inside_and_apart():
    drawn = draw(trace(6), ())
    width, height = drawn.box
    for i, one in enumerate(drawn.boxes):
        assert 0 <= one.x <= drawn.width - width
        assert 0 <= one.y <= drawn.height - height
        for other in drawn.boxes[i + 1 :]:
            assert abs(one.x - other.x) >= width or abs(one.y - other.y) >= height


def test_edges_run_downward_from_box_to_box():
    drawn = draw(trace(4), ())
    for edge in drawn.edges:
        assert all(above[1] <= below[1] for above, below in itertools.pairwise(edge))


def test_a_large_computation_is_cut_to_the_neighbourhood_of_the_guilty_call():
    drawn = draw(trace(3000, guilty=1700), ())
    assert len(drawn.boxes) == 40
    assert "model.py:1740" in {box.place for box in drawn.boxes if box.kind == "guilty"}
    assert "40 of 12,001 boxes are drawn: the neighbourhood of the marked operations." in drawn.caption


def test_a_large_computation_without_a_guilty_call_is_cut_to_its_end():
    calls = tuple(Call(str(i), f"op{i}", None, (str(i - 1),) if i else ("x",)) for i in range(500))
    drawn = draw(calls, ())
    assert "op499" in {box.label for box in drawn.boxes}
    assert drawn.caption.endswith("the neighbourhood of the last operation.")


def test_separate_computations_stand_side_by_side():
    drawn = draw((Call("a", "f", None, ("x",)), Call("b", "g", None, ("y",))), ())
    assert len({box.x for box in drawn.boxes}) == 2


@pytest.mark.parametrize(
    "calls",
    [
        (Call("a", "f", None, ("a",)),),
        (Call("a", "f", None, ("b",)), Call("b", "g", None, ("a",))),
        (Call("a", "f", None, ()), Call("b", "g", None, ("a", "a")), Call("a", "f", None, ("b",))),
        (Call("a", "f", None, (), Verdict.FAIL),),
    ],
)
def test_a_trace_that_is_no_graph_is_drawn_all_the_same(calls):
    assert len(draw(calls, ()).boxes) == len({call.id for call in calls})


def test_long_names_are_cut_in_the_middle_and_whole_in_the_description():
    long = "a_module." * 20 + "apply"
    (box,) = draw((Call("a", long, None, ()),), ()).boxes
    assert len(box.label) <= 20
    assert box.label.endswith(".apply")
    assert box.described == long
