"""The pages about the Virtual Observatory's protocols, one each."""

from collections.abc import Callable, Mapping

from imageserv.core.answer import FITS
from imageserv.core.dali.soda import SODA
from imageserv.core.dali.tables import FORMATS as TABLES
from imageserv.core.obscore import FIELDS
from imageserv.core.service import Service
from imageserv.vo.ivoa.parameters import LINKS, SIA
from imageserv.vo.urls import Urls

from .formats import tiles
from .html import code, link, page, table, tag
from .jobs import jobs
from .tables import at, parameter_table

_SODA_STATUSES = (
    ("200", "", "the cutout; without any parameter but ID the whole image"),
    ("204", "", "the image has nothing of what was asked for"),
    ("206, 304", "", "a part of a whole image; the client has the answer already"),
    ("400", "UsageError, MultiValuedParamNotSupported", "the request is wrong: the message says what would be right"),
    ("401, 403", "AuthenticationError, AuthorizationError", "the image is not for everybody"),
    ("404", "UsageError", "there is no such image"),
    ("413", "UsageError", "more than a published limit"),
    ("500", "Error", "a fault of the service; its log has the id that the message gives"),
    ("503", "ServiceUnavailable", "the image cannot be read at present, or the service is busy"),
)

_POLYGON = """\
record.processed(pos="POLYGON 37.64 0.10 37.65 0.10 37.65 0.11 37.64 0.11")
"""


def sia(urls: Urls, service: Service) -> str:
    """Write the page about searches."""
    limits = service.config.limits
    return page(
        "Searches: SIA 2.0",
        at(urls.vo("sia"), "GET, or POST of a form"),
        tag(
            "p",
            "Which images there are: a row for each image that satisfies all constraints. Of several values of one"
            " parameter any will do; a value that is unknown satisfies no constraint. A position meets the image's"
            " outline itself, not a box around it. Names of parameters are compared without case.",
        ),
        parameter_table(SIA),
        tag(
            "p",
            f"An answer has {limits.default_records} rows unless MAXREC says otherwise, and {limits.max_records} at the"
            " most; if there are more, the last INFO of a VOTable is OVERFLOW (JSON: query_status; CSV"
            f" cannot tell). One search may have {limits.max_values} values of a parameter. MAXREC=0 answers a"
            f" description of the service. RESPONSEFORMAT is one of {', '.join(TABLES)}, or their media"
            " types. Errors are VOTables, for those who ask for another format plain text, that begin with UsageFault,"
            " TransientFault or FatalFault.",
        ),
        tag("h2", "Columns"),
        tag("p", "Those of ObsCore 1.1, and three more. access_url leads to the image's links."),
        table(
            ("column", "unit", "UCD", "what it is"),
            [(field.name, field.unit, field.ucd, field.description) for field in FIELDS],
        ),
    )


def links(urls: Urls, service: Service) -> str:
    """Write the page about links."""
    most = service.config.limits.max_ids
    return page(
        "Links: DataLink 1.1",
        at(urls.vo("links"), "GET, or POST of a form"),
        tag(
            "p",
            "What can be done with an image, by its publisher DID: #this is the file itself, unpacked if it is stored"
            " packed, and range requests work on it; #cutout is a service that the same document describes, with the"
            " values that make sense for the image.",
        ),
        parameter_table(LINKS),
        tag(
            "p",
            f"Up to {most} identifiers are looked up in one request; if there are more, the last INFO is OVERFLOW."
            " One that names no image here has a row with an error_message. A document about one image fixes the ID of"
            " the cutout service; one about several refers it to the row, and leaves out what is particular to images.",
        ),
    )


def soda(urls: Urls, service: Service) -> str:
    """Write the page about cutouts."""
    limits = service.config.limits
    own = {
        parameter.name: parameter
        for repository in service.repositories.values()
        for plugin in repository.datasets.values()
        for parameter in plugin.declaration.parameters
    }
    return page(
        "Cutouts: SODA 1.0",
        at(urls.vo("sync"), "GET, or POST of a form"),
        tag(
            "p",
            "The pixels of an image that a circle, a range, a polygon or a section touches: the smallest box along the"
            " image's pixel axes that has them all, clipped at the image's edge. Of a polygon the smaller part of the"
            " sky counts, whichever way round its corners are; a radius of 0 is a point, and gives one pixel. Nothing"
            " is resampled or masked. BAND and POL cut the axes of a cube; an image that has no such axis is given"
            " whole if it overlaps. Coordinates are ICRS degrees.",
        ),
        parameter_table((*SODA, *own.values())),
        tag(
            "p",
            "Names of parameters are compared without case, unknown ones are ignored, and each but POL is given once:"
            f" POS, CIRCLE, POLYGON and PIXELS are ways to say one thing. A cutout has at most {limits.max_pixels}"
            " pixels in all its planes. The headers X-ImageServ-Parent, -Requested, -Delivered, -Clipped and -Coverage,"
            " and cards in its primary header, say what was asked and what was delivered.",
        ),
        tag("h2", "Answers"),
        table(("status", "begins with", "meaning"), _SODA_STATUSES),
        tag("p", f"The format is FITS ({', '.join(FITS['fits'])}); errors are plain text."),
        tiles(),
        tag("h2", "With pyvo"),
        tag(
            "p",
            "record.processed() takes circle, range, polygon and band as numbers (degrees, metres of wavelength). It"
            " answers a stream without a seek: read it into a BytesIO. pyvo 1.9 refuses polygons of four corners"
            " before it asks anybody; give them as pos:",
        ),
        code(_POLYGON),
    )


def vosi(urls: Urls, _service: Service) -> str:
    """Write the page about the documents around the services."""
    rows = (
        ("capabilities", "which interfaces there are (VOSI 1.1)"),
        ("availability", "whether all repositories can be read, and announced maintenance (VOSI 1.1)"),
        ("examples", "requests worth trying, with images of this service (DALI 1.1)"),
        ("openapi.json", "all of it for programs that read OpenAPI"),
    )
    return page(
        "The service about itself: VOSI 1.1 and DALI 1.1",
        tag("p", "Clients are given the base URL ", tag("code", urls.vo("").rstrip("/")), "; they find the rest from:"),
        tag("ul", *(tag("li", link(urls.vo(name), name), f": {what}") for name, what in rows)),
        tag(
            "p",
            "Capabilities and availability are XML, or JSON with the same facts for those who ask for it (Accept, or"
            " RESPONSEFORMAT=json).",
        ),
    )


PAGES: Mapping[str, tuple[str, Callable[[Urls, Service], str]]] = {
    "sia": ("Searches: SIA 2.0", sia),
    "links": ("Links: DataLink 1.1", links),
    "soda": ("Cutouts: SODA 1.0", soda),
    "jobs": ("Cutouts as jobs: SODA 1.0 and UWS 1.1", jobs),
    "vosi": ("The service about itself: VOSI 1.1 and DALI 1.1", vosi),
}
"""By their names below ``/docs``."""
