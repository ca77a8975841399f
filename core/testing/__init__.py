"""The kit of those who write a dataset plugin: one class that proves it.

Install ``imageserv[testing]``, make a few small files as your survey has
them in a fixture named ``survey``, and subclass `DatasetContract`::

    from imageserv.core.testing import DatasetContract

    @pytest.fixture(scope="module")
    def survey(tmp_path_factory):
        root = tmp_path_factory.mktemp("survey")
        ...  # write some files below root
        return root

    class TestToy(DatasetContract):
        plugin = "toy"  # the name of its entry point

pytest then asks the plugin what every protocol will ask of it, holds its
cutouts against the pixels that astropy reads, and speaks to a service that it
starts around it. What a dataset cannot do it says by a flag, such as
``decodes = False``; the tests hold it to its word.

Two images that differ in every key, not square, and with another value in
each pixel, find most. ``imageserv_archive`` and ``imageserv_service`` are
fixtures for further tests of the class: the files ingested, and served.
``imageserv_serve`` serves any files by any plugin.
"""

try:
    import httpx as httpx
    import hypothesis as hypothesis
    import pytest as pytest
except ImportError as error:
    raise ImportError(f"{error.name} is missing: install imageserv[testing]") from error

from .archive import Archive as Archive
from .contract import DatasetContract as DatasetContract
from .service import LiveService as LiveService
from .strategies import data_ids as data_ids
