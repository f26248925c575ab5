"""`tapecheck explain` and `tapecheck adequacy`: what they print is true of the textbook and the faults."""

from pathlib import Path

import pytest

import reference_impl
from tapecheck.cli import main
from tapecheck.explain import EXPLANATIONS, explain, known_mistakes
from tapecheck.faults import equation_of

# The left-hand sides of the backward equations and of the head, as every diagnosis names them.
VOCABULARY = (
    "dy dlogits dW_y db_y dh_above dh do dc di df dg dz_i dz_f dz_g dz_o dz dW_x dW_h db dx dh_next dc_next"
)


def test_the_whole_vocabulary_is_explained():
    """Every quantity that a diagnosis can name has a shape and a derivation."""
    assert list(EXPLANATIONS) == VOCABULARY.split()


@pytest.mark.parametrize("quantity", [name for name in EXPLANATIONS if name != "dy"])
def test_equation_stands_where_it_says(quantity):
    """The equation is a line of the textbook, at the place that is printed."""
    equation, location = equation_of(quantity)
    file, line = location.split(":")
    text = (Path(reference_impl.__file__).parent / file).read_text().splitlines()[int(line) - 1]
    assert text.split("#")[0].strip() == equation
    assert f"{equation}  ({location})" in explain(quantity)


@pytest.mark.parametrize("quantity", EXPLANATIONS)
def test_mistakes_are_shown_one_of_a_kind(quantity):
    """Each quantity has known mistakes, no kind twice, none of them the right equation."""
    mistakes = known_mistakes(quantity)
    kinds = [kind for _, kind in mistakes]
    assert kinds
    assert len(set(kinds)) == len(kinds)
    assert equation_of(quantity)[0] not in [wrong for wrong, _ in mistakes]


def test_explain_command(capsys):
    """The command prints the text and ends with 0; another name is one clear line and 2."""
    assert main(["explain", "dc_next"]) == 0
    assert "dc_next = dc * f" in capsys.readouterr().out
    assert main(["explain", "dc_nxt"]) == 2
    assert "did you mean 'dc_next'?" in capsys.readouterr().err


def test_adequacy_command(capsys):
    """`tapecheck adequacy one-step` says what one step cannot see, and why."""
    assert main(["adequacy", "one-step"]) == 0
    out = capsys.readouterr().out
    assert "T = 1: no recurrence" in out
    assert "one-step" in out
