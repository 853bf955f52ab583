"""What the wrong gradient of a parameter owes to the operation that was found guilty.

Proved by the search, this comes before what the numbers of the parameter alone suggest: a value that was cut
off may look like a forgotten sample, and a mistake in the middle of a network like nothing known.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.blame.messages import WITHOUT_GRAD
from gradcheck.blame.result import BlameResult
from gradcheck.report.records import Blame, Diagnosis

_SEVERED, _UNEXPLAINED, _SLIP = "severed", "unexplained", "slip"


def inherited(name: str, own: Sequence[Diagnosis], found: BlameResult) -> tuple[Diagnosis, ...]:
    """Return the diagnoses of a parameter: its ``own``, or those that the guilty operation explains."""
    if not own:
        return ()
    cutting = [guilty for guilty, leaves in found.cuts if name in leaves]
    if cutting and len(found.cuts) == len(found.blames) and own[0].kind != _SEVERED:
        return (_cut(name, cutting[0]),)
    if len(found.blames) != 1:
        return tuple(own)
    (guilty,) = found.blames
    if guilty.diagnoses and "declared" in guilty.diagnoses[0].details:
        return (_declared(name, guilty.diagnoses[0]),)
    if guilty.diagnoses and "arguments" in guilty.diagnoses[0].details and _says_little(own[0]):
        return (_within(name, guilty, guilty.diagnoses[0]),)
    if guilty.diagnoses and own[0].kind in (_UNEXPLAINED, _SLIP) and name not in found.arguments:
        change = tuple(diagnosis for diagnosis in own if diagnosis.kind == _SLIP)
        return (_within(name, guilty, guilty.diagnoses[0]), *change)
    return tuple(own)


def _says_little(own: Diagnosis) -> bool:
    """Whether it says no more than any mistake of a cotangent looks like: a nameless factor, or nothing."""
    nameless = own.kind == "scale" and "ratio" in own.details and own.details.get("factor") is None
    return nameless or own.kind in (_UNEXPLAINED, _SLIP)


def _cut(name: str, guilty: Blame) -> Diagnosis:
    place = f" at {guilty.location}" if guilty.location else ""
    message = (
        f"{name}'s gradient lacks the part that goes through {guilty.operation}{place}: from there on the "
        "value counts as a constant."
    )
    if _on_purpose(guilty):
        message += f" If it is meant to, declare it: allow={{{name!r}: 'held constant'}}."
    return Diagnosis("missing-term", message, 1.0, _details(guilty))


def _on_purpose(guilty: Blame) -> bool:
    """Whether the path is cut by what is there to cut it."""
    return guilty.operation in ("Tensor.detach", "Tensor.detach_") or WITHOUT_GRAD in guilty.message


def _declared(name: str, diagnosis: Diagnosis) -> Diagnosis:
    argument = diagnosis.details["declared"]
    remedy = f"If you mean it, too, declare it: allow={{{name!r}: {argument!r}}}."
    return Diagnosis(diagnosis.kind, f"{diagnosis.message} {remedy}", 1.0, diagnosis.details)


def _within(name: str, guilty: Blame, diagnosis: Diagnosis) -> Diagnosis:
    found = diagnosis.message
    found = found[0].lower() + found[1:] if found.startswith(("The ", "Each ", "No ")) else found
    message = f"{name}'s gradient passes through {guilty.operation}, where {found}"
    return Diagnosis(diagnosis.kind, message, diagnosis.fit, {**diagnosis.details, **_details(guilty)})


def _details(guilty: Blame) -> dict[str, str | None]:
    return {"operation": guilty.operation, "location": guilty.location}
