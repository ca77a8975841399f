"""Hypothesis strategies of what a dataset's declaration allows."""

import string

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from imageserv.core.dataset import DataId, Dataset, Key

LAWS = settings(
    max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
"""How the kit runs its laws: the same way each time, and it leaves nothing behind."""

_SPAN = 100_000
"""How far the values of a key without bounds go."""

_LETTERS = string.ascii_letters + string.digits + "._-/ "


def values(key: Key) -> st.SearchStrategy[int | str]:
    """Give the values of a key."""
    if key.parts:
        return st.tuples(*map(values, key.parts)).map(lambda parts: ",".join(map(str, parts)))
    if key.type is int:
        low = key.minimum if key.minimum is not None else min(0, (key.maximum or 0) - _SPAN)
        return st.integers(low, key.maximum if key.maximum is not None else low + _SPAN)
    if key.choices:
        return st.sampled_from(key.choices)
    return st.text(_LETTERS, min_size=1, max_size=60)


def data_ids(dataset: Dataset) -> st.SearchStrategy[DataId]:
    """Give data ids that a dataset's keys allow."""
    return st.fixed_dictionaries({key.name: values(key) for key in dataset.keys})


def neighbours(dataset: Dataset) -> st.SearchStrategy[tuple[DataId, DataId]]:
    """Give two data ids that may differ in the value of one key alone."""

    def other(data_id: DataId) -> st.SearchStrategy[tuple[DataId, DataId]]:
        changed = [
            st.fixed_dictionaries({**{name: st.just(value) for name, value in data_id.items()}, key.name: values(key)})
            for key in dataset.keys
        ]
        return st.tuples(st.just(data_id), st.one_of(changed))

    return data_ids(dataset).flatmap(other)
