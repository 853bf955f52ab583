"""What a diagnosis is made from: plain arrays, whoever measured them and however."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from gradcheck.slips.record import Rerun

Array = NDArray[Any]


@dataclass(frozen=True)
class Discrepancy:
    """The claimed gradient of one parameter beside the expected one.

    ``claimed`` may have another shape than ``expected`` (that is a finding), and is None where no gradient
    was given. ``uncertainty`` is absolute, one number or one per entry: it bounds the error of ``expected``
    and the rounding of ``claimed``; inf marks an entry that was not resolved. ``tolerance`` likewise: an
    error that is larger than the uncertainty but within the tolerance is left alone. ``value`` is the
    parameter itself, ``examined`` the mask of the entries in which ``expected`` is known, None for all.
    """

    name: str
    claimed: Array | None
    expected: Array
    uncertainty: Array | float = 0.0
    value: Array | None = None
    examined: Array | None = None
    tolerance: Array | float = 0.0


@dataclass(frozen=True)
class Contributions:
    """What a gradient gets from each part of an output, along one direction: claimed, expected, noise.

    The parts are the indices along ``axis`` of ``outputs[0]``, which has ``ndim`` axes; whole outputs where
    ``axis`` is -1.
    """

    outputs: tuple[str, ...]
    axis: int
    ndim: int
    claimed: Array
    expected: Array
    noise: Array


@dataclass(frozen=True)
class Facts:
    """What else is known about the subject; everything is optional.

    ``numbers`` are quantities that a wrong factor may turn out to be, by the words that a reader would use
    ("batch size"). ``arrays`` are constants of the computation: inputs, targets, masks. ``terms`` are known
    parts of a parameter's true gradient, by parameter, then by description ("its use in the decoder").
    ``uses`` counts how often a parameter enters the computation. ``second_call`` holds the gradients that a
    repeated call claimed. ``changed`` says, by parameter, who changed it in place ("the gradient function").
    ``order`` lists the parameters from the input to the output; () where that is not known. ``listed`` says
    whether the order in which they are listed may then stand for it: arguments of a function have none.
    ``linear``: the claimed gradients are known to change their sign with the cotangent, so that no mask in
    the backward pass can depend on the sign of a gradient. ``contributions``, by parameter: what it gets
    from the parts of the outputs. ``mistaken``, by parameter: (kind, words, claimed, expected, noise) for
    each cotangent that may have been taken for the one that arrived, along a few directions. ``rerun``: how
    the backward pass is run again, where its source may be searched for what would make it right.
    ``narrow``: whether a narrow number format may be met in it; None where that is not known.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    uses: Mapping[str, int] = field(default_factory=dict)
    second_call: Mapping[str, Array | None] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    listed: bool = True
    linear: bool = False
    contributions: Mapping[str, tuple[Contributions, ...]] = field(default_factory=dict)
    mistaken: Mapping[str, tuple[tuple[str, str, Array, Array, Array], ...]] = field(default_factory=dict)
    rerun: Rerun | None = None
    narrow: bool | None = None
