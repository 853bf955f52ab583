"""Quantities that a factor may turn out to be, and the words for a factor that is one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
# A ratio that is known no better than this is not compared with roots and products of known quantities: with
# a few dozen candidates a coincidence would be likely.
_COARSE = 1e-4
_COARSEST = 2e-2
# Squares and products of small numbers hit any small integer.
_SMALL = 8


@dataclass(frozen=True)
class Named:
    """A factor in words: its formula ("1/32"), where it comes from ("32 is the batch size"), what to ask."""

    formula: str
    where: str
    question: str
    cost: float

    def after(self, number: str) -> str:
        """Return what to write after the number itself: ": 1/32, and 32 is the batch size"."""
        formula = "" if self.formula == number.lstrip("-") else f": {self.formula}"
        return f"{formula}, and {self.where}" if self.where else formula

    def in_brackets(self, number: str) -> str:
        """Return what to write in brackets after a coefficient: " (2·0.1, and 0.1 is decay)"."""
        return f" ({self.where if self.formula == number.lstrip('-') else self.text})"

    @property
    def text(self) -> str:
        """The factor on its own: "1/32, and 32 is the batch size"."""
        return f"{self.formula}, and {self.where}" if self.where else self.formula


@dataclass(frozen=True)
class _Form:
    """A way in which a quantity enters a factor."""

    formula: str
    value: float
    question: str = ""
    cost: float = 0.0


@dataclass(frozen=True)
class Quantity:
    """The words for a number; ``named`` where the caller knows what it is, not only that an axis has it."""

    words: str
    named: bool

    @property
    def cost(self) -> float:
        """What it costs to see this number in a factor."""
        return 0.0 if self.named else 0.35


def ordinal(axis: int) -> str:
    """Return "first" for axis 0, and so on."""
    return _ORDINALS[axis] if axis < len(_ORDINALS) else f"{axis + 1}th"


def collect(numbers: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]]) -> dict[float, Quantity]:
    """Return the words for each known quantity: what the caller named, then axis lengths, then sizes."""
    known: dict[float, list[str]] = {}
    for words, number in numbers.items():
        _add(known, number, words)
    named = set(known)
    for name, shape in shapes.items():
        for axis, length in enumerate(shape):
            of = "length" if len(shape) == 1 else f"{ordinal(axis)} axis"
            if length not in named:
                _add(known, float(length), f"the {of} of {name}")
    for name, shape in shapes.items():
        size = float(math.prod(shape))
        if len(shape) > 1 and size not in known:
            _add(known, size, f"the number of entries of {name}")
    return {number: Quantity(" and ".join(words[:2]), number in named) for number, words in known.items()}


def _add(known: dict[float, list[str]], number: float, words: str) -> None:
    if math.isfinite(number) and number > 0 and number != 1:
        listed = known.setdefault(float(number), [])
        if words not in listed:
            listed.append(words)


def name_factor(
    ratio: float, uncertainty: float, known: Mapping[float, Quantity], constants: bool = True
) -> Named | None:
    """Return the words for a real factor, None where it is none that we know.

    ``uncertainty`` is that of ``ratio``, relative. The sign of ``ratio`` is not looked at. ``constants``
    says whether plain numbers such as 2 or π are words enough.
    """
    ratio, tolerance = abs(ratio), max(uncertainty, 1e-9)
    literal = (not constants or ratio < 1) and _is_literal(ratio, tolerance)
    if not math.isfinite(ratio) or ratio == 0 or tolerance > _COARSEST:
        return None
    plain = _constants() if constants else ()
    found = [_constant(form, known) for form in plain if _near(form.value, ratio, tolerance)]
    for x, quantity in known.items():
        for form in _forms(x, tolerance < _COARSE and not (literal and x == int(x))):
            if _near(form.value, ratio, tolerance):
                # A coincidence with a small number is likelier than with a large one.
                cost = form.cost + quantity.cost + (0.2 if x <= 4 else 0.0)
                found.append(Named(form.formula, f"{x:g} is {quantity.words}", form.question, cost))
    if not found and tolerance < 1e-6 and not literal:
        found = list(_products(ratio, tolerance, known))
    return min(found, key=lambda named: named.cost, default=None)


def _is_literal(ratio: float, tolerance: float) -> bool:
    """Whether a number is likelier written than computed, as 0.25: products of lengths hit it by chance."""
    return _near(float(f"{ratio:.2g}"), ratio, tolerance)


def _near(value: float, ratio: float, tolerance: float) -> bool:
    return abs(value / ratio - 1) <= tolerance and abs(value - 1) > 1e-12


def _constants() -> Iterator[_Form]:
    yield _Form("2", 2.0, "is a term counted twice, or a 1/2 forgotten?")
    yield _Form("1/2", 0.5, "is a term counted half, or the 2 of a square's derivative forgotten?")
    for n in (3, 4, 5, 10, 100, 1000):
        yield _Form(f"{n}", float(n), cost=0.5)
        yield _Form(f"1/{n}", 1 / n, cost=0.5)
    for top, bottom in ((2, 3), (3, 2), (3, 4), (4, 3)):  # exponents and their slips
        yield _Form(f"{top}/{bottom}", top / bottom, "is an exponent or a constant factor off?", 0.25)
    for name, value in (("π", math.pi), ("2π", 2 * math.pi), ("√2", 2**0.5)):
        yield _Form(name, value, cost=1.0)
        yield _Form(f"1/({name})" if len(name) > 2 else f"1/{name}", 1 / value, cost=1.0)
    for base in (2, 10):
        inverse = f"is the factor 1/ln {base} of a logarithm to base {base} forgotten?"
        yield _Form(f"ln {base}", math.log(base), inverse, cost=1.0)
        yield _Form(
            f"1/ln {base}",
            1 / math.log(base),
            f"is the factor ln {base} of a power of {base} forgotten?",
            1.0,
        )
    yield _Form("√(2/π)", math.sqrt(2 / math.pi), cost=1.0)


def _forms(x: float, exact: bool) -> Iterator[_Form]:
    """Yield the factors that a quantity gives rise to in practice."""
    n = f"{x:g}"
    if x != int(x):
        yield from _of_fraction(x, n)
        return
    yield _Form(n, x, f"is the division by {n} forgotten (a sum where a mean was meant)?")
    yield _Form(f"1/{n}", 1 / x, "is the mean taken twice, or a mean where a sum was meant?")
    if exact:
        yield from _rarely_of_integer(x, n)


def _rarely_of_integer(x: float, n: str) -> Iterator[_Form]:
    yield _Form(f"√{n}", x**0.5, f"is the scaling by 1/√{n} forgotten?", 0.2)
    yield _Form(f"1/√{n}", x**-0.5, f"is the scaling by 1/√{n} done twice?", 0.2)
    both = f"is it divided by {n} in one place and by {x - 1:g} in the other"
    biased = f"{both} (a variance, the gaps between points)?"
    yield _Form(f"{x - 1:g}/{n}", (x - 1) / x, biased, 0.3)
    yield _Form(f"{n}/{x - 1:g}", x / (x - 1), biased, 0.3)
    yield _Form(f"√({x - 1:g}/{n})", ((x - 1) / x) ** 0.5, biased, 0.4)
    yield _Form(f"√({n}/{x - 1:g})", (x / (x - 1)) ** 0.5, biased, 0.4)
    yield _Form(f"2·{n}", 2 * x, f"are the division by {n} and a 1/2 forgotten?", 0.5)
    yield _Form(f"1/(2·{n})", 0.5 / x, cost=0.5)
    yield _Form(f"2/{n}", 2 / x, cost=0.9)
    yield _Form(f"{n}/2", x / 2, cost=0.9)
    if x >= _SMALL:
        yield _Form(f"{n}²", x * x, cost=0.6)
        yield _Form(f"1/{n}²", x**-2, "is the mean taken three times?", 0.6)


def _of_fraction(x: float, n: str) -> Iterator[_Form]:
    """Rates, strengths and slopes."""
    yield _Form(n, x, f"is the factor {n} applied where it should not be?")
    yield _Form(f"1/{n}", 1 / x, f"is the factor {n} forgotten?")
    yield _Form(f"2·{n}", 2 * x, cost=0.2)
    yield _Form(f"{n}/2", x / 2, cost=0.2)
    yield _Form(f"{n}²", x * x, f"is the factor {n} applied twice, or on the wrong side?", 0.3)
    yield _Form(f"1/{n}²", x**-2, f"does it divide by {n} where it should multiply?", 0.3)
    if 0 < x < 1:
        rest = f"(1 - {n})"
        yield _Form(rest, 1 - x, f"is the scaling by 1/{rest} forgotten?", 0.1)
        yield _Form(f"1/{rest}", 1 / (1 - x), f"is the scaling by {rest} forgotten?", 0.1)
        exchanged = f"are {n} and {rest} exchanged?"
        yield _Form(f"{n}/{rest}", x / (1 - x), exchanged, 0.2)
        yield _Form(f"{rest}/{n}", (1 - x) / x, exchanged, 0.2)
        yield _Form(f"{n}·{rest}", x * (1 - x), f"is it multiplied by {n} where 1/{rest} was meant?", 0.3)


def _constant(form: _Form, known: Mapping[float, Quantity]) -> Named:
    """Name a plain number, and the quantity that happens to have the same value."""
    for x, quantity in known.items():
        if any(abs(same / form.value - 1) < 1e-12 for same in (x, 1 / x)):
            return Named(form.formula, f"{x:g} is {quantity.words}", form.question, form.cost + 0.1)
    return Named(form.formula, "", form.question, form.cost)


def _products(ratio: float, tolerance: float, known: Mapping[float, Quantity]) -> Iterator[Named]:
    listed = [(x, quantity) for x, quantity in known.items() if x == int(x)]
    for i, (x, first) in enumerate(listed):
        for y, second in listed[i + 1 :]:
            where = f"{x:g} is {first.words}, {y:g} is {second.words}"
            for formula, value in (
                (f"{x:g}·{y:g}", x * y),
                (f"1/({x:g}·{y:g})", 1 / (x * y)),
                (f"{x:g}/{y:g}", x / y),
                (f"{y:g}/{x:g}", y / x),
            ):
                if _near(value, ratio, tolerance):
                    yield Named(formula, where, "", 1.0 + first.cost + second.cost)
