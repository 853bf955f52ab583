"""What the files that we write have near their beginning: by it they are told from somebody else's."""

from __future__ import annotations

from collections.abc import Mapping

MARKS: Mapping[str, tuple[str, ...]] = {
    "baseline": ('"gradcheck baseline"',),
    "html": (
        '<meta name="generator" content="gradcheck">',
        ": gradient report on ",
    ),  # the second before version 0.2
    "json": ('"gradcheck run"', '"gradcheck report"'),
    "junit": ('<testsuites name="gradcheck"',),
}
