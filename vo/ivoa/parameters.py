"""The parameters of SODA, SIA2 and DataLink, each declared once.

Requests are read, descriptors, OpenAPI and documentation are written from
these tables. Names, units and UCDs are the standards': clients know a
parameter by the three of them.
"""

from collections.abc import Callable

from imageserv.core.dali.literals import choice, integer, interval, interval_or_number
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.shapes import circle, most_corners, polygon, section, shape
from imageserv.core.dataset import Dataset
from imageserv.core.errors import PluginFault, UsageFault
from imageserv.core.obscore import POL_STATES
from imageserv.vo.images import FITS
from imageserv.vo.v1.parameters import DETAILS

METADATA = ("none", "header")
"""What of a cutout SODA answers with instead of it; the first is the default."""


def _run_id(text: str) -> str:
    if len(text) > 64:
        raise ValueError("must be of at most 64 characters")
    return text


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


def _fits(text: str) -> str:
    wanted = "".join(text.partition(";")[0].split()).lower()
    named = {"fits": FITS["fits"][0], **{each: each for each in FITS["fits"]}}
    if wanted not in named:
        # The words are SODA's (working draft 1.1, RESPONSEFORMAT).
        raise UsageFault(
            f"Format transformation not available: RESPONSEFORMAT must be one of {', '.join(named)}",
            parameter="RESPONSEFORMAT",
        )
    return named[wanted]


RUNID = Parameter("RUNID", _run_id, "A name of yours for the request; it is logged.", ucd="meta.id")
RESPONSEFORMAT = Parameter(
    "RESPONSEFORMAT", str, "Short name or media type of the answer's format.", ucd="meta.code.mime"
)

# SODA 1.0 section 3, with the UCD of Erratum 1; PIXELS, RESPONSEFORMAT and METADATA are of the 1.1 working draft.
ID = Parameter(
    "ID",
    str,
    "Publisher DID of the image, as searches and links give it.",
    ucd="meta.id;meta.dataset",
)
POS = Parameter(
    "POS",
    shape,
    f"Part of the sky to cut out: CIRCLE, RANGE or POLYGON (of at most {most_corners} corners) and ICRS degrees.",
    ucd="pos.outline;obs",
    example="CIRCLE 37.6446 0.1046 0.005",
)
CIRCLE = Parameter(
    "CIRCLE",
    circle,
    "Circle to cut out: longitude, latitude, radius (ICRS).",
    unit="deg",
    ucd="pos.outline;obs",
    datatype="double",
    arraysize="3",
    xtype="circle",
    example="37.6446 0.1046 0.005",
)
POLYGON = Parameter(
    "POLYGON",
    polygon,
    f"Polygon to cut out: longitude and latitude of each of at most {most_corners} corners (ICRS).",
    unit="deg",
    ucd="pos.outline;obs",
    datatype="double",
    xtype="polygon",
    example="37.64 0.10 37.65 0.10 37.65 0.11",
)
PIXELS = Parameter(
    "PIXELS",
    section,
    "Pixels to cut out, a FITS section: counted from 1, both ends included, * for a whole axis.",
    ucd="pos.outline;instr.pixel",
    example="[1:100,51:150]",
)
BAND = Parameter(
    "BAND",
    interval,
    "Vacuum wavelengths: cuts a spectral axis; an image without one is given if it overlaps.",
    unit="m",
    ucd="em.wl;stat.interval",
    datatype="double",
    arraysize="2",
    xtype="interval",
    example="5e-7 7e-7",
)
TIME = Parameter(
    "TIME",
    interval,
    "Times, MJD UTC: the image is given if it overlaps.",
    unit="d",
    ucd="time.interval;obs.exposure",
    datatype="double",
    arraysize="2",
    xtype="interval",
    example="53000 54000",
)
POL = Parameter(
    "POL",
    choice(*POL_STATES),
    "State of polarization to cut out of a cube; of several, with all that the cube has between them.",
    multiple=True,
    ucd="meta.code;phys.polarization",
    options=POL_STATES,
)
DETAIL = Parameter(
    "DETAIL",
    choice(*DETAILS),
    "What the cutout has: all planes; the science plane alone (image); all planes and the file's tables (all).",
    ucd="meta.code",
    options=DETAILS,
)
SODA_FORMAT = Parameter(
    "RESPONSEFORMAT",
    _fits,
    "Format of the cutout.",
    ucd="meta.code.mime",
    options=("fits", *FITS["fits"]),
)
SODA_METADATA = Parameter(
    "METADATA",
    choice(*METADATA),
    "Answer the headers that the cutout would have, as text, instead of the cutout (header).",
    ucd="meta.code",
    options=METADATA,
)

SPATIAL = (POS, CIRCLE, POLYGON, PIXELS)
"""The parameters that say which part of the image; a request has one of them at most."""

SODA = (ID, *SPATIAL, BAND, TIME, POL, DETAIL, SODA_FORMAT, SODA_METADATA, RUNID)
"""What {sync} takes, beside what the image's dataset adds."""

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


def soda_parameters(dataset: Dataset) -> tuple[Parameter, ...]:
    """Return what {sync} takes for images of a dataset.

    Raises
    ------
    PluginFault
        Raised if the dataset adds a parameter that has the name of one of SODA's.
    """
    reserved = {name.lower() for parameter in SODA for name in (parameter.name, *parameter.aliases)}
    for parameter in dataset.parameters:
        for name in (parameter.name, *parameter.aliases):
            if name.lower() in reserved:
                raise PluginFault(f"{name} is a parameter of SODA, so a dataset cannot add it")
    return (*SODA, *dataset.parameters)
