"""Mutants that change no gradient, and why. ``benchmarks.mutation`` tries each on fresh cases.

A row is a function, a pattern that the changed line must match from its beginning to its end, and the
reason. A reason without a mutant is out of date, and a test says so.
"""

from __future__ import annotations

import re

from benchmarks.mutants import Mutant

SUBGRADIENT = "another subgradient at a kink, as right as the one taken"
SHAPES = "the two shapes are the same: the forward pass has refused all others"
RANKS = "an operation that keeps the number of axes: output and input have the same"
LENGTHS = "zip checks lengths that the forward pass has checked"
EMPTY = "a guard for arrays without entries, whose gradient has no entries either"
OVERFLOW = "the same number in another way, where e^a does not overflow yet"
SIGNS = "the output is positive, zero or negative where the input is"
SILENCE = "silences warnings; the numbers stay"
UNKNOWN = "NumPy works out an axis of any negative length"
ORDER = "the order does not count"
CHECK = "a bound of a check that the forward pass has made"
FASTER = "only chooses the faster of two ways"
WIDER = "more room around the image, which is cut off again"
BROADCAST = "NumPy broadcasts it by itself"
CERTAIN = "where it differs, the value itself is not finite"
POLE = "where it differs, at 0 to a power below 1, the slope in the base is infinite or there is none"
REAL = "for real numbers the imaginary part is 0"

_EXACT_EMPTY = r"max\(.*, 0\)"

EQUIVALENT: tuple[tuple[str, str, str], ...] = (
    ("unbroadcast", r".*\(\*stretched, \*range\(new\)\).*", ORDER),
    ("_all_but_channels", r"return \(\*range\(2, ndim\), 0\)", ORDER),
    ("_huber_vjp", r".*np\.minimum\(delta, .*", ORDER),
    ("_huber_vjp", r".*np\.maximum\(-delta, z\).*", ORDER),
    ("_elu_vjp", r".*np\.minimum\(0\.0, a\).*", ORDER),
    ("sigmoid", r".*np\.maximum\(a >= 0\.0, decaying\).*", ORDER),
    ("_maximum_vjp", r"da = cotangent \* \(a > b\)", SUBGRADIENT),
    ("_maximum_vjp", r"da = .* \+ cotangent \* \(a == b\)", SUBGRADIENT),
    ("_maximum_vjp", r"da = .* \+ cotangent / [13] \* \(a == b\)", SUBGRADIENT),
    ("_maximum_vjp", r"da = cotangent \* \(output > b\) \+ .*", "the output exceeds b just where a does"),
    ("_minimum_vjp", r"da = cotangent \* \(a < b\)", SUBGRADIENT),
    ("_minimum_vjp", r"da = .* \+ cotangent \* \(a == b\)", SUBGRADIENT),
    ("_minimum_vjp", r"da = .* \+ cotangent / [13] \* \(a == b\)", SUBGRADIENT),
    ("_minimum_vjp", r"da = cotangent \* \(output < b\) \+ .*", "the output is below b just where a is"),
    ("_clip_vjp", r"cotangent = cotangent \* \(a [<>] m\w+\)", SUBGRADIENT),
    ("_hinge_vjp", r"short = 1 - t \* f > 0", SUBGRADIENT),
    ("_relu_vjp", r".*\(inputs\[0\] > 0\.0\).*", SIGNS),
    ("_leaky_relu_vjp", r".*\(output > 0\.0\).*", SIGNS),
    ("_leaky_relu_vjp", r".*\(output <= 0\.0\).*", SIGNS),
    ("_elu_vjp", r".*\(output > 0\.0\).*", SIGNS),
    ("_elu_vjp", r".*\(output <= 0\.0\).*", SIGNS),
    ("_elu_vjp", r".*np\.minimum\(a, 1\.0\).*", OVERFLOW),
    ("sigmoid", r".*np\.copysign\(a, -(2\.0|0\.5)\).*", "copysign takes the sign alone"),
    ("sigmoid", r".*np\.maximum\(decaying, a > 0\.0\).*", "at 0 both are 1"),
    ("_complex_sigmoid", r"positive = a\.real (> 0|>= 1|>= -1)", OVERFLOW),
    ("log_softmax", r".*largest\(a, axis=axis, keepdims=True\)", EMPTY),
    ("_power_vjp", r"with np\.errstate\(\w+='ignore'\):", SILENCE),
    ("_power_vjp", r"vanishes = \(a == 0\) & \(b\.real >= 0\)", REAL),
    ("_power_vjp", r"vanishes = .* & \((output|a)\.imag == 0\)", REAL),
    ("_power_vjp", r"vanishes = \(a == 0\) & \(b\.imag == 0\)", CERTAIN),
    ("_power_vjp", r"vanishes = \(a == 0\) & \(b\.real > 0\) & .*", POLE),
    ("_power_vjp", r"vanishes = \(a == 0\) & \(b\.real >= 1\) & .*", POLE),
    ("_power_vjp", r"vanishes = \(output == 0\) & .*", POLE),
    ("_power_vjp", r"vanishes = \(a == 0\) & \((output|a)\.real >= 0\) & .*", CERTAIN),
    ("_matmul_vjp", r"if output\.ndim == 2:", FASTER),
    ("_matmul_vjp", r"if b\.ndim == 1:", FASTER),
    ("_matrix_times_vector_vjp", r".*reshape\(-2\)\)", UNKNOWN),
    ("_convolution_vjp", r".*reshape\(-2\).*", UNKNOWN),
    ("_take_vjp", r".*reshape\(-2\).*", UNKNOWN),
    ("_product_of_others", r".*reshape\(-2, .*", UNKNOWN),
    ("_per_channel", r".*\(-2,\).*", UNKNOWN),
    ("inside", r".*(strict=False|image\)\)\)).*", LENGTHS),
    ("parts", r".*(strict=False|w\.dilation\)\]|w\.output\)\)).*", LENGTHS),
    ("wide", r".*(strict=False|w\.padding\)\)\)).*", LENGTHS),
    ("window", r".*(strict=False|dilations\)\)\)).*", LENGTHS),
    ("_inside", r".*(strict=False|width\)\)\)).*", LENGTHS),
    ("wide", r".*n \+ 3 \* p.*", WIDER),
    ("padded", r"if not w\.padding:", FASTER),
    ("window", r".*_per_axis\('(size|stride|dilation)', \w+, n, 0\).*", CHECK),
    ("spread", r"cotangent = cotangent", BROADCAST),
    ("_mean_vjp", r".*cotangent / _count\(a\.shape, axis\).*", EMPTY),
    ("_mean_vjp", rf".*cotangent / {_EXACT_EMPTY}.*", EMPTY),
    ("_mean", r"count = math\.prod\(.*", EMPTY),
    ("_mean", rf"count = {_EXACT_EMPTY}", EMPTY),
    ("to_entries", r"cotangent = cotangent / _samples\(shape\)", EMPTY),
    ("to_entries", rf"cotangent = cotangent / {_EXACT_EMPTY}", EMPTY),
    ("_samples", r".*else 0", "at least 1 sample is counted anyway"),
    ("_mean_squared_error_vjp", r".*2 / math\.prod\(.*", EMPTY),
    ("_mean_squared_error_vjp", rf".*2 / {_EXACT_EMPTY}.*", EMPTY),
    ("_count", r"return math\.prod\(\(shape\[i\] .*", FASTER),
    ("_product_of_others", r"rows = .*reshape\(0, [02]\)", EMPTY),
    ("_extremum_vjp", r".*keepdims=keepdims\)", "a count, exact in any dtype"),
    (
        "_norm_vjp",
        r"safe = np\.where\(output == 0, 2, output\)",
        "there a is 0, and 0 divided by anything is 0",
    ),
    ("_layer_norm_vjp", r"trailing = _trailing\(output\.ndim, axes\)", RANKS),
    ("_layer_norm_vjp", r".*\* z, bias\.shape\), unbroadcast\(cotangent, bias\.shape\)\)", SHAPES),
    ("_layer_norm_vjp", r".*\* z, gain\.shape\), unbroadcast\(cotangent, gain\.shape\)\)", SHAPES),
    ("_batch_norm_vjp", r".*output\.ndim.*", RANKS),
    (
        "_max_pool2d_vjp",
        r"image = padded\(a, sliding, np\.inf\)",
        "the padding equals no output, whichever infinity",
    ),
    (
        "_avg_pool2d_vjp",
        r"da = np\.zeros\(\(\*output\.shape\[:-2\], .*",
        "the axes before the image's are the same",
    ),
)


def reason_of(mutant: Mutant) -> str:
    """Return why the mutant is equivalent, "" where nobody has said so."""
    for function, pattern, why in EQUIVALENT:
        if function == mutant.function and re.fullmatch(pattern, mutant.change):
            return why
    return ""
