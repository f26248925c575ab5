"""The command `tapecheck`. Exit status 0: passed, 1: not passed, 2: bad usage or input."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from reference_impl.spec import BadInput
from tapecheck.answer import differing
from tapecheck.case import COMPILED, Case
from tapecheck.catalogue import CATALOGUE, named
from tapecheck.imports import imported
from tapecheck.keras_models import typed_loss
from tapecheck.problem import Implementation, Problem, Result
from tapecheck.progress import working
from tapecheck.report import Report
from tapecheck.rerun import RUN, Run, called, quoted
from tapecheck.saved import load
from tapecheck.text import figure, fitted, table

# The thread's models: shown in full when the whole catalogue runs.
SHOWN_IN_FULL = CATALOGUE[:3]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's own; returns the exit status."""
    arguments = parser().parse_args(argv)
    arguments.typed = list(sys.argv[1:] if argv is None else argv)
    before = RUN.set(Run())
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has gone: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except BadInput as problem:
        print(*fitted(f"tapecheck: {problem}".splitlines()), sep="\n", file=sys.stderr)
        return 2
    finally:
        RUN.reset(before)
    return status


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="tapecheck",
        description="Checks a handwritten LSTM -> Dense backpropagation against TensorFlow and the exact "
        "gradient. Without a command: checks the whole catalogue with the shipped NumPy implementation.",
        epilog="Exit status: 0 passed, 1 a mismatch or nothing proven, 2 bad usage or input.",
    )
    top.set_defaults(
        run=run_check, names=[], implementation=None, time_limit=None, pairs=False, verbose=False
    )
    commands = top.add_subparsers(metavar="COMMAND", title="commands")

    check = commands.add_parser("check", help="check cases of the catalogue by name, or all of them")
    check.add_argument(
        "names", nargs="*", metavar="NAME", help="a case's name, as `tapecheck list` prints it"
    )
    implementation_options(check)
    check.add_argument("-v", "--verbose", action="store_true", help="print every case in full")
    check.set_defaults(run=run_check)

    model = commands.add_parser("model", help="check a saved Keras model: its weights, on data or on noise")
    model.add_argument(
        "file", type=Path, metavar="FILE.keras", help="what model.save wrote; nothing in it is run"
    )
    model.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="x, y; also mask, sample_weight, initial states by name"
    )
    model.add_argument(
        "--loss",
        default=COMPILED,
        help="such as 'huber(delta=0.5)'; default: the one it was compiled with, or else mean_squared_error",
    )
    model.add_argument("--batch", type=int, metavar="N", help="how many samples; of the data, the first")
    model.add_argument(
        "--timesteps", type=int, metavar="N", help="how many steps, where the model leaves it open"
    )
    model.add_argument("--training", action="store_true", help="with dropout, as Keras draws it")
    model.add_argument("--dtype", help="compute in float32 or float64; default: as the model was saved")
    implementation_options(model)
    model.set_defaults(run=run_model)

    replay = commands.add_parser("replay", help="check the arrays of a failed check again, from its file")
    replay.add_argument("file", type=Path, metavar="FILE", help="such as .tapecheck/thread-sequences.npz")
    replay.set_defaults(run=run_replay)

    explain = commands.add_parser("explain", help="explain a quantity of either pass, such as dc_next")
    explain.add_argument(
        "name",
        metavar="NAME",
        help="a quantity: h, c, dh, dc, dz_f, dW_h, dc_next, ...; or scale, clipping, layout, ...",
    )
    explain.set_defaults(run=run_explain)

    adequacy = commands.add_parser("adequacy", help="say which mistakes a case cannot see, and why")
    adequacy.add_argument("names", nargs="*", metavar="CASE", help="a case's name; all of them without one")
    adequacy.set_defaults(run=run_adequacy)

    listing = commands.add_parser("list", help="list the cases of the catalogue")
    listing.set_defaults(run=run_list)
    return top


def implementation_options(command: argparse.ArgumentParser) -> None:
    """The options of every command that checks an implementation."""
    command.add_argument(
        "--implementation",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="check this callable (Problem -> Result or dict of gradients) instead of the shipped one",
    )
    command.add_argument(
        "--time-limit", type=seconds, metavar="SECONDS", help="give the implementation so long for each case"
    )
    command.add_argument(
        "--pairs",
        action="store_true",
        help="where no single mistake explains a mismatch, look for two at once (up to half a minute)",
    )


def run_list(arguments: argparse.Namespace) -> int:
    """`tapecheck list`: a line a case."""
    rows = [
        [case.name, sizes(case), str(case.loss or "upstream"), case.dtype, repr(case.model)]
        for case in CATALOGUE
    ]
    print("\n".join(table(["name", "B,T,D", "loss", "dtype", "model"], rows, left=range(5))))
    return 0


def run_explain(arguments: argparse.Namespace) -> int:
    """`tapecheck explain NAME`: equation, shape, derivation and known mistakes of a quantity."""
    from tapecheck.explain import explain

    print(explain(arguments.name))
    return 0


def run_adequacy(arguments: argparse.Namespace) -> int:
    """`tapecheck adequacy [CASE...]`: which mistakes each case sees and is blind to."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tapecheck.adequacy import adequacy

    cases: Sequence[Case] = named(arguments.names) or CATALOGUE
    with working(f"running every known mistake on {len(cases)} cases"):
        if len(cases) == 1:
            found = adequacy(cases)
        else:  # each case by itself, on all cores; spawned, since TensorFlow does not survive a fork
            with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
                found = adequacy(cases, pool.map)
    print(found)
    return 0


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    value = float(text)
    if not value > 0:
        raise ValueError
    return value


def run_replay(arguments: argparse.Namespace) -> int:
    """`tapecheck replay FILE`: the saved answer to the saved problem, judged again."""
    problem, result, name = load(arguments.file)

    def answer(asked: Problem) -> Result:
        if differing(problem, asked):
            raise NotImplementedError("the file holds its answer to one problem")
        return result

    (report,) = checked([problem], answer, arguments, name)
    print(report)
    return 0 if report.passed else 1


def run_model(arguments: argparse.Namespace) -> int:
    """`tapecheck model FILE.keras`: the gradients of a saved model."""
    implementation = imported(arguments.implementation) if arguments.implementation else None
    case = Case.from_keras(
        arguments.file,
        data=arguments.data,
        loss=typed_loss(arguments.loss),
        batch=arguments.batch,
        timesteps=arguments.timesteps,
        dtype=arguments.dtype,
        training=arguments.training,
    )
    (report,) = checked([case], implementation, arguments, arguments.implementation)
    data = f"data of {arguments.data}" if arguments.data else "inputs and targets drawn at random"
    print(report.full(), *([] if report.passed else [report.saved_line()]), "", sep="\n")
    print(f"weights of {arguments.file}, {data}")
    return 0 if report.passed else 1


def run_check(arguments: argparse.Namespace) -> int:
    """`tapecheck` and `tapecheck check`: every case in turn, then one line over all."""
    cases: Sequence[Case] = named(arguments.names) or CATALOGUE
    implementation = imported(arguments.implementation) if arguments.implementation else None
    in_full = cases if arguments.names or arguments.verbose else SHOWN_IN_FULL
    width = max(len(case.name) for case in cases)
    reports = []
    for report in checked(cases, implementation, arguments, arguments.implementation):
        reports.append(report)
        case = report.problem.case
        # flushed, since a time limit may have to end the process in the next case
        if report.answer.not_done and not arguments.names:
            print(f"--  {case.name:{width}}  {report.answer.failure}", flush=True)
        elif not (report.passed or report.answer.not_done):
            print(report.full(), report.saved_line(), sep="\n", end="\n\n", flush=True)
        elif case in in_full:
            print(report.full(), end="\n\n", flush=True)
        else:
            print(f"ok  {case.name:{width}}  {one_line(report)}", flush=True)
    print(("" if cases[-1] in in_full else "\n") + summary(reports))
    return 0 if all_passed(reports) else 1


def all_passed(reports: Sequence[Report]) -> bool:
    """Whether nothing failed and something passed. What the implementation does not do is neither."""
    return any(report.passed for report in reports) and all(
        report.passed or report.answer.not_done for report in reports
    )


def checked(
    cases: Sequence[Case | Problem],
    implementation: Implementation | None,
    arguments: argparse.Namespace,
    title: str | None,
) -> Iterator[Report]:
    """The report of each case in turn, with a progress line on a terminal; `title` is what the reports call
    the implementation.
    """
    from tapecheck.check import check
    from tf_oracle import OracleUnavailable

    for position, case in enumerate(cases):
        name = case.name if isinstance(case, Case) else case.case.name
        RUN.set(Run(again(arguments, name)))
        options = dict(time_limit=arguments.time_limit, pairs=arguments.pairs, name=title or "")
        with working(f"checking {name} ({position + 1} of {len(cases)})"):
            try:
                report = check(case, implementation, **options)
            except OracleUnavailable as reason:
                raise BadInput("TensorFlow", [str(reason)]) from reason
        yield report


def again(arguments: argparse.Namespace, name: str) -> str:
    """The command that checks the case `name` again, alone; "" for arrays from a file."""
    if arguments.run is run_replay:
        return ""
    words = arguments.typed
    if arguments.run is run_check:
        words = ["check", name, *(word for word in words if word not in ("check", *arguments.names))]
    return " ".join([called("tapecheck"), *map(quoted, words)])


def one_line(report: Report) -> str:
    """A passed report in one line: how near its nearest tensor came to the limit."""
    nearest = max(report.rows, key=lambda tensor: tensor.share_of_limit)
    return f"{nearest.share_of_limit:.2f} of its limit ({nearest.name})"


def summary(reports: Sequence[Report]) -> str:
    """One line over all."""
    done = [report for report in reports if not report.answer.not_done]
    left = len(reports) - len(done)
    rest = f"; {left} not done by this implementation" if left else ""
    failed = [report.problem.case.name for report in done if not report.passed]
    cases = f"{len(done)} case{'s' * (len(done) != 1)}"
    if failed:
        theirs = done[0].implementation != "reference_impl" and 0 < len(done) - len(failed) < len(failed)
        hint = "\nWhat an implementation does not do, it says with NotImplementedError." if theirs else ""
        return f"{len(failed)} of {cases} did not pass: {', '.join(failed)}{rest}{hint}"
    if not done:
        return f"nothing was checked{rest}"
    rows = [tensor for report in done for tensor in report.rows if tensor.passed]
    worst = max(rows, key=lambda tensor: tensor.share_of_limit)
    return (
        f"{cases} passed, {len(rows)} tensors; "
        f"largest error {worst.share_of_limit:.2f} of its limit of {figure(worst.limit)} eps{rest}"
    )


def sizes(case: Case) -> str:
    """ "B,T,D"."""
    return ",".join(map(str, case.input_shape))


if __name__ == "__main__":
    sys.exit(main())
