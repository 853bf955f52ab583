"""The wheel holds the three packages, complete, and nothing else."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGES = ("gradcheck", "reference_impl", "cases")


def main(wheel: str) -> int:
    """Compare the wheel's files with the checkout's; return the exit status."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    here = {
        str(path)
        for package in PACKAGES
        for path in Path(package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for label, names in (("missing from the wheel", here - inside), ("only in the wheel", inside - here)):
        for name in sorted(names):
            print(f"{label}: {name}")
    print(f"{len(inside)} files in the wheel")
    return int(inside != here)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
