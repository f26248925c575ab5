"""Which product of a few known values gives these numbers? Found in their logarithms, a sum at a time."""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from reference_impl.spec import Array

# Factors that are looked for: the values, what derivatives make of them, and what is activated once more.
OF_SIGMA = ("{}", "(1 - {})", "(1 + {})", "(1 - {0} * {0})", "sigma({})", "(1 - sigma({}))")
OF_PHI = ("{}", "(1 - {})", "(1 - {0} * {0})", "phi({})", "(1 - phi({0}) * phi({0}))")
OF_VALUES = ("{}", "(1 - {})", "(1 - {0} * {0})")
FACTORS = tuple(
    form.format(name)
    for names, forms in (
        (("i", "f", "o"), OF_SIGMA),
        (("g", "phi_c", "c_prev"), OF_PHI),
        (("c", "h", "h_prev", "z_i", "z_f", "z_g", "z_o"), OF_VALUES),
    )
    for name in names
    for form in forms
)
# Logarithms of ratios agree to this. Numbers below this share of the largest are not looked at, and
# fewer than so many prove nothing.
AGREES, SMALL, FEWEST = 1e-6, 1e-3, 6
# Numbers in front that are written as fractions have no larger denominators.
DENOMINATORS = 60


class Factors:
    """The factors at hand: `known` values by name, all of one shape, the functions "sigma" and "phi", and
    the sizes "B" and "T".
    """

    def __init__(self, known: dict[str, Any]):
        self.sizes = {"B": known["B"], "T": known["T"]}
        self.texts: list[str] = []
        logs, signs = [], []
        with np.errstate(all="ignore"):  # zeros and infinities are looked for afterwards
            for text in FACTORS:
                if set(re.findall(r"[a-z]+(?:_[a-z]+)?", text)) <= known.keys():
                    array = np.ravel(eval(text, {}, dict(known)))
                    self.texts += [f" * {text}", f" / {text}"]
                    logs += [np.log(np.abs(array)), -np.log(np.abs(array))]
                    signs += [np.sign(array)] * 2
        self.logs, self.signs = np.array(logs), np.array(signs)

    def products(self, value: Array, base: Array, most: int) -> list[str]:
        """The products M of up to `most` factors and a number with value = base * M everywhere, as text that
        begins " * " or " / ": those of the fewest factors, "" where M is 1.
        """
        used = np.ravel(
            (np.abs(base) > SMALL * np.abs(base).max()) & (np.abs(value) > SMALL * np.abs(value).max())
        )
        if used.sum() < FEWEST or not np.isfinite(value).all():
            return []
        ratio = np.ravel(value)[used] / np.ravel(base)[used]
        logs, signs = self.logs[:, used], self.signs[:, used]
        with np.errstate(invalid="ignore"):  # inf - inf, of a factor that is left out for it
            varied = np.flatnonzero(np.isfinite(logs).all(axis=1) & (np.ptp(logs, axis=1) > AGREES))
        for count in range(most + 1):
            found = []
            for places, left in combinations(varied, logs, np.log(np.abs(ratio)), count):
                sign = np.sign(ratio) * signs[list(places)].prod(axis=0)
                if (sign == sign[0]).all():
                    text = "".join(self.texts[place] for place in places)
                    number = float(sign[0] * np.exp(np.median(left)))
                    found += [said + text for said in self.written(number)]
            if found:
                return found
        return []

    def written(self, number: float) -> Iterator[str]:
        """The number in front, as text: plain, and where it may be one, as a size."""
        plain = Fraction(number).limit_denominator(DENOMINATORS)
        if abs(float(plain) - number) > AGREES * abs(number):
            yield f" * {number:.7g}"
        else:
            over = f" / {plain.denominator}" if plain.denominator > 1 else ""
            yield over if plain.numerator == 1 else f" * {plain.numerator}{over}"
        B, T = self.sizes.values()
        for said, size in (("B", B), ("T", T), ("(B * T)", B * T)):
            if abs(number - size) <= AGREES * size:
                yield f" * {said}"
            if abs(number * size - 1) <= AGREES:
                yield f" / {said}"


def combinations(
    places: Array, logs: Array, wanted: Array, count: int
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Every product of `count` factors that leaves a number, with what is left of the `wanted` logarithms."""
    if count == 0:
        if np.ptp(wanted) <= AGREES:
            yield (), wanted
    elif count == 1 and len(places):
        left = wanted - logs[places]
        for k in np.flatnonzero(np.ptp(left, axis=1) <= AGREES):
            yield (int(places[k]),), left[k]
    elif len(places):
        for first, place in enumerate(places):
            left = wanted - logs[place] - logs[places[first:]]
            for k in np.flatnonzero(np.ptp(left, axis=1) <= AGREES):
                yield (int(place), int(places[first + k])), left[k]
