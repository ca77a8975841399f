"""Images with more axes than two, or fewer coordinates: what protocols of the Virtual Observatory must cope with."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.config import load
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service

ARCSEC = 1 / 3600


def sky(ra: float, dec: float, width: int, height: int, kind: str = "TAN", scale: float = ARCSEC) -> fits.Header:
    header = fits.Header()
    header.update({"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", "CRVAL1": ra, "CRVAL2": dec, "RADESYS": "ICRS"})
    header.update({"CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2, "CDELT1": -scale, "CDELT2": scale})
    return header


def write(path: Path, shape: tuple[int, ...], header: fits.Header, **cards: Any) -> None:
    """Write an image of `shape` pixels, NAXIS1 first, each of which has a value of its own."""
    hdu = fits.PrimaryHDU(np.arange(np.prod(shape), dtype=">f4").reshape(shape[::-1]), header)
    hdu.header.update(cards)
    hdu.writeto(path)


FREQUENCY = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CUNIT3": "Hz"}
TAKEN = {"DATE-OBS": "2005-09-27T09:05:35", "EXPTIME": 54.0}


def write_cubes(folder: Path) -> None:
    write(folder / "flat.fits", (40, 30), sky(10.0, 20.0, 40, 30), **TAKEN)
    write(folder / "bare.fits", (40, 30), sky(11.0, 20.0, 40, 30))
    write(folder / "frequency.fits", (20, 16, 8), sky(0.0, -30.0, 20, 16), **FREQUENCY, **TAKEN)
    stokes = {"CTYPE4": "STOKES", "CRVAL4": 1.0, "CRPIX4": 1.0, "CDELT4": 1.0}
    write(folder / "radio.fits", (20, 16, 3, 4), sky(200.0, -30.0, 20, 16), **FREQUENCY, **stokes)
    circular = {"CTYPE3": "STOKES", "CRVAL3": -1.0, "CRPIX3": 1.0, "CDELT3": -1.0}
    write(folder / "circular.fits", (20, 16, 4), sky(201.0, -30.0, 20, 16), **circular)
    velocity = {"CTYPE3": "VRAD", "CRVAL3": 0.0, "CRPIX3": 1.0, "CDELT3": 1000.0, "CUNIT3": "m/s"}
    write(folder / "velocity.fits", (20, 16, 3), sky(202.0, -30.0, 20, 16), **velocity)  # of no known line
    write(folder / "no-wcs.fits", (12, 9), fits.Header())
    write(folder / "whole-sky.fits", (90, 45), sky(0.0, 0.0, 90, 45, "AIT", 4.0))
    write(folder / "pole.fits", (50, 50), sky(120.0, 90.0, 50, 50))
    packed = folder / "pole.fits"
    (folder / "packed.fits.gz").write_bytes(gzip.compress(packed.read_bytes(), mtime=0))


@pytest.fixture(scope="session")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """Give a service of such images, and their folder: ``ivo://example.org/CUBES?image/<name>.fits``."""
    folder = tmp_path_factory.mktemp("cubes")
    (folder / "files").mkdir()
    write_cubes(folder / "files")
    path = folder / "imageserv.toml"
    path.write_text(
        'authority = "example.org"\n[limits]\nmax_ids = 30\nmax_pixels = 7000\n[repositories.CUBES]\nroot = "files"\n'
        '[repositories.CUBES.datasets.image]\nplugin = "image"\n'
    )
    config = load(path, {})
    repository = Repository(config.repositories["CUBES"], config, writable=True)
    repository.ingest(None, lambda done, total, path: None)
    repository.close()
    service = open_service(config)
    yield service, folder / "files"
    service.close()
