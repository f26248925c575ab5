"""The text of a report below its first line, part by part."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from reference_impl.losses import clip_note
from tapecheck.compare import FAILED, INCONCLUSIVE, OFF, PASSED, UNCHECKED, Element, TensorReport
from tapecheck.complexstep import complex_steps
from tapecheck.known import known
from tapecheck.referee import NOBODY, OURS_OFF
from tapecheck.text import figure, indent, shortened, table
from tapecheck.witnesses import outvoted_of_three, place, shape_of_error
from tf_oracle import versions

if TYPE_CHECKING:
    from tapecheck.report import Report

MARKS = {PASSED: "ok", FAILED: "FAIL", INCONCLUSIVE: "??", UNCHECKED: "--"}
# Lines of what an implementation prints, and of its traceback, that a report shows.
SHOWN_LINES = 5
SHOWN_FRAMES = 30
LONGEST_LINE = 400
# Columns that the name of an implementation may have, and digits of a worst element.
NAME_WIDTH = 50
DIGITS = (7, 6, 5)


# ---- the two sides


def model_lines(report: Report) -> Iterator[str]:
    """The layers, the sizes, and the two models side by side: shapes, parameter counts, weights."""
    layers = " -> ".join(map(repr, report.problem.model.layers))
    yield from textwrap.wrap(layers, 78, break_long_words=False, break_on_hyphens=False)
    yield setting(report)
    yield ""
    yield from layer_lines(report)
    yield weights_line(report)


def setting(report: Report) -> str:
    """Sizes, loss and dtype in one line."""
    B, T, D = report.problem.x.shape
    case = report.problem.case
    extras = [
        "random initial state" if case.initial_state == "random" else "",
        f"{case.mask} mask" if case.mask else "",
        "training" if case.training else "",
        f"batch {case.batches} of {case.batches}" if case.batches > 1 else "",
        f"one weight a {case.sample_weight}" if case.sample_weight else "",
        f"class weights {dict(case.class_weight)}" if case.class_weight else "",
    ]
    loss = str(case.loss or "free upstream gradient")
    return ", ".join([loss, str(report.problem.dtype), f"B={B} T={T} D={D}", *filter(None, extras)])


def layer_lines(report: Report) -> list[str]:
    """The table of layers: output shape and parameter count, in Keras and in NumPy."""
    rows = []
    for (name, layer, given, shape), twin in zip(
        report.problem.model.shapes(report.problem.x.shape), report.oracle.layers, strict=True
    ):
        count = sum(int(np.prod(weight)) for weight in layer.weight_shapes(given).values())
        rows.append([name, str(twin.output_shape), str(shape), str(twin.parameters), str(count)])
    return table(["layer", "Keras output", "NumPy output", "Keras params", "NumPy params"], rows, left=(0,))


def weights_line(report: Report) -> str:
    """Whether Keras holds the weights that the problem has."""
    different = [difference for difference in report.twin_differences if "weights in Keras" in difference]
    return f"weights: {len(report.problem.weights)} tensors, " + (
        "; ".join(different) or "equal bit for bit in Keras and NumPy"
    )


def sides(report: Report) -> str:
    """Who was compared with whom."""
    v = versions()
    name = shortened(report.implementation, NAME_WIDTH)
    return f"{name} against TensorFlow {v['tensorflow']}, Keras {v['keras']}"


# ---- the tensors


def tensor_lines(report: Report) -> list[str]:
    """The table of tensors; none where the implementation raised, and nothing can stand in it."""
    if report.answer.traceback or report.answer.not_done:
        return []
    failing = report.verdict == FAILED
    ours = "NumPy" if report.implementation == "reference_impl" else "yours"
    header = ["", "tensor", "shape", *(["bad/total"] if failing else []), ours, "TensorFlow", "limit"]
    header += ["against exact"] if failing else []
    eps = float(np.finfo(report.problem.dtype).eps)
    rows = [
        [
            MARKS[row.verdict],
            row.name,
            str(row.shape),
            *([bad_of_total(row)] if failing else []),
            figure(row.error),
            figure(row.oracle_error),
            figure(row.limit),
            *([shape_of_error(row, eps)] if failing else []),
        ]
        for row in report.rows
    ]
    return [unit(report), *table(header, rows, left=(0, 1, len(header) - 1) if failing else (0, 1))]


def unit(report: Report) -> str:
    """What the errors are measured against, and in what."""
    if report.exact is None:
        return "nothing can be measured"
    bits = int(np.floor(-np.log2(report.exact.radius))) if report.exact.radius else "infinity"
    return f"errors in eps of scale, against {report.exact.arithmetic} (radius < 2^-{bits} of scale)"


def bad_of_total(row: TensorReport) -> str:
    """How many elements are past the limit; large numbers are rounded."""
    bad, total = (str(n) if n < 100_000 else figure(n) for n in (row.bad, row.total))
    return f"{'-' if row.verdict == UNCHECKED else bad}/{total}"


# ---- the evidence


def evidence(report: Report) -> Iterator[str]:
    """What else there is to say: doubts, notes, the worst elements, what is wrong, the experiments."""
    in_table = [line for line in report.wrongs + report.doubts if line.endswith(" is wrong")]
    said = [line for line in report.wrongs + report.doubts if line not in in_table]
    in_first_line = said[:1] if report.answer.traceback or report.answer.not_done else []
    notes = [
        *(f"- {line}" for line in said if line not in in_first_line),
        *known_findings(report),
        *side_effects(report),
        *outputs_clipped(report),
    ]
    if notes:
        yield from ["", *notes]
    disputed = [
        (row, row.worst)
        for row in report.rows
        if row.worst
        and (row.verdict == FAILED or row.note in (OFF, OURS_OFF, NOBODY))
        and not np.isnan(row.worst.exact)
    ]
    if disputed:
        yield ""
        yield from witnesses(report, disputed)
    if report.blind_to:
        yield from ["", *textwrap.wrap(report.blind_to, 78, subsequent_indent="  ", break_on_hyphens=False)]
    found = list(report.investigation.lines())
    if found:
        yield from ["", *found]


def witnesses(report: Report, disputed: list[tuple[TensorReport, Element]]) -> Iterator[str]:
    """The worst element of each disputed tensor as every witness has it, and who is outvoted. The complex
    step is a derivative: of the output and the loss there is the exact value alone.
    """
    rows: list[tuple[str, tuple[float, ...]]] = []
    outvoted, of_forward = [], []
    for tensor, element in disputed:
        at, yours, oracle, true, unit = element
        where = place(report.problem, tensor.name, at)
        if tensor.name in report.forward:
            rows.append((where, (yours, oracle, true)))
            of_forward.append(outvoted_of_three(yours, oracle, true, tensor.limit * unit, "the exact value"))
            continue
        entry = int(np.ravel_multi_index(at, tensor.shape))
        step = float(complex_steps(report.problem, tensor.name, [entry])[0])
        rows.append((where, (yours, oracle, true, step)))
        if tensor.note == OURS_OFF:
            outvoted.append("TensorFlow and the complex step agree: tapecheck's exact gradient is wrong")
            continue
        outvoted.append(outvoted_of_three(yours, oracle, step, tensor.limit * unit, "the complex step"))
    for digits in DIGITS:
        cells = [[where, *(f"{value:+.{digits}g}" for value in values)] for where, values in rows]
        cells = [[*row, *["-"] * (5 - len(row))] for row in cells]
        lines = table(["worst element", "yours", "TensorFlow", "exact", "complex step"], cells, left=(0,))
        if not any("..." in line for line in lines):
            break
    yield from lines
    losers = Counter(outvoted or of_forward)
    for loser, count in losers.items():
        yield f"{loser} ({count} of {losers.total()})" if len(losers) > 1 else loser


def known_findings(report: Report) -> Iterator[str]:
    """Where TensorFlow is off: what is known of it."""
    if any(row.note == OFF for row in report.rows):
        for heading in known(report.problem.case):
            yield f"- known: {heading} (docs/findings.md)"


def outputs_clipped(report: Report) -> Iterator[str]:
    """That the loss does not see some of the outputs, on a head that it is not made for."""
    problem = report.problem
    note = clip_note(problem.loss, problem.model.head, np.asarray(problem.reference.output))
    if note:
        yield f"- note: {note}"


def side_effects(report: Report) -> Iterator[str]:
    """What the implementation did besides answering: its traceback, its prints, its writes."""
    frames = report.answer.traceback
    if len(frames) > SHOWN_FRAMES:
        half = SHOWN_FRAMES // 2
        left_out = f"  ... {len(frames) - 2 * half} lines ..."
        frames = (*frames[:half], left_out, *frames[-half:])
    yield from indent([shortened(line, LONGEST_LINE) for line in frames])
    if report.answer.changed:
        yield f"- note: it wrote into its inputs: {', '.join(report.answer.changed)} (they were copies)"
    printed = report.answer.printed
    if printed:
        yield f"- note: it printed {len(printed)} line{'s' * (len(printed) > 1)}, beginning with"
        yield from indent([shortened(line, 90) for line in printed[:SHOWN_LINES]], 4)
