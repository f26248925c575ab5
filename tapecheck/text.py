"""Plain-text building blocks of every report: figures, indentation, tables without lines."""

import math
import re
import textwrap
from collections.abc import Collection, Iterable, Sequence

# Columns of every report.
WIDTH = 100
# Characters that move a terminal's cursor or change its colours, or are not shown.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


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
    """The text in ASCII; what is not, or steers a terminal, is written as in Python, such as \\u2588."""
    ascii_text = text.encode("ascii", "backslashreplace").decode()
    return STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", ascii_text)


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def indent(lines: Iterable[str], by: int = 2) -> list[str]:
    """The lines moved right; empty ones stay empty."""
    return [" " * by + line if line else "" for line in lines]


def shortened(text: str, width: int) -> str:
    """The text with "..." in its middle where it is longer than `width`."""
    if len(text) <= width:
        return text
    head = (width - 3) // 2
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def fitted(lines: Iterable[str], width: int = WIDTH) -> list[str]:
    """The lines in plain ASCII, those that are too long broken with their own indentation and two more."""
    found = []
    for line in map(plain, lines):
        margin = " " * (len(line) - len(line.lstrip()) + 2)
        found += [line]
        if len(line) > width:
            found[-1:] = textwrap.wrap(line, width, subsequent_indent=margin, break_on_hyphens=False)
    return found


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (), width: int = WIDTH - 2
) -> list[str]:
    """Lines of an aligned table; the columns numbered in `left` are set left, the others right. Where it is
    wider than `width`, what is longest in the columns set left is shortened in the middle.
    """
    cells = [list(map(plain, row)) for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    if excess > 0 and left:
        widest = max(left, key=lambda column: widths[column])
        widths[widest] = max(widths[widest] - excess, 8)
    lines = []
    for row in cells:
        fits = [shortened(cell, width) for cell, width in zip(row, widths, strict=True)]
        set_out = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(fits, widths, strict=True))
        ]
        lines.append("  ".join(set_out).rstrip())
    return lines
