"""The parameters of SIA2 and DataLink, each declared once; those of SODA are in `imageserv.core.dali.soda`.

Requests are read, descriptors, OpenAPI and documentation are written from
these tables. Names, units and UCDs are the standards': clients know a
parameter by the three of them.
"""

from collections.abc import Callable

from imageserv.core.dali.literals import choice, integer, interval_or_number
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.shapes import shape
from imageserv.core.dali.soda import POL, POS, RUNID
from imageserv.core.obscore import POL_STATES


def _count(text: str) -> int:
    value = integer(text)
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _level(text: str) -> int:
    value = integer(text)
    if not 0 <= value <= 4:
        raise ValueError("must be 0, 1, 2, 3 or 4")
    return value


def _media_type(text: str) -> str:
    """Read a media type: blanks and case do not matter, and an unescaped plus sign arrives as a blank."""
    return "".join(text.split()).replace("+", "").lower()


RESPONSEFORMAT = Parameter(
    "RESPONSEFORMAT", str, "Short name or media type of the answer's format.", ucd="meta.code.mime"
)

# DataLink 1.1 section 2.1. Identifiers are echoed as they were sent, blanks and all.
LINKS_ID = Parameter(
    "ID",
    str,
    "Publisher DID of an image; may be repeated.",
    multiple=True,
    verbatim=True,
    ucd="meta.id;meta.dataset",
)
LINKS = (LINKS_ID, RESPONSEFORMAT, RUNID)


def _numbers(name: str, description: str, unit: str, ucd: str) -> Parameter:
    return Parameter(
        name,
        interval_or_number,
        f"{description}: one value, or the least and the greatest; may be repeated.",
        multiple=True,
        unit=unit,
        ucd=ucd,
        datatype="double",
        arraysize="2",
        xtype="interval",
    )


def _words(
    name: str, parse: Callable[[str], object], description: str, ucd: str, options: tuple[str, ...] = ()
) -> Parameter:
    return Parameter(name, parse, f"{description}; may be repeated.", multiple=True, ucd=ucd, options=options)


MAXREC = Parameter("MAXREC", _count, "The most rows to answer with.", ucd="meta.number", datatype="int", arraysize="")

# SIA 2.0 section 2.1. Firefly finds its widgets by these UCDs.
SIA = (
    _words("POS", shape, "Images that meet this part of the sky: CIRCLE, RANGE or POLYGON and ICRS degrees", POS.ucd),
    _numbers("BAND", "Images that meet these vacuum wavelengths", "m", "em.wl"),
    _numbers("TIME", "Images that meet these times, MJD UTC", "d", "time.interval;obs.exposure"),
    _words("POL", choice(*POL_STATES), "Images with this state of polarization", POL.ucd, options=POL_STATES),
    _numbers("FOV", "Diameter of the image on the sky", "deg", "phys.angSize;instr.fov"),
    _numbers("SPATRES", "Angular resolution", "arcsec", "pos.angResolution"),
    _numbers("SPECRP", "Spectral resolving power", "", "spect.resolution"),
    _numbers("EXPTIME", "Exposure time", "s", "time.duration;obs.exposure"),
    _numbers("TIMERES", "Resolution in time", "s", "time.resolution"),
    _words("ID", str, "Publisher DID, compared without case", "meta.ref.ivoid"),
    _words("COLLECTION", str, "The repository", "meta.id"),
    _words("FACILITY", str, "The telescope", "meta.id;instr.tel"),
    _words("INSTRUMENT", str, "The instrument", "meta.id;instr"),
    _words("TARGET", str, "What was observed", "meta.id;src"),
    _words("DPTYPE", choice("image", "cube"), "Type of data", "meta.id", options=("image", "cube")),
    Parameter(
        "CALIB",
        _level,
        "Level of calibration, 0 to 4; may be repeated.",
        multiple=True,
        ucd="meta.code;obs.calib",
        datatype="int",
        arraysize="",
        options=("0", "1", "2", "3", "4"),
    ),
    _words("FORMAT", _media_type, "Media type of access_url", "meta.code.mime"),
    MAXREC,
    RESPONSEFORMAT,
    RUNID,
)
"""What {query} takes."""
