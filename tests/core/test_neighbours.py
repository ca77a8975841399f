"""A plugin that takes other images of its dataset for a cutout, by the contract alone."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId, Dataset, Key
from imageserv.core.errors import UnavailableFault, UsageFault, WouldWait
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.neighbours import Neighbours
from imageserv.core.record import Found, Plane
from imageserv.core.repository import Repository
from imageserv.core.selection import ByDataId, Selection
from imageserv.core.sky.stencil import Circle, Section

PART = CutoutRequest(Section(((5, 15), (8, 12))))

OpenRepository = Callable[..., Repository]
WriteImage = Callable[..., Path]


class Pairs:
    """Images ``pair-<number>.fits``: of each the planes of the next one come along, if there is one."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return Dataset(description="Pairs.", keys=(Key("number", int, "Which.", minimum=0),))

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return int(data_id["number"])

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> list[Found] | None:
        stem = file.path.removesuffix(".fits").removeprefix("pair-")
        return [Found({"number": int(stem)}, (Plane("image", 0),))] if stem.isdigit() else None

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours) -> Cutout:
        own = cut(image, request)
        number = int(image.record.data_id["number"])
        if number == 9:
            neighbours.find({"number": -1})
        following = neighbours.find({"number": number + 1})
        if following is None:
            return own
        other = neighbours.open(following)
        hdus = cut(other, request).hdus
        return Cutout(own.hdus[:1] + hdus[1:], own.requested, own.delivered) if hdus[1:] else own


@pytest.fixture
def pairs(install: Callable[..., None], open_repository: OpenRepository, write_image: WriteImage) -> Repository:
    for number in (1, 2, 5, 9):
        write_image(f"pair-{number}.fits", ra=150.0 + number / 200, first=1000 * number)
    install("pairs", Pairs)
    repository = open_repository({"pairs": ("pairs", {}), "sketch": ("sketch", {})})
    repository.ingest(None, lambda done, total, path: None)
    return repository


def select(repository: Repository, number: int) -> Selection:
    return repository.select(repository.dataset("pairs"), ByDataId({"number": number}))


def test_what_was_opened_counts_as_a_source(pairs: Repository, write_image: WriteImage) -> None:
    alone, both = (pairs.prepare(select(pairs, number), PART).selection for number in (5, 1))
    assert (alone.others, alone.state.modified) == ((), None)
    assert both.others is not None
    assert [record.science_id for record in both.others] == [2]
    assert both.state.fingerprint != select(pairs, 1).state.fingerprint
    write_image("pair-2.fits", ra=150.0, first=77, CHANGED=True)
    assert pairs.prepare(select(pairs, 1), PART).selection.state.fingerprint != both.state.fingerprint


def test_nothing_is_looked_for_where_no_wait_is_allowed(pairs: Repository) -> None:
    for number in (1, 5):
        pairs.cutout(select(pairs, number), PART)
        with pytest.raises(WouldWait):
            pairs.prepare(select(pairs, number), PART, wait=False)


def test_neighbours_are_found_by_id_and_by_place(pairs: Repository) -> None:
    neighbours = Neighbours(pairs, pairs.dataset("pairs"))
    assert not neighbours.asked
    found = neighbours.find({"number": 2})
    assert found is not None and found.identifier == select(pairs, 2).record.identifier
    assert neighbours.find({"number": 3}) is None
    with pytest.raises(UsageFault):
        neighbours.find({"number": -1})
    with pytest.raises(UsageFault):
        neighbours.find({"other": 1})
    near = neighbours.meeting(Circle(150.0075, 2.0, 0.001))
    assert [record.science_id for record in near] == [1, 2]
    assert neighbours.asked and neighbours.opened == ()
    assert neighbours.open(found).record.science_id == 2
    assert neighbours.opened == (found,)


def test_a_neighbour_that_is_gone_is_unavailable(pairs: Repository, root: Path) -> None:
    (root / "pair-2.fits").unlink()
    with pytest.raises(UnavailableFault, match=r"pair-2\.fits"):
        pairs.cutout(select(pairs, 1), PART)


def test_a_plugin_that_knows_no_neighbours_is_called_as_ever(
    install: Callable[..., None], open_repository: OpenRepository, write_image: WriteImage
) -> None:
    calls: list[str] = []

    class Watching:
        @hookimpl(wrapper=True)
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Any:
            calls.append(image.record.identifier)
            return (yield)

    write_image("sketch-1-r.fits")
    install("watching", Watching, "imageserv.extension")
    answers: list[Any] = []
    for extensions in ((), ("watching",)):
        repository = open_repository(extensions=extensions)
        repository.ingest(None, lambda done, total, path: None)
        selection = repository.select(repository.dataset("sketch"), ByDataId({"number": 1, "filter": "r"}))
        prepared = repository.prepare(selection, PART)
        assert prepared.selection.others is None and prepared.selection.state.modified is not None
        with fits.open(io.BytesIO(bytes(prepared.write()))) as hdus:
            primary: Any = hdus[0]
            answers.append(np.array(primary.data))
    assert np.array_equal(*answers) and answers[0][0, 0] == 8 * 40 + 5
    assert len(calls) == 1
