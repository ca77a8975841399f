"""Exposures as the LSST pipelines write them: planes, the observation, and what points at their tables."""

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId
from imageserv.core.fits.layout import Hdu
from imageserv.core.record import Found, Observation, Plane

from ._facts import SECOND, Facts
from ._hdus import image_hdus

PLANES = ("image", "mask", "variance")

_COMPONENTS = (
    "PSF",
    "WCS",
    "SKYWCS",
    "DETECTOR",
    "VALID_POLYGON",
    "FILTER",
    "TRANSMISSION_CURVE",
    "PHOTOCALIB",
    "COADD_INPUTS",
    "AP_CORR_MAP",
    "SUMMARY_STATS",
)
TABLE_KEYWORDS = frozenset(
    {"AR_HDU"} | {f"{name}_ID" for name in _COMPONENTS} | {f"ARCHIVE_ID_{name}" for name in _COMPONENTS}
)
"""Keywords of the primary header that point at rows of the archive tables: nothing without the tables."""

_UNSET = 40588.0
"""MJD of 1970-01-02. A time of 0 is what a coadd's header has for none: 1969-12-31, in one time scale or another."""


def read_exposure(file: CandidateFile, data_id: DataId) -> Found:
    """Read the planes of an exposure, and when and how it was taken.

    Raises
    ------
    FitsFault
        Raised if there is no image.
    """
    planes, warnings = _planes(file)
    facts = Facts(file.hdus[0], file.hdus[planes[0].hdu])
    return Found(data_id, planes, _observation(facts), (*warnings, *facts.warnings))


def _planes(file: CandidateFile) -> tuple[tuple[Plane, ...], tuple[str, ...]]:
    """Find the planes of an exposure, and say what is amiss with them.

    Planes are labelled by EXTTYPE in files of the years before 2020, and by EXTNAME too
    since; in a file without labels they are its images in order.
    """
    images = image_hdus(file)
    warnings: list[str] = []
    found: dict[str, Hdu] = {}
    for hdu in images:
        found.setdefault((Facts(hdu).text("EXTTYPE") or hdu.name).strip().lower(), hdu)
    if "image" not in found:
        found = dict(zip(PLANES, images, strict=False))
        warnings.append("no HDU is labelled IMAGE: the images are taken as planes in their order")
    warnings.extend(f"no {name} plane" for name in PLANES if name not in found)
    return tuple(Plane(name, found[name].index) for name in PLANES if name in found), tuple(warnings)


def _observation(facts: Facts) -> Observation:
    """Read when and how an exposure was taken.

    The headers give the middle of the exposure: DATE-AVG in the time scale that TIMESYS
    names, or in older files TIME-MID in UTC.
    """
    seconds = facts.exposure()
    middle = _middle(facts)
    half = (seconds or 0.0) / 2 * SECOND
    return Observation(
        t_min=None if middle is None else middle - half,
        t_max=None if middle is None else middle + half,
        t_exptime=seconds,
        t_resolution=seconds,
        facility=facts.text("TELESCOP"),
        instrument=facts.text("INSTRUME"),
        target=facts.text("OBJECT"),
    )


def _middle(facts: Facts) -> float | None:
    """Return the middle of the exposure, MJD UTC (d)."""
    scale: str | None = "utc"
    keyword = "TIME-MID"
    text = facts.text(keyword)
    if date := facts.text("DATE-AVG"):
        keyword, text, scale = "DATE-AVG", date, facts.scale()
    if text is None or scale is None:
        return None
    middle = facts.date(text, scale, keyword)
    return None if middle is None or middle < _UNSET else middle
