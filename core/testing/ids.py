"""Data ids and science ids, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dataset import DataId
from imageserv.core.errors import PluginFault, UsageFault
from imageserv.core.manager import DatasetPlugin

from .archive import Archive
from .flags import Flags
from .strategies import LAWS, data_ids, neighbours

_MOST = 2**63 - 1


class IdTests(Flags):
    """Each data id has one science id, and each science id belongs to one data id."""

    def test_science_ids_are_int64(self, imageserv_archive: Archive) -> None:
        """A data id has a science id, or is refused with the name of the key that makes it impossible."""
        dataset = imageserv_archive.dataset

        @LAWS
        @given(data_ids(dataset.declaration))
        def law(data_id: DataId) -> None:
            _encode(dataset, data_id)

        law()
        for image in imageserv_archive.images:
            assert _encode(dataset, image.data_id) == image.science_id, f"{dict(image.data_id)} has no lasting id"

    def test_science_ids_tell_data_ids_apart(self, imageserv_archive: Archive) -> None:
        """No two data ids have one science id."""
        dataset = imageserv_archive.dataset

        @LAWS
        @given(neighbours(dataset.declaration))
        def law(pair: tuple[DataId, DataId]) -> None:
            one, other = (_known(dataset, data_id) for data_id in pair)
            assert one is None or one != other or pair[0] == pair[1], f"{one} is the science id of {pair[0]}, {pair[1]}"

        law()

    def test_ids_go_both_ways(self, imageserv_archive: Archive) -> None:
        """A science id is decoded to the data id that it was made of."""
        dataset = imageserv_archive.dataset
        if not self.decodes:
            for image in imageserv_archive.images:
                assert dataset.data_id(image.science_id) is None, "it decodes science ids: leave decodes = False out"
            pytest.skip("decodes = False: only the registry knows what a science id encodes")

        @LAWS
        @given(data_ids(dataset.declaration))
        def law(data_id: DataId) -> None:
            _check_way_back(dataset, data_id)

        law()
        for image in imageserv_archive.images:
            _check_way_back(dataset, image.data_id)

    def test_other_integers_are_refused(self, imageserv_archive: Archive) -> None:
        """An integer is the science id of a data id, or is refused: `UsageFault` with ``parameter="sid"``."""
        dataset = imageserv_archive.dataset
        known = [image.science_id for image in imageserv_archive.images]
        near = st.tuples(st.sampled_from(known), st.integers(-1000, 1000)).map(sum)

        @LAWS
        @given(st.integers(0, _MOST) | st.integers(-1, 10_000) | near)
        def law(science_id: int) -> None:
            try:
                data_id = dataset.data_id(science_id)
            except UsageFault as fault:
                assert fault.parameter == "sid", f'{science_id} is refused without parameter="sid": {fault}'
                return
            except Exception as error:
                raise AssertionError(f"{science_id} raises {error!r}: raise UsageFault") from error
            if self.decodes:
                assert data_id is not None, f"{science_id} is decoded to None, others are not"
                again = _known(dataset, data_id)
                assert again == science_id, f"{science_id} is taken for {dict(data_id)}, whose science id is {again}"

        law()


def _encode(dataset: DatasetPlugin, data_id: DataId) -> int | None:
    """Return the science id of a data id, None for one that is refused as it must be."""
    try:
        return dataset.science_id(data_id)
    except UsageFault as fault:
        names = {name for key in dataset.declaration.keys for name in (key.name, *(part.name for part in key.parts))}
        assert fault.parameter in names, f"{dict(data_id)} is refused without naming a key as parameter: {fault}"
        return None
    except PluginFault as fault:
        raise AssertionError(f"{dict(data_id)}: {fault}") from fault
    except Exception as error:
        raise AssertionError(f"{dict(data_id)} raises {error!r}: raise UsageFault") from error


def _known(dataset: DatasetPlugin, data_id: DataId) -> int | None:
    """Return the science id of a data id, None if it has none: one test tells whether it should."""
    try:
        return dataset.science_id(data_id)
    except Exception:
        return None


def _check_way_back(dataset: DatasetPlugin, data_id: DataId) -> None:
    science_id = _known(dataset, data_id)
    if science_id is None:
        return
    try:
        decoded = dataset.data_id(science_id)
    except Exception as error:
        raise AssertionError(f"{science_id}, the science id of {dict(data_id)}, is refused: {error!r}") from error
    assert decoded is not None, "science ids are not decoded: say decodes = False if only the registry can"
    assert dict(decoded) == dict(data_id), f"{dict(data_id)} comes back as {dict(decoded)}"
