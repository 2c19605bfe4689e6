"""Ids found in a list, and the first of equal keys."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from spark.runtime.places import are_first, places_in

IDS = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-9, 9))  # also ids that are close
KEYS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-9, 9))


@given(ids=st.lists(IDS, unique=True), others=st.lists(IDS))
@example(ids=[step << 16 for step in range(2000)], others=[1, 2000 << 16])  # few slots fit them
@example(ids=list(range(2000)), others=[-1, 2000])
def test_each_id_is_found_where_it_is_and_no_other_is_found(
    ids: list[int], others: list[int]
) -> None:
    wanted = others + ids[::-1]
    at = {id: place for place, id in enumerate(ids)}
    found = places_in(np.array(ids, np.int32), np.array(wanted, np.int32))
    assert found.tolist() == [at.get(id, -1) for id in wanted]


def test_every_second_element_of_an_array_is_searched_as_well() -> None:
    ids, wanted = np.arange(20, dtype=np.int32)[::2], np.arange(8, dtype=np.int32)[::2]
    assert places_in(ids, wanted).tolist() == [0, 1, 2, 3]


@given(keys=st.lists(KEYS))
@example(keys=[step << 40 for step in range(2000)] * 2)
def test_only_the_first_of_equal_keys_is_first(keys: list[int]) -> None:
    first: dict[int, int] = {}
    expected = [first.setdefault(key, place) == place for place, key in enumerate(keys)]
    assert are_first(np.array(keys, np.int64)).tolist() == expected
