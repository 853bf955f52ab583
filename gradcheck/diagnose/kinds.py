"""Every kind of diagnosis, in one place: what it means, and the proposals that may find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType

from gradcheck.diagnose.accumulation import accumulated, repeats
from gradcheck.diagnose.beside_penalty import beside_penalty
from gradcheck.diagnose.contributions import contributed
from gradcheck.diagnose.elementwise import elementwise
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.lost_sum import lost_sum
from gradcheck.diagnose.masked import masked
from gradcheck.diagnose.missing_term import missing_term
from gradcheck.diagnose.mistaken import mistaken
from gradcheck.diagnose.mutates import mutates
from gradcheck.diagnose.non_finite import non_finite
from gradcheck.diagnose.partial import partial
from gradcheck.diagnose.permuted import permuted
from gradcheck.diagnose.precision import precision
from gradcheck.diagnose.rank import low_rank
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scale import scale, sign, sliced_scale
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.severed import severed
from gradcheck.diagnose.shape import shape
from gradcheck.diagnose.swapped import swapped
from gradcheck.diagnose.transposed import transposed
from gradcheck.diagnose.unreduced import unreduced

Propose = Callable[[Sample, Scene], Iterable[Hypothesis]]

KINDS = MappingProxyType(
    {
        "severed": "the gradient is zero or absent, though the loss depends on the parameter",
        "sign": "the gradient is the negative (or the complex conjugate) of the true one",
        "scale": "the gradient is off by a factor: one for all, one per row or column, or a known array",
        "transposed": "two axes are exchanged",
        "permuted": "the right numbers are in the wrong places: reversed, shifted, rearranged",
        "swapped": "the gradient is that of another parameter",
        "missing-term": "a term is missing, added twice or of the wrong sign",
        "unreduced": "a sum or mean over broadcast axes is missing, or there is one too many",
        "partial": "only one part is wrong: a row, a tail, a block, a sample, an entry",
        "masked": "wrong exactly where a condition on known numbers holds",
        "cotangent": "right for another cotangent than the one that arrives: ignored, averaged, squared",
        "accumulated": "each call adds to what the call before left",
        "non-finite": "NaN or infinity where the true gradient is finite",
        "precision": "right only to the digits of a narrower number format",
        "nondeterministic": "two calls at the same point differ",
        "mutates": "a parameter is changed in place",
        "shape": "the gradient's shape is not the parameter's",
        "slip": "one small change in the source of the backward pass makes every gradient right",
        "unexplained": "nothing that we know fits; the shape of the error is described",
    }
)

# Evident whether or not the numbers are right.
EVIDENT: tuple[Propose, ...] = (mutates, accumulated, repeats, non_finite)
# Tried where numbers (or shapes) are wrong.
FITTED: tuple[Propose, ...] = (
    severed,
    sign,
    scale,
    sliced_scale,
    elementwise,
    transposed,
    permuted,
    swapped,
    missing_term,
    beside_penalty,
    lost_sum,
    low_rank,
    unreduced,
    partial,
    masked,
    precision,
    mistaken,
    contributed,
    shape,
)
