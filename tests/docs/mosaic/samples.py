"""Writes a few small files as the survey has them: ``python tests/samples.py FOLDER``."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

ROWS, COLUMNS = 80, 120
PIXEL = 7.3e-5  # degrees
PARTS = {"ooi": "f4", "ood": "i2", "oow": "f4"}


def write_survey(root: Path) -> None:
    """Write two exposures; of the second the chips are in another order, and the files tile-compressed."""
    write_exposure(root / "night", "c4d_150411_035242_{}_z_v1.fits", 431608, [1, 2])
    write_exposure(root, "c4d_171113_060340_{}_g_ls9.fits.fz", 695765, [38, 37])


def write_exposure(folder: Path, name: str, expnum: int, chips: Sequence[int]) -> None:
    """Write the three files of an exposure."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, dtype in PARTS.items():
        primary = fits.PrimaryHDU()
        primary.header.update({"EXPNUM": expnum, "MJD-OBS": 57123.16, "EXPTIME": 114.0, "TELESCOP": "CTIO 4.0-m"})
        planes = [plane(part, dtype, expnum, ccdnum, packed=name.endswith(".fz")) for ccdnum in chips]
        fits.HDUList([primary, *planes]).writeto(folder / name.format(part), overwrite=True)


def plane(part: str, dtype: str, expnum: int, ccdnum: int, *, packed: bool) -> fits.ImageHDU | fits.CompImageHDU:
    """Make one plane of one chip. No two of its pixels are alike, so that no mistake goes unseen."""
    random = np.random.default_rng([expnum, ccdnum, *part.encode()])
    values = random.permutation(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(dtype)
    header = fits.Header({"CCDNUM": ccdnum})
    header.update({"CTYPE1": "RA---TAN", "CRPIX1": 60.5 + 130 * ccdnum, "CRVAL1": 150.0, "CDELT1": -PIXEL})
    header.update({"CTYPE2": "DEC--TAN", "CRPIX2": 40.5, "CRVAL2": 2.0, "CDELT2": PIXEL})
    if packed:
        coding = "RICE_1" if dtype == "i2" else "GZIP_2"
        return fits.CompImageHDU(values, header, f"N{ccdnum}", compression_type=coding, quantize_level=0)
    return fits.ImageHDU(values, header, f"N{ccdnum}")


if __name__ == "__main__":
    write_survey(Path(sys.argv[1]))
