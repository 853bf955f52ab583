"""Cases in files. JSON and nothing else: a case may come from anybody, and reading it must run no code."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cases.reading import from_json
from cases.record import DTYPES, Case, CaseError
from cases.writing import to_json

SCHEMA = Path(__file__).with_name("case.schema.json")


def load(path: str | os.PathLike[str]) -> Case:
    """Read a case from a JSON file.

    Raises:
        CaseError: where the file cannot be read or holds no case; the sentence names file and place.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaseError(f"Cannot read {os.fspath(path)}: {error.strerror}; check the path.") from error
    except UnicodeDecodeError as error:
        message = f"Cannot read {os.fspath(path)}: not UTF-8 at byte {error.start}; is this a case?"
        raise CaseError(message) from error
    return from_json(text, os.fspath(path))


def save(case: Case, path: str | os.PathLike[str]) -> None:
    """Write a case to a JSON file: all of it, or the file stays as it was.

    Raises:
        CaseError: where the file cannot be written.
    """
    target, text = Path(path), to_json(case)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CaseError(f"Cannot write {os.fspath(path)}: {error.strerror}; choose another place.") from error
    except BaseException:  # interrupted: no half of a file stays behind
        temporary.unlink(missing_ok=True)
        raise


__all__ = ["DTYPES", "SCHEMA", "Case", "CaseError", "from_json", "load", "save", "to_json"]
