"""What the tests of the documents share: reading the page that a test file is named after."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(request: pytest.FixtureRequest) -> str:
    """The text of docs/<name>.md, for a test in test_<name>.py or test_<name>_<part>.py."""
    return (ROOT / "docs" / f"{request.path.stem.split('_')[1]}.md").read_text(encoding="utf-8")


@pytest.fixture
def blocks(page: str) -> dict[str, list[str]]:
    """The ```text blocks of the page by the heading they stand under, headings with blocks only."""
    found = {}
    for section in re.split(r"^#+ ", page, flags=re.MULTILINE)[1:]:
        text = re.findall(r"^```text\n(.*?)\n```$", section, flags=re.MULTILINE | re.DOTALL)
        if text:
            found[section.partition("\n")[0]] = text
    return found


@pytest.fixture
def figures(blocks: dict[str, list[str]]) -> Callable[[str], str]:
    """`figures("heading")` is the one text block under that heading."""

    def under(heading: str) -> str:
        (block,) = blocks[heading]
        return block

    return under
