"""Reports are as wide as a plain log, whoever runs the tests: pytest-xdist tells its workers 80 columns."""

from __future__ import annotations

import os

os.environ.pop("COLUMNS", None)
