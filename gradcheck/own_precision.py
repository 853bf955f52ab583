"""The gradient in the user's own number format, against the same computed in float64.

The mathematics has been verified in double precision; what remains is how many digits of it survive in
float32, bfloat16 or float16. A model with an ill-conditioned gradient loses many through no fault of its
backward pass, so before a loss counts as an error, the gradient's sensitivity to one rounding of its inputs
is measured in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from gradcheck import judge
from gradcheck.examination import Examination
from gradcheck.numerical import directions
from gradcheck.numerical.line import squared
from gradcheck.probes import Pulled
from gradcheck.report.records import Verdict
from gradcheck.subjects.torch import TorchSubject, layout

# Relative error, in norm, up to which a format's gradient is taken as it is.
_ACCEPTED = {"float32": 1e-2, "complex64": 1e-2, "float16": 0.1, "bfloat16": 0.3}
# What rounding the inputs does to a gradient, times this, is excused; times 300 in half precision, the whole
# gradient would be.
_SENSITIVE, _SENSITIVE_HALF = 300.0, 30.0
# Beside kinks: so many shakes, of so many roundings (every layer adds some), and how often the largest change
# seen may be met: several units may fall to the other side.
_SHAKES, _ROUGH, _SIDES = 12, 3.0, 3.0
# A gradient off by more roundings than this is worth a note, unless its inputs' rounding explains it.
_WORTH_A_NOTE = 1e3
# So many roundings of the largest effect on the outputs may remain in a gradient that is zero, and this share
# of it at most: a thousand roundings of half precision would be more than the whole.
_ZERO, _SHARE = 1e3, 0.25
# A gradient of fewer of a format's least numbers than this need not be there in it.
_LEAST = 16.0


@dataclass(frozen=True)
class Precision:
    """How one parameter's gradient fares in its own format: digits kept, and what to make of it.

    A gradient that is zero, as far as float64 can tell, has no digits to keep.
    """

    digits: float | None
    verdict: Verdict
    message: str = ""


def compare(subject: TorchSubject, exam: Examination, pulled: Pulled) -> dict[str, Precision]:
    """Run the subject as the user has it, with the cotangents of ``pulled``.

    ``subject`` is the double-precision one and must be open. Raises what the user's code raises, and
    FloatingPointError where the forward pass is another function in its own format.
    """
    with (
        subject.suspended(),
        subject.at(subject.args, subject.kwargs, double=False) as own,
    ):
        own.start()
        _same_function(own, subject)
        us = [u.to(out.dtype) for u, out in zip(pulled.cotangents, own.outputs, strict=True)]
        found = own.pull_back(us)
        dtypes = {name: _coarsest(t.dtype, subject) for name, t in own.variables.items()}
    exact = exam.pull([u.to(v.dtype) for u, v in zip(us, pulled.cotangents, strict=True)])
    floors = _floors(exam, exact, dtypes)
    zeros = _floors(exam, exact, dict.fromkeys(dtypes, "float64"))
    errors = {
        name: _error(_in_range(found.get(name), gradient, exact.finite.get(name)), gradient, floors[name])
        for name, gradient in exact.gradients.items()
    }
    excused = _excused(exam, exact, dtypes, floors, errors)
    kept = {name: _precision(error, dtypes[name], excused.get(name, 0.0)) for name, error in errors.items()}
    return {
        name: _of_zero(kept[name]) if float(np.abs(gradient).max(initial=0)) <= zeros[name] else kept[name]
        for name, gradient in exact.gradients.items()
    }


def _of_zero(kept: Precision) -> Precision:
    """Return what remains to be said of a gradient that is zero: it has no digits that could survive."""
    return replace(kept, digits=None, message="" if kept.verdict is Verdict.PASS else kept.message)


def _same_function(own: TorchSubject, wide: TorchSubject) -> None:
    """Refuse to compare gradients of what are two functions: the forward passes differ by more than rounding.

    They do where a format overflows, and where what is computed from numbers is rounded to integers.
    """
    for out, exact in zip(own.outputs, wide.outputs, strict=True):
        if out.shape != exact.shape:
            raise FloatingPointError(f"the forward pass gives other shapes in {out.dtype}")
        one, other = directions.to_numpy(out), directions.to_numpy(exact)
        known = np.isfinite(other)
        if not np.isfinite(one[known]).all():
            raise FloatingPointError(f"the forward pass is not finite in {out.dtype}")
        apart = math.sqrt(squared(one[known] - other[known]))
        most = _accepted(layout.label(out.dtype)) / 4
        if apart > most * math.sqrt(squared(other[known])):
            raise FloatingPointError(f"the forward pass gives other values in {out.dtype}")


def _in_range(
    found: torch.Tensor | None, exact: np.ndarray, finite: np.ndarray | None
) -> torch.Tensor | None:
    """Return the gradient with the exact one where that is NaN, infinite, or beyond the format's range."""
    if found is None or tuple(found.shape) != exact.shape or found.layout is not torch.strided:
        return found
    beyond = np.abs(exact) > float(torch.finfo(found.dtype).max)
    left_out = torch.from_numpy(np.asarray(beyond if finite is None else beyond | ~finite)).to(found.device)
    if not bool(left_out.any()):
        return found
    wide = found.to(layout.wide(found.dtype))
    return torch.where(left_out, torch.from_numpy(np.array(exact)).to(wide), wide)


def _coarsest(dtype: torch.dtype, subject: TorchSubject) -> str:
    """Return the format whose rounding a leaf's gradient has: its own, or the coarsest that is cast into."""
    formats = {dtype, *(subject.narrowing if subject.widened else ())}
    return layout.label(max(formats, key=layout.spacing))


def _floors(exam: Examination, exact: Pulled, dtypes: Mapping[str, str]) -> dict[str, float]:
    """Return what rounding leaves of a gradient that is zero: the size below which entries mean nothing.

    So does the end of a format's range: what is near its least number has lost its digits, or is zero.
    """
    scales = {name: float(np.min(scale)) for name, scale in exam.scales.items()}
    sizes = [float(np.abs(g).max(initial=0)) * scales[name] for name, g in exact.gradients.items()]
    whole = max([exam.magnitude, *sizes])
    shares = {
        name: min(_ZERO * layout.spacing(getattr(torch, dtype)), _SHARE) for name, dtype in dtypes.items()
    }
    formats = {name: torch.finfo(getattr(torch, dtype)) for name, dtype in dtypes.items()}
    least = {name: _LEAST * float(info.tiny) * float(info.eps) for name, info in formats.items()}
    return {
        name: max(shares[name] * whole / max(scales[name], 1e-300), least[name]) for name in exact.gradients
    }


def _accepted(dtype: str) -> float:
    return _ACCEPTED.get(dtype, 1e-6)


def _noted(dtype: str) -> float:
    return min(_accepted(dtype), _WORTH_A_NOTE * layout.spacing(getattr(torch, dtype)))


def _error(found: torch.Tensor | None, exact: np.ndarray, floor: float) -> float:
    """Return the error's norm relative to that of the gradient, whose entries count at least ``floor``."""
    own = np.zeros_like(exact) if found is None else directions.to_numpy(found)
    if own.shape != exact.shape or exact.size == 0:
        return 0.0  # shapes were judged before
    largest = max(float(np.abs(exact).max()), floor)
    if largest == 0:
        return 0.0
    error = math.sqrt(squared((own - exact) / largest))
    norm = max(math.sqrt(squared(exact / largest)), floor / largest * np.sqrt(exact.size))
    return error / norm if np.isfinite(error) else np.inf


def _excused(
    exam: Examination,
    exact: Pulled,
    dtypes: Mapping[str, str],
    floors: Mapping[str, float],
    errors: Mapping[str, float],
) -> dict[str, float]:
    """Return, by leaf, the error that rounding excuses; nothing where no error asks for an excuse.

    One shake tells how smooth ground answers. Where that does not do, more are made: beside a kink (a unit of
    a ReLU network that is barely on) rounding decides for one side or the other, in some shakes only.
    """
    if all(error <= _noted(dtypes[name]) for name, error in errors.items()):
        return {}
    shakes = [_sensitivity(exam, exact, dtypes, floors)]
    excused = {name: _factor(dtypes[name]) * shakes[0][name] for name in errors}
    if all(error <= max(_accepted(dtypes[name]), excused[name]) for name, error in errors.items()):
        return excused
    shakes += [_sensitivity(exam, exact, dtypes, floors, _ROUGH) for _ in range(_SHAKES)]
    smooth = {name: min(_factor(dtypes[name]) * shake[name] for shake in shakes) for name in errors}
    return {name: max(smooth[name], _SIDES * max(shake[name] for shake in shakes)) for name in errors}


def _factor(dtype: str) -> float:
    return _SENSITIVE_HALF if dtype in ("bfloat16", "float16") else _SENSITIVE


def _sensitivity(
    exam: Examination,
    pulled: Pulled,
    dtypes: Mapping[str, str],
    floors: Mapping[str, float],
    roundings: float = 1.0,
) -> dict[str, float]:
    """Return how much each gradient changes, in norm, when every leaf is rounded in its own format."""
    subject = exam.subject
    assert isinstance(subject, TorchSubject)
    shifted = {}
    for name, value in exam.values.items():
        spacing = layout.spacing(getattr(torch, dtypes[name]))
        shake = 1 + roundings * spacing * exam.generator.uniform(-1, 1, value.shape)
        shifted[name] = directions.like(exam.variables[name], value * shake)
    with torch.enable_grad(), subject.running(_leaves(subject, shifted)) as (leaves, outputs):
        found = subject.gradients(leaves, outputs, pulled.cotangents)
    return {name: _error(found[name], gradient, floors[name]) for name, gradient in pulled.gradients.items()}


def _leaves(subject: TorchSubject, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in values.items() if name in subject.names}


def _precision(error: float, dtype: str, excused: float) -> Precision:
    digits = judge.digits(error, 1.0)
    if error <= _noted(dtype):
        return Precision(digits, Verdict.PASS)
    if error <= excused:
        return Precision(digits, Verdict.PASS, f"ill-conditioned in {dtype}: {digits:.1f} digits survive")
    if error <= _accepted(dtype):
        note = (
            f"imprecise: {digits:.1f} digits survive in {dtype}, fewer than the rounding of its inputs takes"
        )
        return Precision(digits, Verdict.PASS, note)
    return Precision(
        digits,
        Verdict.FAIL,
        f"right in float64, but the gradient computed in {dtype} is off by {error:.1%} of its norm",
    )
