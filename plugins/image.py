"""Any FITS image: each image HDU of each file is an image of its own, known by the file's path."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId, Dataset, Example, Key
from imageserv.core.demo import Demo
from imageserv.core.errors import ConfigurationFault, FitsFault
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.layout import Hdu
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import match_any
from imageserv.core.record import Found, Observation, Plane

from . import _demo
from ._facts import SECOND, Facts
from ._hdus import image_hdus
from ._options import check_options, file_patterns

_FILES = tuple(f"**/*.{ending}{packing}" for ending in ("fits", "fit", "fts") for packing in ("", ".gz", ".fz"))

_LOOKUP_TABLES = {"D2IMARR", "WCSDVARR"}
"""EXTNAMEs of arrays that only tell how another image is distorted."""

_FILE = Key(
    "file",
    str,
    "Path of the file, with the number of the HDU in brackets, as in night/m13.fits[1], if it holds several images.",
    example=_demo.SAMPLE,
)


class Image:
    """The plugin.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: templates of the files' paths; by default all that are named like FITS files.
        ``calib_level``: ObsCore's calibration level of all images, 0 to 4; 2 by default.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        check_options(options, ("files", "calib_level"))
        self._files = file_patterns(options, _FILES, ())
        level = options.get("calib_level", 2)
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 4:
            raise ConfigurationFault(f"calib_level is 0, 1, 2, 3 or 4, not {level!r}")
        self._calib_level = level

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return Dataset(
            description="FITS images of any kind.",
            keys=(_FILE,),
            calib_level=self._calib_level,
            examples=(
                Example("Full image by its file", {"file": _demo.SAMPLE}),
                Example("Full image closest to a position", _demo.SAMPLE_POSITION),
                Example(
                    "Cutout at a position, in arcmin",
                    {**_demo.SAMPLE_POSITION, "width": "3", "height": "2", "unit": "arcmin"},
                ),
            ),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Hash the path to 63 bits. The way back is the registry's."""
        digest = hashlib.blake2b(str(data_id["file"]).encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take every image of a file, but not the lookup tables of a distortion."""
        if match_any(self._files, file.path) is None:
            return None
        images = [hdu for hdu in image_hdus(file) if hdu.name.strip().upper() not in _LOOKUP_TABLES]
        if not images:
            raise FitsFault("holds no image, only lookup tables of a distortion")
        return [_found(file, hdu, alone=len(images) == 1) for hdu in images]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut the image."""
        return cut(image, request)

    @hookimpl
    def imageserv_demo(self) -> Demo | None:
        """Give the images of the sky that astropy installs, if it installed any."""
        return _demo.image()


def _found(file: CandidateFile, hdu: Hdu, *, alone: bool) -> Found:
    facts = Facts(hdu, file.hdus[0])
    observation = _observation(facts)
    data_id = {"file": file.path if alone else f"{file.path}[{hdu.index}]"}
    return Found(data_id, (Plane("image", hdu.index),), observation, tuple(facts.warnings))


def _observation(facts: Facts) -> Observation:
    """Read the keywords that FITS 4.0 (sections 4.4.2 and 9.5) and long custom reserve.

    A date without a clock time says that the observation was some time on that day. Where nothing tells how long it
    took, its end is not known. An image that is not sampled in time has its exposure time for its resolution
    in time (ObsCore 1.1 section 4.16).
    """
    start, uncertain = _start(facts)
    end = _moment(facts, "MJD-END", "DATE-END")
    seconds = _exposure(facts, None if start is None or end is None else (end - start) / SECOND)
    if end is None and start is not None and (uncertain or seconds is not None):
        end = start + (uncertain or (seconds or 0.0) * SECOND)
    if start is not None and end is not None and end < start:
        facts.warnings.append(f"the observation ends (MJD {end:.6f}) before it begins (MJD {start:.6f})")
        end = None
    return Observation(
        t_min=start,
        t_max=end,
        t_exptime=seconds,
        t_resolution=seconds,
        facility=facts.text("TELESCOP"),
        instrument=facts.text("INSTRUME"),
        target=facts.text("OBJECT"),
        title=facts.text("TITLE"),
        release=facts.release(),
        s_resolution=facts.beam(),
    )


def _exposure(facts: Facts, elapsed: float | None) -> float | None:
    """Return the exposure time (s): XPOSURE, which FITS 4.0 reserves, else EXPTIME, else EXPOSURE.

    Where both of the last are given, EXPTIME may be that of one of many readings, as in X-ray astronomy: EXPOSURE
    counts if it is the longer one, and not longer than the observation.
    """
    reserved, one, whole = (facts.exposure(keyword) for keyword in ("XPOSURE", "EXPTIME", "EXPOSURE"))
    if reserved is not None:
        return reserved
    if one is None or (whole is not None and elapsed is not None and one < whole <= 1.01 * elapsed):
        return whole
    return one


def _start(facts: Facts) -> tuple[float | None, float]:
    """Return when the observation began, MJD UTC (d), and how uncertain that is (d)."""
    begun = _moment(facts, "MJD-BEG", "DATE-BEG")
    scale = facts.scale()
    if begun is not None or scale is None:
        return begun, 0.0
    days = facts.number("MJD-OBS")
    if days is not None:
        return facts.mjd(days, scale, "MJD-OBS"), 0.0
    date = facts.text("DATE-OBS")
    if date is None:
        return None, 0.0
    if "T" in date:
        return facts.date(date, scale, "DATE-OBS"), 0.0
    clock = facts.text("TIME-OBS")
    if clock is not None and re.fullmatch(r"\d\d:\d\d:\d\d(\.\d*)?", clock):
        return facts.date(f"{date}T{clock}", scale, "DATE-OBS and TIME-OBS"), 0.0
    return facts.date(date, scale, "DATE-OBS"), 1.0


def _moment(facts: Facts, days_keyword: str, date_keyword: str) -> float | None:
    """Return a moment, MJD UTC (d), that one of two keywords gives; None for a date without a clock time."""
    scale = facts.scale()
    if scale is None:
        return None
    days = facts.number(days_keyword)
    if days is not None:
        return facts.mjd(days, scale, days_keyword)
    date = facts.text(date_keyword)
    return facts.date(date, scale, date_keyword) if date is not None and "T" in date else None
