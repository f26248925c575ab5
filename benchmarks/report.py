"""The tables, the picture and the JSON of a run."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import NOISY, Row

DOCS = Path(__file__).parents[1] / "docs"


def heading(threads: int, kernel: str, packages: Sequence[str]) -> str:
    """What ran where."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = platform.python_version()
    return f"Threads: {threads} for every library. NumPy's BLAS: {kernel}.\n{versions}; Python {python}."


def table(rows: Sequence[Row]) -> str:
    """Medians in ms, quartiles for NumPy, and each peer's time as a multiple of NumPy's."""
    peers = list(rows[0].seconds)[1:]
    lines = [
        cells("(B, T, D, H, K)", "NumPy, ms", "quartiles", "products", "at full speed", *peers),
        cells("---", *["---:"] * (len(peers) + 4)),
    ]
    for row in rows:
        low, median, high = row.quartiles("NumPy")
        lines.append(
            cells(
                row.workload,
                f"**{digits(median)}**",
                f"{digits(low)} - {digits(high)}",
                f"{row.share_of_products():.0%}",
                f"{row.product_share():.0%}",
                *(f"{digits(row.quartiles(peer)[1])} ({multiple(row, peer)})" for peer in peers),
            )
        )
    return "\n".join(lines)


def multiple(row: Row, peer: str) -> str:
    """ "1.8x", with "=" where it is undecided and "lost" where NumPy lost."""
    mark = {"faster": "", "open": " =", "slower": " lost"}[row.outcome(peer)]
    return f"{row.ratios(peer)[1]:.2f}x{mark}"


def conclusion(rows: Sequence[Row]) -> str:
    """Which rows are won, which are not, and whether the machine was quiet enough to tell."""
    said = []
    for outcome, text in (
        ("slower", "NumPy is slower than"),
        ("open", "Undecided, 1 is between the quartiles, against"),
    ):
        found = [
            f"{peer} on {row.workload}"
            for row in rows
            for peer in others(row)
            if row.outcome(peer) == outcome
        ]
        said.append(f"{text}: {'; '.join(found) or 'none'}.")
    pairs = [(row, peer) for row in rows for peer in others(row)]
    said.insert(
        0,
        f"NumPy is faster in {sum(r.outcome(p) == 'faster' for r, p in pairs)} of {len(pairs)} comparisons.",
    )
    noisy = [f"{row.workload}: {', '.join(row.noisy())}" for row in rows if row.noisy()]
    if noisy:
        said.append(
            f"TOO NOISY TO TELL the ratio (its quartiles more than {NOISY:.0%} apart): {'; '.join(noisy)}. "
            "Run again on a quiet machine."
        )
    return "\n".join(said)


def growth_table(growth: Mapping[str, Sequence[Row]]) -> str:
    """How the cost grows at the large end: the exponent p of cost ~ size**p over the last three sizes."""
    peers = list(next(iter(growth.values()))[0].seconds)
    lines = [cells("grown", "from", "to", *peers), cells("---", "---:", "---:", *["---:"] * len(peers))]
    for size, rows in growth.items():
        sizes = [getattr(row.workload, size) for row in rows]
        exponents = [slope(sizes[-3:], [row.quartiles(peer)[1] for row in rows[-3:]]) for peer in peers]
        lines.append(cells(size, sizes[0], sizes[-1], *(f"{p:.2f}" for p in exponents)))
    return "\n".join(lines)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent of the power law through the points."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def picture(growth: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Cost against T, B and H, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(growth), figsize=(11, 3.6), sharey=True, constrained_layout=True)
    for panel, (size, rows) in zip(panels, growth.items(), strict=True):
        sizes = [getattr(row.workload, size) for row in rows]
        for peer in rows[0].seconds:
            ms = [1e3 * row.quartiles(peer)[1] for row in rows]
            panel.loglog(sizes, ms, marker=".", label=peer, linewidth=2 if peer == "NumPy" else 1)
        fixed = ", ".join(
            f"{k} = {v}" for k, v in asdict(rows[0].workload).items() if k not in (size, "dtype")
        )
        panel.set(xlabel=f"{size}   ({fixed})")
        panel.grid(alpha=0.3)
    panels[0].set(ylabel=f"ms a pass, {rows[0].workload.dtype}")
    panels[0].legend()
    figure.savefig(path, dpi=90)


def dump(path: Path, **parts: Any) -> None:
    """Everything measured, as JSON: rows with all their samples in seconds."""
    path.write_text(json.dumps(parts, default=asdict, indent=1) + "\n", encoding="utf-8")


def paste(page: Path, part: str, text: str) -> None:
    """Put `text` between the marks of a part of a page. Raises ValueError where it has none."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} has no part between {begin!r} and {end!r} to put the tables into")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def others(row: Row) -> list[str]:
    """All peers but NumPy."""
    return [peer for peer in row.seconds if peer != "NumPy"]


def cells(*values: object) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(map(str, values))} |"


def digits(seconds: float) -> str:
    """Milliseconds with three significant digits."""
    ms = 1e3 * seconds
    return f"{ms:.{max(0, 2 - int(np.floor(np.log10(ms))))}f}"
