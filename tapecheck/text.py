"""Plain-text building blocks of every report: figures, indentation, tables without lines."""

import io
import math
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


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
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column, title in enumerate(header):
        drawn.add_column(Text(title), justify="left" if column in left else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(Text, row))
    out = io.StringIO()
    Console(file=out, width=300, color_system=None).print(drawn)
    return [line.rstrip() for line in out.getvalue().splitlines()]
