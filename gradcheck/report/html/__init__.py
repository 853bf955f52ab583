"""One self-contained page per run: what an engineer wants to see first, and everything else a click away.

Records go in, a string comes out; the template escapes every value, so names and messages of the
verified code stay text. jinja2, matplotlib and networkx are imported when a page is asked for, not before.
"""

from __future__ import annotations

from gradcheck.report.html.page import to_html, write

__all__ = ["to_html", "write"]
