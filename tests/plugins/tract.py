"""A made-up tract of a sky map: patches that overlap, each with pixels that tell where they are from."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.config import load
from imageserv.core.record import ImageRecord
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByDataId, Selection
from imageserv.core.service import Service, open_service

INNER = (150, 130)
BORDER = 50
COLUMNS, ROWS = 3, 3
SIZE = (COLUMNS * INNER[0], ROWS * INNER[1])
REFERENCE = (1000, 400)
"""The reference pixel of the tract, counted from 1."""

NO_DATA = 8
ALL = tuple((column, row) for column in range(COLUMNS) for row in range(ROWS))

Patch = tuple[int, int]
Box = tuple[tuple[int, int], tuple[int, int]]
Planes = dict[str, NDArray[Any]]
Edit = Callable[[Any], object]


def outer(patch: Patch) -> Box:
    """Return the pixels of a patch in the tract: its inner region and the border, which ends where the tract does."""
    x, y = (
        (max(number * inner - BORDER, 0), min((number + 1) * inner + BORDER, size))
        for number, inner, size in zip(patch, INNER, SIZE, strict=True)
    )
    return x, y


def planes_of(patch: Patch) -> Planes:
    """Return what a patch has: no two pixels of an image are equal, in this patch and in all others."""
    (x0, x1), (y0, y1) = outer(patch)
    ys, xs = np.mgrid[y0:y1, x0:x1]
    number = 10 * patch[0] + patch[1] + 1
    mask = (xs * 31 + ys * 17 + number) % 256
    return {
        "image": (ys * SIZE[0] + xs + 200_000 * number).astype(np.float32),
        "mask": mask.astype(np.uint16),
        "variance": (xs + 1000 * number + ys / 1024).astype(np.float32),
    }


def patch_hdus(patch: Patch) -> Any:
    """Return a patch as the LSST pipelines of 2013 write it."""
    (x0, _), (y0, _) = outer(patch)
    primary = fits.PrimaryHDU()
    primary.header.update({"AR_HDU": 5, "FILTER": "r", "FLUXMAG0": 63095734448.0194, "INPUTS": f"of {patch}"})
    hdus = fits.HDUList([primary])
    for name, pixels in planes_of(patch).items():
        hdu = fits.ImageHDU(pixels)
        hdu.header.update({"RADESYS": "ICRS", "CRPIX1": float(REFERENCE[0] - x0), "CRPIX2": float(REFERENCE[1] - y0)})
        hdu.header.update({"CD1_1": -0.00011, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.00011})
        hdu.header.update({"CRVAL1": 45.0, "CRVAL2": 0.0, "CTYPE1": "RA---CEA", "CTYPE2": "DEC--CEA"})
        hdu.header.update({"LTV1": float(-x0), "LTV2": float(-y0), "INHERIT": True, "EXTTYPE": name.upper()})
        hdu.header.update({"CTYPE1A": "LINEAR", "CTYPE2A": "LINEAR", "CRPIX1A": 1, "CRPIX2A": 1})
        hdu.header.update({"CRVAL1A": x0, "CRVAL2A": y0})
        if name == "mask":
            hdu.header.update({"MP_BAD": 0, "HIERARCH MP_NO_DATA": NO_DATA})
        hdus.append(hdu)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2, 3])]))
    return hdus


def path_of(root: Path, patch: Patch, band: str = "r") -> Path:
    return root / f"coadd-{band}-0-{patch[0]},{patch[1]}.fits"


def write_tract(
    root: Path, patches: Iterable[Patch] = ALL, edits: dict[Patch, Edit] | None = None, band: str = "r"
) -> None:
    """Write patches, some of them edited."""
    root.mkdir(exist_ok=True)
    for patch in patches:
        hdus = patch_hdus(patch)
        (edits or {}).get(patch, lambda hdus: None)(hdus)
        hdus.writeto(path_of(root, patch, band), overwrite=True)


def serve_tract(folder: Path, *, max_pixels: int = 1_000_000) -> Service:
    """Read the patches in ``files`` below a folder into a registry, and open it."""
    path = folder / "imageserv.toml"
    path.write_text(
        f'authority = "example.org"\n[limits]\nmax_pixels = {max_pixels}\n[repositories.SKY]\nroot = "files"\n'
        '[repositories.SKY.datasets.deepcoadd]\nplugin = "deepcoadd"\n'
    )
    config = load(path, {})
    repository = Repository(config.repositories["SKY"], config, writable=True)
    repository.ingest(None, lambda done, total, path: None)
    repository.close()
    return open_service(config)


def select(repository: Repository, patch: Patch) -> Selection:
    data_id: dict[str, int | str] = {"tract": 0, "patch": f"{patch[0]},{patch[1]}", "filter": "r"}
    return repository.select(repository.dataset("deepcoadd"), ByDataId(data_id))


def record_of(repository: Repository, patch: Patch) -> ImageRecord:
    return select(repository, patch).record


def stitched(stencil: Any, **members: Any) -> CutoutRequest:
    return CutoutRequest(stencil, **members, parameters={"stitch": "true"})


def mosaic(root: Path, patches: Iterable[Patch], box: Box) -> tuple[Planes, NDArray[Any]]:
    """Put a box of the tract together, from what astropy reads in the files, by the rule; and say who gave each pixel.

    Each pixel is of the patch whose inner region has it; of the first that has it at all, if that is missing.
    """
    (left, right), (low, high) = box
    shape = high - low, right - left
    found: Planes = {
        "image": np.full(shape, np.nan, np.float32),
        "mask": np.full(shape, 1 << NO_DATA, np.uint16),
        "variance": np.full(shape, np.nan, np.float32),
    }
    who = np.full(shape, -1)
    ys, xs = np.mgrid[low:high, left:right]
    order = sorted(patches)
    inside = (xs >= 0) & (ys >= 0) & (xs < SIZE[0]) & (ys < SIZE[1])
    owner = np.where(inside, (xs // INNER[0]) * 100 + ys // INNER[1], -1)
    for own in (True, False):
        for number, patch in enumerate(order):
            (x0, x1), (y0, y1) = outer(patch)
            here = (who < 0) & (xs >= x0) & (xs < x1) & (ys >= y0) & (ys < y1)
            if own:
                here &= owner == patch[0] * 100 + patch[1]
            who[here] = number
            with fits.open(path_of(root, patch)) as hdus:
                read: Any = hdus
                for hdu in read[1:4]:
                    name = hdu.header["EXTTYPE"].strip().lower()
                    found[name][here] = hdu.data[ys[here] - y0, xs[here] - x0]
    return found, who
