"""ObsCore 1.1: an image record as a row of the table that searches answer with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .dali.votable import Field, Value
from .dataset import Dataset
from .record import Coverage, Footprint, ImageRecord
from .sky.caps import vector_to_degrees
from .sky.footprint import cap

POL_STATES = ("I", "Q", "U", "V", "RR", "LL", "RL", "LR", "XX", "YY", "XY", "YX", "POLI", "POLA")
"""ObsCore 1.1 section B.6.6: the states of polarization, in the order in which a list has them."""

DATALINK = "application/x-votable+xml;content=datalink"
"""DataLink 1.1 section 3.3; without a blank, for clients compare it as text."""


def _column(
    name: str, ucd: str, utype: str, description: str, datatype: str = "char", unit: str = "", **more: str
) -> Field:
    arraysize = "*" if datatype == "char" else ""
    return Field(name, datatype, arraysize, unit, ucd, f"obscore:{utype}", description=description, **more)


_SPACE = "Char.SpatialAxis"
_TIME = "Char.TimeAxis"
_SPECTRUM = "Char.SpectralAxis"

# ObsCore 1.1 tables 1, 5 and 6.
FIELDS = (
    _column("dataproduct_type", "meta.code.class", "ObsDataset.dataProductType", "image, or cube"),
    _column("calib_level", "meta.code;obs.calib", "ObsDataset.calibLevel", "level of calibration, 0 to 4", "int"),
    _column("obs_collection", "meta.id", "DataID.collection", "the repository"),
    _column("obs_id", "meta.id", "DataID.observationID", "the image's name in its repository"),
    _column("obs_title", "meta.title;obs", "DataID.title", "one line for people"),
    # The ID is the one that links documents give their column of identifiers: a ref then holds in both.
    _column(
        "obs_publisher_did", "meta.ref.ivoid", "Curation.publisherDID", "the image's IVOA identifier", id="primaryID"
    ),
    _column("obs_release_date", "time.release", "Curation.releaseDate", "when it became public", xtype="timestamp"),
    _column("access_url", "meta.ref.url", "Access.reference", "its links: the file, cutouts of it"),
    _column("access_format", "meta.code.mime", "Access.format", "media type of access_url"),
    _column("access_estsize", "phys.size;meta.file", "Access.size", "size of the whole image", "long", "kbyte"),
    _column("target_name", "meta.id;src", "Target.name", "what was observed"),
    _column(
        "s_ra", "pos.eq.ra", f"{_SPACE}.Coverage.Location.Coord.Position2D.Value2.C1", "centre, ICRS", "double", "deg"
    ),
    _column(
        "s_dec", "pos.eq.dec", f"{_SPACE}.Coverage.Location.Coord.Position2D.Value2.C2", "centre, ICRS", "double", "deg"
    ),
    _column(
        "s_fov",
        "phys.angSize;instr.fov",
        f"{_SPACE}.Coverage.Bounds.Extent.diameter",
        "diameter of a circle around the image",
        "double",
        "deg",
    ),
    _column(
        "s_region", "pos.outline;obs.field", f"{_SPACE}.Coverage.Support.Area", "outline, ICRS", xtype="adql:REGION"
    ),
    _column(
        "s_resolution",
        "pos.angResolution",
        f"{_SPACE}.Resolution.Refval.value",
        "angular resolution",
        "double",
        "arcsec",
    ),
    _column("s_xel1", "meta.number", f"{_SPACE}.numBins1", "pixels along the first celestial axis", "long"),
    _column("s_xel2", "meta.number", f"{_SPACE}.numBins2", "pixels along the second celestial axis", "long"),
    _column(
        "s_pixel_scale",
        "phys.angSize;instr.pixel",
        f"{_SPACE}.Sampling.RefVal.SamplingPeriod",
        "size of a pixel",
        "double",
        "arcsec",
    ),
    _column(
        "t_min", "time.start;obs.exposure", f"{_TIME}.Coverage.Bounds.Limits.StartTime", "start, MJD UTC", "double", "d"
    ),
    _column(
        "t_max", "time.end;obs.exposure", f"{_TIME}.Coverage.Bounds.Limits.StopTime", "end, MJD UTC", "double", "d"
    ),
    _column(
        "t_exptime",
        "time.duration;obs.exposure",
        f"{_TIME}.Coverage.Support.Extent",
        "exposure time",
        "double",
        "s",
    ),
    _column("t_resolution", "time.resolution", f"{_TIME}.Resolution.Refval.value", "resolution in time", "double", "s"),
    _column("t_xel", "meta.number", f"{_TIME}.numBins", "elements along the time axis", "long"),
    _column(
        "em_min",
        "em.wl;stat.min",
        f"{_SPECTRUM}.Coverage.Bounds.Limits.LoLimit",
        "shortest vacuum wavelength",
        "double",
        "m",
    ),
    _column(
        "em_max",
        "em.wl;stat.max",
        f"{_SPECTRUM}.Coverage.Bounds.Limits.HiLimit",
        "longest vacuum wavelength",
        "double",
        "m",
    ),
    _column(
        "em_res_power",
        "spect.resolution",
        f"{_SPECTRUM}.Resolution.ResolPower.refVal",
        "spectral resolving power",
        "double",
    ),
    _column("em_xel", "meta.number", f"{_SPECTRUM}.numBins", "elements along the spectral axis", "long"),
    _column("o_ucd", "meta.ucd", "Char.ObservableAxis.ucd", "what the pixels measure"),
    _column("pol_states", "meta.code;phys.polarization", "Char.PolarizationAxis.stateList", "states of polarization"),
    _column("pol_xel", "meta.number", "Char.PolarizationAxis.numBins", "elements along the polarization axis", "long"),
    _column("facility_name", "meta.id;instr.tel", "Provenance.ObsConfig.Facility.name", "the telescope"),
    _column("instrument_name", "meta.id;instr", "Provenance.ObsConfig.Instrument.name", "the instrument"),
)
"""The thirty mandatory columns, and three that clients like to have."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where an image is to be had.

    Attributes
    ----------
    collection
        The db id.
    publisher_did
        Its IVOA identifier.
    url
        Of its links document.
    """

    collection: str
    publisher_did: str
    url: str


def dataproduct_type(record: ImageRecord) -> str:
    """Return ``image``, or ``cube`` for an image with more axes than the celestial ones (ObsCore 1.1 section 3.3.1)."""
    return "cube" if record.cube else "image"


def row(record: ImageRecord, dataset: Dataset, access: Access) -> Sequence[Value]:
    """Return the values of `FIELDS` for an image; None where nothing is known."""
    seen = record.observation
    place = record.coverage
    return (
        dataproduct_type(record),
        dataset.calib_level,
        access.collection,
        record.identifier,
        seen.title,
        access.publisher_did,
        seen.release,
        access.url,
        DATALINK,
        -(-record.size // 1000),
        seen.target,
        None if place is None else place.ra,
        None if place is None else place.dec,
        None if place is None else place.fov,
        None if place is None else place.region,
        seen.s_resolution,
        record.shape[0],
        record.shape[1],
        None if record.pixel_scale is None else round(record.pixel_scale, 9),
        seen.t_min,
        seen.t_max,
        seen.t_exptime,
        seen.t_resolution,
        1,
        seen.em_min,
        seen.em_max,
        seen.em_res_power,
        record.channels,
        dataset.o_ucd or None,
        f"/{'/'.join(record.pol_states)}/" if record.pol_states else None,
        len(record.pol_states),
        seen.facility,
        seen.instrument,
    )


def coverage(footprint: Footprint) -> Coverage:
    """Return a footprint as it is published."""
    ra, dec = vector_to_degrees(footprint.center.tolist())
    return Coverage(round(ra, 9), round(dec, 9), round(2 * math.degrees(cap(footprint)[1]), 9), region_text(footprint))


def polygon_text(footprint: Footprint) -> str:
    """Write the corners of a footprint as DALI polygons are: counter-clockwise, as its vertices are.

    Coordinates are rounded to 1e-9 deg, 4 microarcseconds.
    """
    corners = map(vector_to_degrees, footprint.vertices.tolist())
    return " ".join(f"{number(lon)} {number(lat)}" for lon, lat in corners)


def circle_text(footprint: Footprint) -> str:
    """Write a circle that covers a footprint, as DALI circles are: rounded outwards."""
    center, radius = cap(footprint)
    ra, dec = vector_to_degrees(center.tolist())
    return f"{number(ra)} {number(dec)} {number(min(180.0, math.degrees(radius) + 2e-9))}"


def region_text(footprint: Footprint) -> str:
    """Write a footprint in STC-S: a polygon, or the circle that covers an image whose outline is none."""
    if footprint.exact:
        return f"POLYGON ICRS {polygon_text(footprint)}"
    return f"CIRCLE ICRS {circle_text(footprint)}"


def number(value: float) -> str:
    """Write degrees, to 1e-9.

    >>> number(37.645160000000004), number(-1e-12), number(360.0), number(2e-9)
    ('37.64516', '0.0', '360.0', '0.000000002')
    """
    text = f"{value:z.9f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text
