"""Plain-text building blocks of every report: figures, indentation, tables without lines."""

import math
from collections.abc import Collection, Iterable, Sequence


def figure(value: float) -> str:
    """A number in at most seven characters: "1.2", "34", "5.9e14", "inf", and "-" for NaN."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if value < 10:
        return f"{value:.1f}"
    if value < 10_000:
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def plain(text: str) -> str:
    """The text in ASCII; what is not is written as in Python, such as \\u2588."""
    return text.encode("ascii", "backslashreplace").decode()


def indent(lines: Iterable[str], by: int = 2) -> list[str]:
    """The lines moved right; empty ones stay empty."""
    return [" " * by + line if line else "" for line in lines]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = ()) -> list[str]:
    """Lines of an aligned table; the columns numbered in `left` are set left, the others right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
