"""SIA 2.0: a search of all repositories, answered with a table of ObsCore's columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from imageserv.core.config import Limits
from imageserv.core.dali.descriptor import Descriptor, Input, descriptor_element
from imageserv.core.dali.documents import Element
from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.parameters import Parameters, parse_parameters
from imageserv.core.dali.soda import RUNID
from imageserv.core.dali.tables import FORMATS, DelimitedWriter, JsonWriter, TableWriter, write_table
from imageserv.core.dali.votable import TableDocument, Value
from imageserv.core.errors import LimitFault
from imageserv.core.identifiers import split_did
from imageserv.core.obscore import DATALINK, FIELDS, Access, row
from imageserv.core.repository import Repository
from imageserv.core.search import Search
from imageserv.core.service import Service
from imageserv.vo.urls import Urls

from .links import STANDARD as DATALINK_STANDARD
from .parameters import LINKS_ID, SIA

STANDARD = "ivo://ivoa.net/std/SIA#query-2.0"
_SIA = Parameters(SIA)


@dataclass(frozen=True, slots=True)
class SiaQuestion:
    """A search.

    Attributes
    ----------
    search
        What images must be like.
    collections
        The db ids to look in; empty for all.
    identifiers
        Publisher DIDs, one of which an image must have; empty for any.
    calib_levels
        The levels of calibration to look for; empty for all.
    formats
        Media types of what links to the image; empty for all.
    maxrec
        The most rows.
    format, media_type
        Of the answer.
    """

    search: Search
    collections: tuple[str, ...]
    identifiers: tuple[str, ...]
    calib_levels: tuple[int, ...]
    formats: tuple[str, ...]
    maxrec: int
    format: str
    media_type: str

    @property
    def extension(self) -> str:
        """Of a file that the answer is saved as."""
        return {"votable": "vot"}.get(self.format, self.format)


def read_question(pairs: Sequence[tuple[str, str]], limits: Limits) -> SiaQuestion:
    """Read a request to {query}.

    Parameters
    ----------
    limits
        How many rows an answer has if MAXREC is not given, and whatever it says; how many positions are too many.

    Raises
    ------
    UsageFault
        Raised if a parameter cannot be read.
    LimitFault
        Raised if there are too many positions.
    """
    given: Mapping[str, Any] = parse_parameters(_SIA, pairs).values

    for parameter in SIA:
        # An index finds identifiers; all other values are compared with each image that is left.
        if parameter.multiple and parameter.name != "ID" and len(given.get(parameter.name, ())) > limits.max_values:
            count = len(given[parameter.name])
            raise LimitFault(
                f"{parameter.name} has {count} values; at most {limits.max_values} are taken", parameter=parameter.name
            )

    def all_of(name: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(given[name])) if name in given else ()

    # The table has a default of its own: what a browser accepts is no wish for another format.
    name, media_type = negotiate(None, given.get("RESPONSEFORMAT"), FORMATS)
    return SiaQuestion(
        Search(
            shapes=all_of("POS"),
            bands=all_of("BAND"),
            times=all_of("TIME"),
            pol_states=all_of("POL"),
            s_fov=all_of("FOV"),
            s_resolution=all_of("SPATRES"),
            em_res_power=all_of("SPECRP"),
            t_exptime=all_of("EXPTIME"),
            t_resolution=all_of("TIMERES"),
            dataproduct_types=all_of("DPTYPE"),
            targets=all_of("TARGET"),
            facilities=all_of("FACILITY"),
            instruments=all_of("INSTRUMENT"),
        ),
        collections=all_of("COLLECTION"),
        identifiers=all_of("ID"),
        calib_levels=all_of("CALIB"),
        formats=all_of("FORMAT"),
        maxrec=min(given.get("MAXREC", limits.default_records), limits.max_records),
        format=name,
        media_type=media_type,
    )


def answer(service: Service, urls: Urls, question: SiaQuestion, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Write the table of a search, in pieces. Reads registries, as far as the pieces are taken.

    Parameters
    ----------
    headers
        The request's: datasets that plugins refuse to this client are left out.
    """
    writer = _writer(service, urls, question)
    if question.maxrec == 0:
        # DALI 1.1 section 3.4.4: the metadata alone, marked as an overflow.
        return iter([writer.head + writer.tail("OVERFLOW", "MAXREC=0 asks for no rows")])
    return write_table(writer, _rows(service, urls, question, headers), question.maxrec)


def _writer(service: Service, urls: Urls, question: SiaQuestion) -> TableWriter:
    match question.format:
        case "csv":
            return DelimitedWriter(FIELDS, ",")
        case "tsv":
            return DelimitedWriter(FIELDS, "\t")
        case "json":
            return JsonWriter(FIELDS)
        case _ if question.maxrec == 0:
            return _document(urls, descriptor_element(_self_description(service, urls)))
        case _:
            return _results(urls)


@lru_cache(maxsize=16)
def _results(urls: Urls) -> TableDocument:
    """Return the document without rows: the same for every search."""
    return _document(urls)


def _document(urls: Urls, *before: Element) -> TableDocument:
    return TableDocument(
        FIELDS,
        infos=[("standardID", "ivo://ivoa.net/std/SIA")],
        before=before,
        after=[descriptor_element(_links_descriptor(urls))],
        description="Images that the search found.",
    )


def _rows(
    service: Service, urls: Urls, question: SiaQuestion, headers: Mapping[str, str]
) -> Iterator[Sequence[Value] | None]:
    if question.formats and DATALINK.replace("+", "") not in question.formats:
        return
    for repository in service.repositories.values():
        if question.collections and repository.name not in question.collections:
            continue
        search = _in_repository(service, repository, question)
        datasets = [
            name
            for name, plugin in repository.datasets.items()
            if (not question.calib_levels or plugin.declaration.calib_level in question.calib_levels)
            and repository.admits(name, headers)
        ]
        if search is None or not datasets:
            continue
        for page in repository.search_pages(search, datasets):
            if not page:
                yield None
            for record in page:
                did = repository.publisher_did(record)
                dataset = repository.datasets[record.dataset].declaration
                yield row(record, dataset, Access(repository.name, did, urls.links(did)))


def _in_repository(service: Service, repository: Repository, question: SiaQuestion) -> Search | None:
    """Return the search as one repository understands it; None if none of the identifiers is of its images."""
    if not question.identifiers:
        return question.search
    home = (service.config.authority.lower(), repository.name.lower())
    split = [parts for identifier in question.identifiers if (parts := split_did(identifier)) is not None]
    local = tuple(parts[2].lower() for parts in split if (parts[0].lower(), parts[1].lower()) == home)
    return replace(question.search, identifiers=local) if local else None


def _links_descriptor(urls: Urls) -> Descriptor:
    """Describe the links service: clients ask it for the links of many rows at once."""
    return Descriptor(
        DATALINK_STANDARD,
        urls.vo("links"),
        "DataLink",
        "Links of the image of a row: its file, and cutouts of it.",
        (Input(LINKS_ID, ref="primaryID"),),
        content_type=DATALINK,
    )


def _self_description(service: Service, urls: Urls) -> Descriptor:
    """Describe this very service; Firefly makes its form of it, and takes options with commas apart."""
    options = _options(service)
    return Descriptor(
        STANDARD,
        urls.vo("sia"),
        "this",
        "Search for images of all repositories by position, wavelength, time and more.",
        tuple(
            Input(parameter, options=tuple(each for each in options.get(parameter.name, ()) if "," not in each))
            for parameter in SIA
            if parameter is not RUNID
        ),
        this=True,
    )


def _options(service: Service) -> dict[str, tuple[str, ...]]:
    declarations = [
        plugin.declaration for repository in service.repositories.values() for plugin in repository.datasets.values()
    ]
    return {
        "COLLECTION": tuple(service.repositories),
        "CALIB": tuple(sorted({str(each.calib_level) for each in declarations})),
        "FACILITY": tuple(sorted({each.facility for each in declarations if each.facility})),
        "INSTRUMENT": tuple(sorted({each.instrument for each in declarations if each.instrument})),
    }
