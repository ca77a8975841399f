"""SODA's parameters, each declared once.

Requests and jobs are read, descriptors and documentation are written from this
table. Names, units and UCDs are the standard's: clients know a parameter by the three of them.
"""

from collections.abc import Mapping
from typing import Any

from imageserv.core.answer import CUTOUT_TYPES, FITS, TILES
from imageserv.core.dataset import Dataset
from imageserv.core.errors import PluginFault, UsageFault
from imageserv.core.obscore import POL_STATES
from imageserv.core.request import DETAILS, CutoutRequest
from imageserv.core.sky.stencil import Interval, Stencil

from .literals import choice, interval
from .negotiation import negotiate
from .parameters import Parameter
from .shapes import circle, most_corners, polygon, section, shape

METADATA = ("none", "header")
"""What of a cutout SODA answers with instead of it; the first is the default."""


def _run_id(text: str) -> str:
    if len(text) > 64:
        raise ValueError("must be of at most 64 characters")
    return text


def _fits(text: str) -> str:
    try:
        return negotiate(None, text or "none", FITS)[1]
    except UsageFault as fault:
        # The words are SODA's (working draft 1.1, RESPONSEFORMAT).
        raise UsageFault(
            f"Format transformation not available: RESPONSEFORMAT must be one of {', '.join((*FITS, *CUTOUT_TYPES))}",
            parameter="RESPONSEFORMAT",
        ) from fault


RUNID = Parameter("RUNID", _run_id, "A name of yours for the request; it is logged.", ucd="meta.id")
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
    f"Format of the cutout. {TILES}: tile-compressed planes stay so; the box is widened to whole tiles.",
    ucd="meta.code.mime",
    options=(*FITS, *CUTOUT_TYPES),
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


def cutout_request(
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    stencil: Stencil | None,
    band: Interval | None,
    time: Interval | None,
) -> CutoutRequest | None:
    """Return what of an image is asked for; None for the file itself, if nothing says otherwise.

    Parameters
    ----------
    given
        Values of SODA's parameters, by name: of POL, DETAIL and RESPONSEFORMAT.
    own
        Values of the parameters that the image's dataset adds.
    stencil, band, time
        One of those that were given.
    """
    if not own and stencil is None and band is None and time is None and not {"POL", "DETAIL"} & given.keys():
        return None
    wanted = set(given.get("POL", ()))
    return CutoutRequest(
        stencil,
        given.get("DETAIL", DETAILS[0]),
        band=band,
        time=time,
        pol=tuple(state for state in POL_STATES if state in wanted),
        as_tiles=given.get("RESPONSEFORMAT") in FITS[TILES],
        parameters=own,
    )
