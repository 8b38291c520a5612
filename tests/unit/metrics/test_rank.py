"""Percentiles are those of numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.metrics.rank import at_rank

NUMBERS = st.lists(st.integers(-(2**40), 2**62), min_size=1, max_size=20).map(np.array) | st.lists(
    st.floats(-1e12, 1e12), min_size=1, max_size=20
).map(np.array)


@given(NUMBERS, st.sampled_from([0.0, 5.0, 25.0, 50.0, 95.0, 99.0, 100.0]) | st.floats(0, 100))
def test_it_is_numpy_s_to_the_last_bit(values: np.ndarray, rank: float) -> None:
    before = values.copy()
    assert at_rank(values, rank) == float(np.percentile(values, rank))
    assert (values == before).all()


def test_of_nothing_there_is_none() -> None:
    with pytest.raises(IndexError):
        at_rank(np.zeros(0), 50.0)
