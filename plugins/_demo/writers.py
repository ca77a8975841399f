"""Writing the demo's frames as real ones are written."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from imageserv.plugins._stripe82 import FILTERS

from .frames import COLUMNS, PATCH_COLUMNS, ROWS, Card, Frame, Patch
from .pixels import MASK_BITS, Camera, Exposure, expose, hide_unobserved

_BIAS = 1000
_SKY = 140
"""Counts."""

_EXPOSURE_TIME = 53.907456
"""Seconds: what a star takes to cross a CCD in a drift scan."""

_FRAME_CAMERA = Camera(zero_point=28.24, sky_variance=30.5, gain=4.7, saturation=30_000)
_COADD_CAMERA = Camera(zero_point=27.0, sky_variance=0.1, gain=440, saturation=9_600)


def write_raw(frame: Frame, path: Path) -> None:
    """Write a raw frame: unsigned 16-bit counts, sky and bias included."""
    exposure = _expose_frame(frame)
    counts = np.clip(np.rint(exposure.image) + (_BIAS + _SKY), 0, 65535).astype(np.uint16)
    hdu = fits.PrimaryHDU(counts)
    day, _, clock = frame.read_out.partition("T")
    hdu.header.update(
        {
            "DATE-OBS": (day, "TAI date, 1st row"),
            "TAIHMS": (clock, "TAI time, 1st row"),
            "TIMESYS": "TAI",
            "TELESCOP": "2.5m",
            "RUN": (frame.run, "Run number"),
            "CAMCOL": (frame.camcol, "column in the imaging camera"),
            "FILTER": (frame.band, "filter used"),
            "EXPTIME": (str(_EXPOSURE_TIME), "Exposure time (seconds)"),
            "CCDMODE": "DRIFT",
            "C_OBS": (26322, "CCD row clock rate (usec/row)"),
            "SOFTBIAS": (_BIAS, "software bias added to all DN"),
            "SKY": (_SKY, "Approx. sky level (DN)"),
            "BUNIT": "adu",
            **frame.wcs,
        }
    )
    hdu.writeto(path)


def write_calexp(frame: Frame, path: Path) -> None:
    """Write the calibrated exposure of a frame: the same counts without sky and bias, with mask and variance."""
    primary: dict[str, Card | tuple[Card, str]] = {
        "AR_HDU": (5, "HDU (1-indexed) of the archive"),
        "PSF_ID": (1, "archive ID of the PSF"),
        "WCS_ID": (2, "archive ID of the WCS"),
        "FILTER": frame.band,
        "EXPTIME": _EXPOSURE_TIME,
        "DATE-AVG": (frame.read_out, "TAI date at middle of observation"),
        "TIMESYS": "TAI",
        "FLUXMAG0": 10 ** (0.4 * _FRAME_CAMERA.zero_point),
    }
    _write_exposure(path, primary, frame.wcs, (0, 0), _expose_frame(frame), ("GaussianPsf", "TanWcs"))


def write_deepcoadd(patch: Patch, path: Path) -> None:
    """Write a patch of a coadd, with mask and variance; as in real ones, nothing tells when it was observed."""
    exposure = expose(
        patch.wcs,
        shape=(patch.rows, PATCH_COLUMNS),
        band=patch.band,
        camera=_COADD_CAMERA,
        seed=(patch.x, patch.y, FILTERS.index(patch.band)),
    )
    primary: dict[str, Card | tuple[Card, str]] = {
        "AR_HDU": (5, "HDU (1-indexed) of the archive"),
        "HIERARCH COADD_INPUTS_ID": (1, "archive ID of the inputs"),
        "PSF_ID": (2, "archive ID of the PSF"),
        "FILTER": patch.band,
        "EXPTIME": 0.0,
        "DATE-AVG": ("1969-12-31T23:59:59.999999970", "TAI date at middle of observation"),
        "TIMESYS": "TAI",
        "FLUXMAG0": 10 ** (0.4 * _COADD_CAMERA.zero_point),
    }
    _write_exposure(path, primary, patch.wcs, patch.origin, exposure, ("CoaddInputs", "CoaddPsf"))


def _expose_frame(frame: Frame) -> Exposure:
    # A raw frame and the exposure made of it show the same light and the same noise.
    seed = (frame.run, frame.camcol, frame.field, FILTERS.index(frame.band))
    return expose(frame.wcs, shape=(ROWS, COLUMNS), band=frame.band, camera=_FRAME_CAMERA, seed=seed)


def _write_exposure(
    path: Path,
    primary: Mapping[str, Card | tuple[Card, str]],
    wcs: Mapping[str, Card],
    origin: tuple[int, int],
    exposure: Exposure,
    archive: tuple[str, ...],
) -> None:
    """Write an exposure in the manner of the LSST pipelines of 2013: an empty primary HDU, three planes, a table.

    `origin` is the first pixel's place in a larger frame, which an alternate WCS and LTV tell.
    """
    hide_unobserved(exposure)
    where: dict[str, Card] = {"LTV1": float(-origin[0]), "LTV2": float(-origin[1])}
    for axis, start in enumerate(origin, start=1):
        where |= {f"CTYPE{axis}A": "LINEAR", f"CUNIT{axis}A": "PIXEL", f"CRPIX{axis}A": 1.0, f"CRVAL{axis}A": start}
    bits = {f"{'HIERARCH ' * (len(name) > 5)}MP_{name}": bit for bit, name in enumerate(MASK_BITS)}
    planes: tuple[tuple[str, np.ndarray, Mapping[str, Card]], ...] = (
        ("IMAGE", exposure.image, {"BUNIT": "adu"}),
        ("MASK", exposure.mask, bits),
        ("VARIANCE", exposure.variance, {"BUNIT": "adu2"}),
    )
    first = fits.PrimaryHDU()
    first.header.update(primary)
    hdus = fits.HDUList([first])
    for label, data, cards in planes:
        hdu = fits.ImageHDU(data)
        hdu.header.update({**wcs, **where, "INHERIT": True, "EXTTYPE": label, **cards})
        hdus.append(hdu)
    hdus.append(_archive_index(archive))
    hdus.writeto(path)


def _archive_index(names: tuple[str, ...]) -> fits.BinTableHDU:
    """Return a table that AR_HDU can point at: which object has which id."""
    ids = np.arange(1, len(names) + 1)
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("id", "1J", array=ids),
            fits.Column("cat.archive", "1J", array=ids),
            fits.Column("nrows", "1J", array=np.ones_like(ids)),
            fits.Column("name", "64A", array=np.array(names)),
        ]
    )
    table.header["EXTTYPE"] = "ARCHIVE_INDEX"
    return table
