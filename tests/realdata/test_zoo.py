"""Strange real files, through the generic plugin: each is served right, or refused with a reason."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core.config import load
from imageserv.core.errors import NoOverlapFault
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import Selection
from imageserv.core.sky.footprint import vectors_to_degrees
from imageserv.core.sky.stencil import Box, Section

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS


@pytest.fixture(scope="module")
def zoo(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    if not (real_data / "zoo").is_dir():
        pytest.skip("no zoo of strange files")
    path = tmp_path_factory.mktemp("zoo") / "imageserv.toml"
    path.write_text(
        f'[repositories.zoo]\nroot = "{real_data / "zoo"}"\n[repositories.zoo.datasets.image]\nplugin = "image"\n'
    )
    config = load(path)
    repository = Repository(config.repositories["zoo"], config, writable=True)
    (summary,) = repository.ingest(None, lambda done, total, name: None)
    assert summary.images > 0
    assert all(reason for _, reason in summary.skipped)
    yield repository
    repository.close()


def test_every_image_is_cut_rightly(zoo: Repository, real_data: Path) -> None:
    cut = 0
    for record in zoo.registry.images("image"):
        if record.footprint is None:
            continue
        ra, dec = map(float, vectors_to_degrees(record.footprint.center))
        selection = Selection(record, 1, zoo.publisher_did(record))
        try:
            answer = zoo.cutout(selection, CutoutRequest(Box(ra, dec, 11, 8, "pixel")))
        except NoOverlapFault:
            assert not record.footprint.exact  # the middle of a cap may be off the projection
            continue
        ranges, hdu = answer.report.delivered.ranges, record.planes[0].hdu
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parent = read_fits(real_data / "zoo" / record.file.path, do_not_scale_image_data=True)
            child = read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True)
            child.verify("silentfix+exception")  # what the parent has wrong of its own, say 1e-7 in small letters
            piece = next(entry for entry in child if entry.header["NAXIS"])
            axes = zoo.open(record).wcs.axes
            assert [axis for axis, span in enumerate(ranges) if span is not None] == list(axes)
            spans = [ranges[axis] or (0, 0) for axis in axes]
            section = [slice(None)] * parent[hdu].data.ndim
            for axis, span in zip(axes, spans, strict=True):
                section[-1 - axis] = slice(*span)
            np.testing.assert_array_equal(piece.data, parent[hdu].data[tuple(section)], err_msg=record.file.path)
            assert piece.header["BITPIX"] == parent[hdu].header["BITPIX"]
            assert piece.header.get("BZERO") == parent[hdu].header.get("BZERO")
            same_sky(parent[hdu].header, piece.header, axes, spans)
        parent.close()
        cut += 1
    assert cut > 50


def test_every_image_is_cut_by_its_own_axes(zoo: Repository, real_data: Path) -> None:
    """Three pixels of each axis, or the one that it has; also of images that are nowhere on the sky."""
    cut = 0
    for record in zoo.registry.images("image"):
        hdu = record.planes[0].hdu
        shape = zoo.open(record).science.shape
        spans = [(length // 3, min(length // 3 + 3, length)) for length in shape]
        selection = Selection(record, 1, zoo.publisher_did(record))
        request = CutoutRequest(Section(tuple(spans)))
        answer = zoo.cutout(selection, request)
        assert answer.report.delivered == answer.report.requested == request.stencil
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with (
                read_fits(real_data / "zoo" / record.file.path, do_not_scale_image_data=True) as parent,
                read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True) as child,
            ):
                piece = next(entry for entry in child if entry.header["NAXIS"])
                section = tuple(slice(*span) for span in reversed(spans))
                np.testing.assert_array_equal(piece.data, parent[hdu].data[section], err_msg=record.file.path)
                assert zoo.cutout_headers(selection, request).count("\nEND\n") == len(child)
        cut += 1
    assert cut > 80


def same_sky(parent: fits.Header, child: fits.Header, axes: tuple[int, int], spans: list[tuple[int, int]]) -> None:
    """Assert that the celestial WCS of the child is the parent's to 1e-6 pixel of the parent, everywhere in it."""
    try:
        old, new = wcs_of(parent), wcs_of(child)
    except Exception:  # astropy cannot read the parent's whole WCS either
        return
    grids = np.meshgrid(*(np.linspace(0, stop - start - 1, 5) for start, stop in spans))
    xs, ys = (grid.ravel() for grid in grids)
    pixels = np.zeros((len(xs), old.naxis))
    pixels[:, axes[0]], pixels[:, axes[1]] = xs, ys
    shifted = pixels.copy()
    for axis, (start, _) in zip(axes, spans, strict=True):
        shifted[:, axis] += start
    places, expected = new.all_pix2world(pixels, 0)[:, axes], old.all_pix2world(shifted, 0)[:, axes]
    step = np.zeros(old.naxis)
    step[axes[0]] = 1e-6
    good = np.isfinite(expected).all(axis=1)
    assert (np.isfinite(places).all(axis=1) == good).all()
    bound = np.abs(old.all_pix2world(shifted + step * 1e3, 0)[:, axes] - expected)[good].max() / 1e3
    difference = np.abs(places - expected)[good]
    difference = np.minimum(difference, 360 - difference)
    assert difference.max() <= max(bound, 1e-11)
