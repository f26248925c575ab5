"""What the tests of the layout share: what a refused call says."""

import pytest

from reference_impl import BadInput


@pytest.fixture
def refused():
    """The problems that a call is refused with."""

    def problems(function, *args, **kwargs):
        with pytest.raises(BadInput) as caught:
            function(*args, **kwargs)
        return caught.value.problems

    return problems
