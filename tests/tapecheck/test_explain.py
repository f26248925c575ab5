"""`tapecheck explain` and `tapecheck adequacy`: what they print is true of the textbook and the faults."""

import re
from pathlib import Path

import pytest

import reference_impl
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.cli import main
from tapecheck.explain import EXPLANATIONS, FORWARD, SHOWN, WHOLE, explain, known_mistakes
from tapecheck.faults import equation_of, faults, forward_equation_of

# The left-hand sides of the backward equations and of the head, as every diagnosis names them.
VOCABULARY = (
    "dy dlogits dW_y db_y dh_above dh do dc di df dg dz_i dz_f dz_g dz_o dz dW_x dW_h db dx dh_next dc_next"
)


def test_the_whole_vocabulary_is_explained():
    """Every quantity that a diagnosis can name has a shape and a derivation."""
    assert list(EXPLANATIONS) == VOCABULARY.split()


@pytest.mark.parametrize("quantity", [*FORWARD, *EXPLANATIONS])
def test_equation_stands_where_it_says(quantity):
    """The equation is a line of the textbook, at the place that is printed."""
    equation, location = (forward_equation_of if quantity in FORWARD else equation_of)(quantity)
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


@pytest.mark.parametrize("quantity", FORWARD)
def test_mistakes_of_the_forward_pass_are_somebodys(quantity):
    """They are of one kind, so the shortest are shown, but for 0 and multiples: nobody has these."""
    mistakes = [wrong for wrong, _ in known_mistakes(quantity)]
    assert len(set(mistakes)) == len(mistakes)
    assert forward_equation_of(quantity)[0] not in mistakes
    assert not any(re.search("= (0$|-|2 )", wrong) for wrong in mistakes)
    assert len(mistakes) > 4 or quantity == "y"  # whose activation may be any


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_no_single_equation_is_explained(name):
    """Each name that a diagnosis may have in place of a quantity says what it means, and its mistakes."""
    lines = explain(name).splitlines()
    assert lines[0] == f"{name}  (no single equation)"
    assert "It shows" in " ".join(" ".join(lines).split())
    mistakes = [wrong for wrong, _ in known_mistakes(name)]
    assert mistakes
    assert all(any(f"- {wrong[:20]}" in line for line in lines) for wrong in mistakes[:SHOWN])
    assert max(map(len, lines)) <= 100


def test_mistakes_that_differ_in_a_number_are_shown_once():
    """Of twenty ranges to clip to, and six counts of steps, one is enough."""
    assert len(known_mistakes("clipping")) == 4
    assert [wrong.split()[5] for wrong, _ in known_mistakes("truncation")] == ["after", "every"]


def test_what_has_no_equation_in_a_diagnosis_is_explained():
    """No fault that the tool can name is refused."""
    model = Sequential([LSTM(3, return_sequences=True), LSTM(3), Dense(2)])
    for mask in (None, "random"):
        named = {fault.quantity for fault in faults(Case("named", model, mask=mask).problem())}
        assert named - {*FORWARD, *EXPLANATIONS, *WHOLE} == set()


def test_explain_command(capsys):
    """The command prints the text and ends with 0; another name is one clear line and 2."""
    assert main(["explain", "dc_next"]) == 0
    assert "dc_next = dc * f" in capsys.readouterr().out
    assert main(["explain", "dc_nxt"]) == 2
    refusal = " ".join(capsys.readouterr().err.split())
    assert "did you mean 'dc_next'?" in refusal
    assert set(re.findall(r"\w+", refusal)) >= {*FORWARD, *EXPLANATIONS, *WHOLE}


def test_adequacy_command(capsys):
    """`tapecheck adequacy one-step` says what one step cannot see, and why."""
    assert main(["adequacy", "one-step"]) == 0
    out = capsys.readouterr().out
    assert "T = 1: no recurrence" in out
    assert "one-step" in out
