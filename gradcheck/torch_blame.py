"""Which operation of torch code is guilty, and what hearing them all does to the verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gradcheck import conventions, findings
from gradcheck.blame import BlameResult, blame_subject
from gradcheck.blame.handwritten import OwnCode, own_code
from gradcheck.blame.undefined import find_undefined
from gradcheck.pipeline import Outcome
from gradcheck.report.records import Blame, Diagnosis, ParameterResult, Verdict
from gradcheck.subjects.torch import TorchSubject, layout
from gradcheck.subjects.torch.backward import BackwardError
from gradcheck.torch_collected import Collected

_INVALID = re.compile(
    r"invalid gradient at index (\d+) - got (\[.*?\]) but expected shape compatible with (\[.*?\])"
)


def arbitrate(subject: TorchSubject, outcome: Outcome, parts: Collected) -> BlameResult | None:
    """Hear every operation before a discrepancy is believed."""
    undecided, endless = outcome.tied, outcome.endless
    suspects = [*outcome.failing, *undecided, *endless]
    if not suspects:
        return None
    found = search(subject, outcome, suspects, parts)
    if found is None:
        return None
    for name in suspects:
        finding = outcome.findings[name]
        if name in endless:
            if found.all_calls_right:
                finding.verdict, finding.message = Verdict.PASS, ""
                finding.notes.append("its slope has no end there; every operation alone is right")
        elif (
            found.all_calls_right
            and found.kinks
            and name not in outcome.pulls[0].misshapen
            and not finding.message
        ):
            finding.verdict, finding.wrong = Verdict.PASS, finding.wrong[:0]
            finding.notes.append(f"at a kink of {found.kinks[0]}; every operation alone is right")
        elif name in undecided and found.blames:
            findings.fail_tied(finding, outcome.tolerances[name])
    guilty = [blame.operation for blame in found.blames]
    conventions.accept(outcome, guilty, theirs=bool(guilty) and not found.of_the_user)
    if found.cuts:
        from gradcheck import power_iteration

        power_iteration.accept(subject, outcome, found)
    return found if outcome.failing else None


def search(
    subject: TorchSubject, outcome: Outcome, wrong: Sequence[str], parts: Collected, order: int = 1
) -> BlameResult | None:
    """Search for the operations to which errors of the named leaves go back; None where that fails."""
    try:
        return blame_subject(
            subject,
            wrong=wrong,
            cotangents=outcome.pulls[0].cotangents,
            rng=outcome.exam.generator,
            order=order,
        )
    except Exception as error:  # the search reruns users' code in unusual ways; the verdict stands without it
        parts.notes.append(
            f"the guilty operation could not be searched for ({type(error).__name__}: {error})"[:300]
        )
        return None


def elsewhere(subject: TorchSubject) -> tuple[Blame, ...] | None:
    """Return the user's faults at another point: None where that cannot be told, () where there are none."""
    try:
        found = blame_subject(subject, explain=False)
    except Exception:  # as in search
        return None
    return found.of_the_user if found.blames or found.all_calls_right else None


def unseen_is_right(subject: TorchSubject, outcome: Outcome, parts: Collected) -> bool:
    """Verify operations one by one where a hand-written one lies before gradients too small to be seen.

    What reaches the first layers of a deep network may be nothing beside the outputs' rounding.
    """
    hidden = [name for name, finding in outcome.findings.items() if _is_unseen(outcome, finding)]
    if not hidden or not own_code_of(subject).backwards:
        return True
    found = search(subject, outcome, hidden, parts)
    if found is None or not found.of_the_user:
        return True
    parts.blame(found)
    parts.message = (
        "a hand-written operation is wrong alone, before parameters whose gradients are too small to be told "
        f"from zero: {', '.join(hidden[:3])}" + (" and others" if len(hidden) > 3 else "")
    )
    return False


def _is_unseen(outcome: Outcome, finding: findings.Finding) -> bool:
    """Whether a gradient is claimed that no direction and no entry has told from zero."""
    if finding.entries is not None or not finding.probes or finding.detectable(outcome.exam) is not None:
        return False
    return bool(outcome.pulls[0].gradients[finding.name].any())


def undefined(subject: TorchSubject, outcome: Outcome, parts: Collected) -> tuple[Blame, ...]:
    """Return the operation at which the gradient of a failing leaf stops being a number."""
    pulled = outcome.pulls[0]
    if not any(name in pulled.finite for name in outcome.failing):
        return ()
    return find_undefined(subject, pulled.cotangents, parts.trace)


def own_code_of(subject: TorchSubject) -> OwnCode:
    """Return the user's hand-written code on the way; none where it cannot be looked for."""
    try:
        return own_code(subject)
    except Exception:  # as in search
        return OwnCode()


def backward_raised(subject: TorchSubject, parts: Collected, error: BackwardError) -> None:
    """Report a backward pass that raises: a fault, not a crash."""
    parts.message = f"the backward pass raises {error}"
    try:
        parts.blame(blame_subject(subject))
    except Exception:  # the verdict stands without a place
        parts.notes.append("the place could not be found")
    for name, value in subject.variables.items():
        dtype = layout.label(subject.original_dtypes[name])
        if name not in parts.parameters or parts.parameters[name].verdict is Verdict.PASS:
            parts.parameters[name] = ParameterResult(
                name,
                Verdict.FAIL,
                tuple(value.shape),
                dtype,
                message="the backward pass raises",
                diagnoses=_of_shape(error),
            )


def _of_shape(error: BackwardError) -> tuple[Diagnosis, ...]:
    """Return the diagnosis that autograd itself makes: a gradient that does not fit its input."""
    found = _INVALID.search(str(error))
    if found is None:
        return ()
    index, got, wanted = found.groups()
    message = (
        f"A backward pass returns a gradient of shape {got} for its input {index}, whose shape is {wanted}: "
        "is a sum over a broadcast axis missing, or one too many?"
    )
    return (Diagnosis("shape", message, 1.0),)
