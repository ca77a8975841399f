"""The plugins that ship keep the contract, by the kit that strangers use."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.testing import DatasetContract

from .tract import write_tract

SHAPE = (50, 60)  # rows, columns
FRAMES = ((5646, "g", 694, 4), (2708, "r", 103, 3))


def place(ra: float) -> fits.Header:
    """Make a WCS whose x axis runs along declination."""
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": 0.1, "RADESYS": "ICRS"})
    header.update({"CRPIX1": 30.5, "CRPIX2": 25.5, "CD1_1": 0.0, "CD1_2": 1.1e-4, "CD2_1": 1.1e-4, "CD2_2": 0.0})
    return header


def pixels(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Make an image in which each value occurs once."""
    return np.random.default_rng(seed).permutation(SHAPE[0] * SHAPE[1]).reshape(SHAPE)


def write_exposure(path: Path, ra: float, seed: int) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for offset, (kind, dtype) in enumerate([("IMAGE", "f4"), ("MASK", "u2"), ("VARIANCE", "f4")]):
        plane = fits.ImageHDU(pixels(seed + offset).astype(dtype), place(ra))
        plane.header["EXTTYPE"] = kind
        hdus.append(plane)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2, 3])]))
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus.writeto(path)


class TestRaw(DatasetContract):
    plugin = "raw"

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("raw")
        for seed, (run, band, field, camcol) in enumerate(FRAMES):
            hdu = fits.PrimaryHDU(pixels(seed).astype(np.uint16), place(37.6 - seed))
            hdu.writeto(root / f"fpC-{run:06d}-{band}{camcol}-{field:04d}.fit.gz")
        return root


class TestCalexp(DatasetContract):
    plugin = "calexp"

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("calexp")
        for seed, (run, band, field, camcol) in enumerate(FRAMES):
            name = f"calexp-{run:06d}-{band}{camcol}-{field:04d}.fits"
            write_exposure(root / "calexps" / name, 37.6 - seed, 10 * seed)
        return root


class TestDeepCoadd(DatasetContract):
    plugin = "deepcoadd"

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("deepcoadd")
        write_exposure(root / "coadd-u-0-366,0.fits", 19.3, 10)
        write_tract(root, ((0, 0), (1, 0), (1, 1)))
        write_tract(root, ((1, 0),), band="g")
        return root


class TestImage(DatasetContract):
    plugin = "image"
    takes_any_fits = True
    decodes = False

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("image")
        fits.PrimaryHDU(pixels(1).astype("i4"), place(0.001)).writeto(root / "one.fits")
        packed = fits.CompImageHDU(pixels(2).astype("i2"), place(250.0), compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(root / "two.fits.fz")
        return root


class TestImagesWithoutPositions(DatasetContract):
    plugin = "image"
    takes_any_fits = True
    decodes = False
    has_positions = False

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("image")
        fits.PrimaryHDU(pixels(3).astype("f8")).writeto(root / "lamp.fits")
        return root
