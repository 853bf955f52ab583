"""The traced computation as a drawing: inputs at the top, the guilty operation marked.

grandalf lays the calls out in layers with few crossings (Sugiyama, Tagawa and Toda 1981) and leads long
edges around the boxes. Of a large computation only the neighbourhood of the guilty calls is drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gradcheck.report.html.words import shortened
from gradcheck.report.records import Blame, Call, Verdict

_MOST = 40  # boxes: more cannot be read
_LETTERS = 20  # that fit into a box
_BOX = (164, 38)  # width and height in CSS pixels
_GAP = (18, 34)
_MARGIN = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """An operation or a leaf; ``x`` and ``y`` are its upper left corner."""

    x: float
    y: float
    label: str
    place: str
    described: str
    kind: str  # guilty, right, call or leaf


@dataclass(frozen=True)
class Drawing:
    """Boxes of one size, and the polylines between them, in CSS pixels."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[Point, ...], ...]
    width: float
    height: float
    caption: str
    box: tuple[int, int] = _BOX


@dataclass
class _View:
    """What grandalf keeps on a vertex: its size, and where it ends up."""

    w: float = _BOX[0]
    h: float = _BOX[1]
    xy: Point = (0.0, 0.0)

    @property
    def corner(self) -> Point:
        """The upper left one; ``xy`` is the centre."""
        return self.xy[0] - self.w / 2, self.xy[1] - self.h / 2


@dataclass
class _Route:
    """What grandalf keeps on an edge: the points that it passes."""

    points: list[Point] = field(default_factory=list)

    def setpath(self, points: Iterable[Point]) -> None:
        self.points = list(points)


def draw(trace: Sequence[Call], blames: Sequence[Blame]) -> Drawing | None:
    """Lay the computation out, None where nothing was traced."""
    if not trace:
        return None
    calls = {call.id: call for call in trace}
    edges = _edges(trace)
    names = list(dict.fromkeys([*(name for edge in edges for name in edge), *calls]))
    guilty = [call.id for call in trace if _is_guilty(call, blames)]
    kept = _neighbourhood(names, edges, guilty or [trace[-1].id])
    shown = [edge for edge in edges if edge[0] in kept and edge[1] in kept]
    places, routes, (width, height) = _lay_out([name for name in names if name in kept], shown)
    boxes = tuple(_box(name, calls.get(name), place, name in guilty) for name, place in places.items())
    return Drawing(boxes, routes, width, height, _caption(len(names), len(kept), guilty, calls))


def _is_guilty(call: Call, blames: Sequence[Blame]) -> bool:
    named = any((blame.operation, blame.location) == (call.operation, call.location) for blame in blames)
    return call.verdict is Verdict.FAIL or (named and call.location is not None)


def _edges(trace: Sequence[Call]) -> list[tuple[str, str]]:
    """Return (from, to) once each. Only what came earlier leads into a call, so there is no cycle."""
    ids = {call.id for call in trace}
    made: set[str] = set()
    edges: dict[tuple[str, str], None] = {}
    for call in trace:
        if call.id not in made:
            edges.update(
                ((source, call.id), None) for source in call.inputs if source in made or source not in ids
            )
        made.add(call.id)
    return list(edges)


def _neighbourhood(
    names: Sequence[str], edges: Sequence[tuple[str, str]], centres: Sequence[str]
) -> set[str]:
    """Return the names nearest to the centres, at most ``_MOST``; all of a computation that small."""
    if len(names) <= _MOST:
        return set(names)
    beside: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        beside[source].append(target)
        beside[target].append(source)
    kept = set(centres[:_MOST])
    waiting = deque(centres[:_MOST])
    while waiting:
        for neighbour in beside[waiting.popleft()]:
            if neighbour not in kept and len(kept) < _MOST:
                kept.add(neighbour)
                waiting.append(neighbour)
    return kept


def _lay_out(
    names: Sequence[str], edges: Sequence[tuple[str, str]]
) -> tuple[dict[str, Point], tuple[tuple[Point, ...], ...], Point]:
    """Return the upper left corner of each box, the edges' polylines, and width and height of the whole."""
    from grandalf.graphs import Edge, Graph, Vertex  # type: ignore[import-untyped]  # ships no types
    from grandalf.layouts import SugiyamaLayout  # type: ignore[import-untyped]  # ships no types

    vertices = {name: Vertex(name) for name in names}
    for vertex in vertices.values():
        vertex.view = _View()
    links = [Edge(vertices[source], vertices[target]) for source, target in edges]
    for link in links:
        link.view = _Route()
    right = float(_MARGIN)
    for part in Graph(list(vertices.values()), links).C:
        layout = SugiyamaLayout(part)
        layout.xspace, layout.yspace = _GAP
        layout.dw, layout.dh = _GAP[0], _BOX[1]
        layout.init_all()
        layout.draw(5)
        layout.draw_edges()
        right = _moved([v.view for v in part.sV], [e.view for e in part.sE], right)
    places = {name: vertex.view.corner for name, vertex in vertices.items()}
    bottom = max(y for _, y in places.values()) + _BOX[1] + _MARGIN
    return places, tuple(tuple(link.view.points) for link in links), (right - _GAP[0] + _MARGIN, bottom)


def _moved(views: Sequence[_View], routes: Sequence[_Route], left: float) -> float:
    """Move one connected part to the right of what is there; return where the next one may start."""
    xs = [x for view in views for x in (view.xy[0] - view.w / 2, view.xy[0] + view.w / 2)]
    xs += [x for route in routes for x, _ in route.points]
    across, down = left - min(xs), _MARGIN + _BOX[1] / 2 - min(view.xy[1] for view in views)
    for view in views:
        view.xy = (view.xy[0] + across, view.xy[1] + down)
    for route in routes:
        (x0, y0), *waypoints, (x1, y1) = ((x + across, y + down) for x, y in route.points)
        route.points = [(x0, y0 + _BOX[1] / 2), *waypoints, (x1, y1 - _BOX[1] / 2)]
    return float(max(xs) + across + _GAP[0])


def _box(name: str, call: Call | None, place: Point, guilty: bool) -> Box:
    if call is None:
        return Box(*place, shortened(name, _LETTERS), "", f"input or parameter {name}", "leaf")
    verdict = "" if call.verdict is None else f": {call.verdict}"
    described = f"{call.operation}{verdict}" + (f", {call.location}" if call.location else "")
    kind = "guilty" if guilty else "right" if call.verdict is Verdict.PASS else "call"
    label = ("✗ " if guilty else "") + shortened(call.operation, _LETTERS - 2 * guilty)
    file = (call.location or "").replace("\\", "/").rpartition("/")[2]
    return Box(*place, label, shortened(file, _LETTERS + 4), described, kind)


def _caption(total: int, shown: int, guilty: Sequence[str], calls: Mapping[str, Call]) -> str:
    sentences = []
    if guilty:
        named = ", ".join(dict.fromkeys(calls[name].operation for name in guilty[:3]))
        sentences.append(
            f"The error enters at {named}" + (" and others" if len(guilty) > 3 else "") + ", marked ✗."
        )
    if shown < total:
        centre = "the marked operations" if guilty else "the last operation"
        sentences.append(f"{shown} of {total:,} boxes are drawn: the neighbourhood of {centre}.")
    return " ".join(sentences) or "The whole computation."
