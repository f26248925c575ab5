"""What a report says is known of Keras, where TensorFlow is off."""

from pathlib import Path

import pytest

from tapecheck import check
from tapecheck.catalogue import CATALOGUE, named
from tapecheck.known import FINDINGS, known

PAGE = (Path(__file__).parents[2] / "docs" / "findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.heading)
def test_every_finding_is_a_heading_of_the_page(finding):
    """A reader finds what is said to be known."""
    assert f"\n## {finding.heading}\n" in PAGE


@pytest.mark.parametrize(
    ("name", "number"),
    [("keras-unrolled-backwards", "9."), ("keras-sparsemax", "15."), ("keras-celu-at-zero", "16.")],
)
def test_a_case_in_which_keras_is_off_meets_its_finding(name, number):
    """That one and no other, and the report says so."""
    (case,) = named([name])
    (heading,) = known(case)
    assert heading.startswith(number)
    assert f"- known: {heading} (docs/findings.md)" in str(check(case))


def test_where_tensorflow_is_right_nothing_is_said():
    """Cases that could meet a finding and do not: their reports have no such line."""
    cases = [case for case in CATALOGUE if known(case)]
    assert cases
    assert not any("known:" in str(check(case)) for case in cases)
