"""Whether a line through the point crosses a kink there, though the claimed derivative may be admissible.

The central difference of abs at 0 is 0, which is what autograd says too: nothing disagrees, and yet the whole
computation may not be differentiable there. On smooth ground an output's second difference, over the step,
halves with the step; at a kink it stays.
"""

from __future__ import annotations

from gradcheck.numerical import kinks, roundoff
from gradcheck.numerical.kinks import Interval
from gradcheck.numerical.line import Line, line_step

# Second differences that shrink by less than this, and are at least this share of the steepest slope.
_STAYS = 0.8
_SHARE = 0.02


def kink(line: Line, epsilon: float) -> Interval | None:
    """Return the admissible derivatives where some output has a kink at t = 0, else None."""
    noise = roundoff.floor(line(0.0), line.cotangent, epsilon)
    return kinks.find(line, line_step(epsilon) / 4, noise) or kinks.find(line, epsilon**0.375, noise)


def may_bend(line: Line, epsilon: float) -> bool:
    """Whether it is worth asking for a kink. Uses values that the estimate has left behind."""
    step = line_step(epsilon) / 2
    base, right, left, near_right, near_left = (line(t) for t in (0.0, step, -step, step / 2, -step / 2))
    if base is None or right is None or left is None or near_right is None or near_left is None:
        return False
    far = abs(line.weighted(right - 2 * base + left)) / step
    near = abs(line.weighted(near_right - 2 * base + near_left)) / (step / 2)
    slopes = abs(line.weighted(near_right - near_left)) / step + near
    if not slopes.shape[0]:
        return False
    return bool(((near > _STAYS * far) & (near > _SHARE * slopes.max())).any())
