"""Layout: one declaration of how someone's weights and arrays lie, converted both ways.

Each number of theirs is one of ours in another place. Our LSTM weights are rows, one for each input,
of four gates of H units. Whatever theirs look like, three choices say where a number went: which rows
an array has (`concatenated`), which gates, in which order (`gates`), and whether rows or columns come
first (`vectors`, `bias_shape`). They make one table of places: weights are read through it, and
gradients are written back through it. Sequences and states are moved by their axes' letters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np

from reference_impl import GATES, LSTM
from reference_impl.spec import Array, Arrays, BadInput, did_you_mean, one_of
from tapecheck.layout.moves import (
    cut,
    farther,
    input_letters,
    laid_end_to_end,
    misfit,
    move,
    only_lstm,
    our_blocks,
)
from tapecheck.problem import Problem

# Whose rows a letter of `concatenated` stands for: the input's, the last output's, the constant 1's.
ROWS = {"x": "lstm/kernel", "h": "lstm/recurrent_kernel", "1": "lstm/bias"}
CONCATENATED = ("", *("".join(letters) for inputs in ("hx", "1hx") for letters in permutations(inputs)))
# R the rows, one for each input; N the columns, one for each gate and unit.
VECTORS = {"row": "RN", "column": "NR"}
BIAS_SHAPES = {"(H,)": "N", "(1,H)": "RN", "(H,1)": "NR"}
AXES = (*map("".join, permutations("BTD")), "TD", "DT")


class Piece(NamedTuple):
    """One array of theirs: which rows and gates of our tensors, and which axis first."""

    name: str
    ours: tuple[str, ...]  # our tensors whose rows it has, in order
    gates: tuple[int, ...]  # in order; (0,) in Dense
    axes: str  # "RN", "NR" or "N"
    copy: bool = False  # a second bias: zeros, beside the one that holds ours

    def places(self, positions: Arrays) -> Array:
        """The position of each of its numbers in our weights laid end to end; shaped as it is."""
        rows = np.concatenate([positions[name][:, self.gates] for name in self.ours])  # (R, gates, H)
        return move(rows.reshape(len(rows), -1), "RN", self.axes)

    def letters(self, inputs: Mapping[str, str]) -> list[str]:
        """Its shape in dimension letters, such as ["H", "H+D"]; `inputs` has those of our rows."""
        units = "K" if self.ours[0].startswith("dense/") else "H"
        rows = "+".join(inputs[name] for name in self.ours)
        columns = units if len(self.gates) == 1 else f"{len(self.gates)}{units}"
        return [{"R": rows, "N": columns}[axis] for axis in self.axes]


@dataclass(frozen=True)
class Layout:
    """How someone's weights and arrays lie. The defaults are this project's own layout and names.

    `gates` is the order in a matrix, "ifgo" any way round (g is the candidate), with a comma where
    another matrix starts: "i,f,g,o" is one a gate, "oif,g" is two. `gate_names` is what `{gate}` in a
    name becomes, one for each matrix, where that is not the letters in `gates`.
    `kernel`, `recurrent_kernel` and `bias` are names, such as "W{gate}". `bias` is None where they have
    none, and a tuple where they add up several, as PyTorch does: the first is ours, the others zeros.
    `concatenated` is the order of the inputs where one matrix, `kernel`, takes them all: "hx", "xh", or,
    with the bias as a row, "1xh". `vectors` is "row" for x @ W and "column" for W @ x. `bias_shape` is
    "(H,)", "(1,H)" or "(H,1)", H standing for the columns of its matrix: 4H if packed, K in Dense.
    `dense_kernel` and `dense_bias` are names as well. What is not theirs is None: `kernel` where they
    have no LSTM, `dense_kernel` and `dense_bias` where they have no Dense (see `run_head`).
    `gradient` is what the gradient of a weight is called, such as "d{name}".
    `lstm` and `dense` are the names of our layers that this is about, such as "lstm_1", where the model has
    several: each then has a layout of its own. Left out, the model has one LSTM, first, and its first Dense.
    `axes` of a sequence are "BTD" any way round, or "TD" or "DT" where they take one sequence without a
    batch; D is the last axis of ours, whatever its length. States and single steps leave the T out.

    Raises BadInput with everything that is wrong with it.
    """

    gates: str = "ifgo"
    gate_names: Sequence[str] = ()
    kernel: str | None = "lstm/kernel"
    recurrent_kernel: str = "lstm/recurrent_kernel"
    bias: str | tuple[str, ...] | None = "lstm/bias"
    concatenated: str = ""
    vectors: str = "row"
    bias_shape: str = "(H,)"
    dense_kernel: str | None = "dense/kernel"
    dense_bias: str | None = "dense/bias"
    gradient: str = "{name}"
    axes: str = "BTD"
    lstm: str | None = None
    dense: str = "dense"

    def __post_init__(self) -> None:
        said = self.problems()
        if said:
            raise BadInput("this layout", said)

    def problems(self) -> list[str]:
        """Everything wrong with the declaration, a sentence each."""
        matrices = self.gates.split(",")
        said = []
        if sorted(self.gates.replace(",", "")) != sorted(GATES) or "" in matrices:
            said.append(
                f"`gates` = {self.gates!r}, but should be a permutation of 'ifgo', g being the candidate, "
                "with commas between matrices"
            )
        elif len(self.gate_names) not in (0, len(matrices)):
            said.append(
                f"`gate_names` = {self.gate_names!r}, but should be {len(matrices)} names, "
                f"one for each matrix of gates {self.gates!r}"
            )
        said += one_of("concatenated", self.concatenated, CONCATENATED)
        said += one_of("vectors", self.vectors, VECTORS)
        said += one_of("bias_shape", self.bias_shape, BIAS_SHAPES)
        said += one_of("axes", self.axes, AXES)
        if "{name}" not in self.gradient:
            said.append(f"`gradient` = {self.gradient!r}, but should contain {{name}}, such as 'd{{name}}'")
        names = [] if said else [piece.name for piece in self.pieces()]
        said += [
            f"{names.count(name)} arrays are named {name!r}, but should have a name each: "
            "write {gate} in it where theirs has the gate"
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        return said

    def pieces(self) -> Iterator[Piece]:
        """Their arrays."""
        biases = (self.bias,) if isinstance(self.bias, str) else self.bias or ()
        matrix, vector = VECTORS[self.vectors], BIAS_SHAPES[self.bias_shape]
        matrices = self.gates.split(",")
        for letters, gate in zip(matrices, self.gate_names or matrices, strict=True):
            if self.kernel is None:
                break
            gates = tuple(GATES.index(letter) for letter in letters)
            arrays = [(self.kernel, self.concatenated or "x", matrix)]
            if not self.concatenated:
                arrays.append((self.recurrent_kernel, "h", matrix))
            if "1" not in self.concatenated:
                arrays += [(name, "1", vector) for name in biases]
            for name, inputs, axes in arrays:
                ours = tuple(ROWS[letter] for letter in inputs)
                yield Piece(name.replace("{gate}", gate), ours, gates, axes, copy=name in biases[1:])
        if self.dense_kernel is not None:
            yield Piece(self.dense_kernel, ("dense/kernel",), (0,), matrix)
        if self.dense_bias is not None:
            yield Piece(self.dense_bias, ("dense/bias",), (0,), vector)

    # ---- weights, and their gradients back

    def of(self, problem: Problem, tensors: Mapping[str, Array]) -> Arrays:
        """Those of our tensors that this is about, as "lstm/…" and "dense/…" whatever our layers are called.

        Raises BadInput where the model does not fit the layout.
        """
        layers = dict(problem.model.named_layers())
        if self.lstm is None:
            only_lstm(problem)
        elif not isinstance(layers.get(self.lstm), LSTM):
            lstms = [name for name, layer in layers.items() if isinstance(layer, LSTM)]
            raise BadInput("this layout", one_of("lstm", self.lstm, lstms))
        renamed = {self.lstm or "lstm": "lstm", self.dense: "dense"}
        return {
            name.replace(layer, renamed[layer], 1): array
            for name, array in tensors.items()
            if (layer := name.partition("/")[0]) in renamed
        }

    def called(self, name: str) -> str:
        """What "lstm/…" or "dense/…" is called in the model."""
        layer, _, tensor = name.partition("/")
        return f"{(self.lstm or 'lstm') if layer == 'lstm' else self.dense}/{tensor}"

    def table(self, problem: Problem) -> list[tuple[Piece, Array]]:
        """Their arrays, each with the places of its numbers in our weights laid end to end.

        Raises BadInput where the model does not fit the layout.
        """
        weights = self.of(problem, problem.weights)
        blocks = our_blocks(weights)
        pieces = [piece for piece in self.pieces() if blocks.keys() >= set(piece.ours)]
        held = {name for piece in pieces for name in piece.ours}
        if "lstm/kernel" in held and "lstm/bias" in weights.keys() - held:
            raise BadInput("this layout", ["`bias` = None, but the model has one: use LSTM(use_bias=False)"])
        positions = cut(np.arange(sum(map(np.prod, blocks.values()))), blocks)
        return [(piece, piece.places(positions)) for piece in pieces]

    def weights(self, problem: Problem) -> Arrays:
        """The problem's weights by their names and in their shapes, as arrays of their own.

        A bias that they have and the model has not is zeros. Raises BadInput where the model does not
        fit the layout.
        """
        weights = self.of(problem, problem.weights)
        flat = laid_end_to_end(weights, weights)
        return {piece.name: flat[places] * (not piece.copy) for piece, places in self.table(problem)}

    def gradients(
        self,
        problem: Problem,
        theirs: Mapping[str, Array],
        *,
        x: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
    ) -> Arrays:
        """Their gradients of the weights by our tensor names; what else `theirs` holds is passed over.

        `x`, `initial_h` and `initial_c` are their gradients of these, in their axes, if they have any.
        The gradients of several biases that are added up should be equal. Number by number, the one
        farthest from the shipped implementation's is taken, so that a wrong one cannot hide.

        Raises BadInput with everything that is missing or of another shape.
        """
        states = {
            self.called("lstm/initial_h"): initial_h,
            self.called("lstm/initial_c"): initial_c,
        }
        inputs = {name: array for name, array in {"x": x, **states}.items() if array is not None}
        said = self.misfits(problem, theirs, inputs)
        if said:
            raise BadInput("these gradients", said)

        weights = self.of(problem, problem.weights)
        flat = np.empty_like(laid_end_to_end(weights, weights))
        lowest: dict[str, np.dtype] = {}
        for piece, places in self.table(problem):
            array = theirs[self.gradient_name(piece)]
            if piece.copy:
                reference = laid_end_to_end(weights, self.of(problem, problem.reference.gradients))
                array = farther(flat[places], array, reference[places])
            flat[places] = array
            for name in piece.ours:  # a float32 one among them must show in the whole
                lowest[name] = min(lowest.get(name, array.dtype), array.dtype, key=lambda d: d.itemsize)
        found = {
            self.called(name): block.reshape(weights[name].shape).astype(lowest[name])
            for name, block in cut(flat, our_blocks(weights)).items()
            if name in lowest and name in weights
        }
        return found | {name: self.ours(array) for name, array in inputs.items()}

    def gradient_name(self, piece: Piece) -> str:
        """What the gradient of an array of theirs is called."""
        return self.gradient.replace("{name}", piece.name)

    def misfits(self, problem: Problem, theirs: Mapping[str, Array], inputs: Arrays) -> list[str]:
        """What is wrong with the shapes of their gradients, a sentence each."""
        rows, said = input_letters(self.of(problem, problem.weights)), []
        for piece, places in self.table(problem):
            name, letters = self.gradient_name(piece), piece.letters(rows)
            if name in theirs:
                said += misfit(f"gradient {name!r}", theirs[name], places.shape, letters)
            else:
                shape = f"{places.shape}: ({', '.join(letters)})"
                said.append(f"gradient {name!r} {shape} is missing{did_you_mean(name, theirs)}")
        for name, array in inputs.items():
            ours = problem.x if name == "x" else problem.initial_state[name]
            axes = self.axes if name == "x" else self.axes.replace("T", "").replace("D", "H")
            said += misfit(f"gradient of `{name}`", array, self.theirs(ours).shape, axes)
        return said

    # ---- inputs, targets, states, outputs

    def theirs(self, array: Array) -> Array:
        """A sequence of ours (B, T, D), or a state or single step (B, D), in their axes.

        Raises BadInput for more than one sequence where they have no batch.
        """
        if "B" not in self.axes and len(array) != 1:
            raise BadInput(
                "this batch",
                [f"batch = {len(array)}, but should be 1: axes {self.axes!r} hold one sequence"],
            )
        source, target = ("BTD", self.axes) if array.ndim == 3 else ("BD", self.axes.replace("T", ""))
        return move(array, source, target)

    def ours(self, array: Array) -> Array:
        """A sequence of theirs as (B, T, D), a state or single step as (B, D). Raises BadInput."""
        axes = self.axes if array.ndim == len(self.axes) else self.axes.replace("T", "")
        if array.ndim != len(axes):
            raise BadInput(
                "this array",
                [f"shape = {array.shape}, but should have axes {self.axes!r}, or {axes!r} at one step"],
            )
        return move(array, axes, "BTD" if "T" in axes else "BD")
