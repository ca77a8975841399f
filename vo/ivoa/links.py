"""DataLink 1.1: what can be done with images: the file itself, and a cutout service that fits each.

A document about one image describes SODA with that image's own values. One
about several has a descriptor whose ID is to be taken from each row: clients
such as pyvo use the first descriptor for all rows, and would cut the wrong
image otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imageserv.core.answer import FITS
from imageserv.core.dali.descriptor import Descriptor, Input, descriptor_element
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.soda import ID, RUNID, soda_parameters
from imageserv.core.dali.tables import write_table
from imageserv.core.dali.votable import Field, TableDocument, Value, cell_text, fitting
from imageserv.core.dataset import Dataset
from imageserv.core.errors import ImageServError
from imageserv.core.obscore import circle_text, polygon_text
from imageserv.core.record import ImageRecord
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.faults import fault_of
from imageserv.vo.urls import Urls

STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"
SODA_SYNC = "ivo://ivoa.net/std/SODA#sync-1.0"
SODA_ASYNC = "ivo://ivoa.net/std/SODA#async-1.0"

# DataLink 1.1 section 3.2. The one XML ID is shared with the column of identifiers in answers to searches.
FIELDS = (
    Field("ID", ucd="meta.id;meta.main", description="identifier, as it was asked for", id="primaryID"),
    Field("access_url", ucd="meta.ref.url", description="where the link leads"),
    Field("service_def", ucd="meta.ref", description="XML ID of the service, described below, that makes the link"),
    Field("error_message", ucd="meta.code.error", description="why there is no link"),
    Field("description", ucd="meta.note", description="what the link is"),
    Field("semantics", ucd="meta.code", description="what it is to the image: a term of the DataLink vocabulary"),
    Field("content_type", ucd="meta.code.mime", description="media type"),
    Field("content_length", "long", "", "byte", "phys.size;meta.file", description="size"),
)

_FITS = FITS["fits"][0]


@dataclass(frozen=True, slots=True)
class _Image:
    """An identifier, as sent, and the image that it names."""

    identifier: str
    repository: Repository
    record: ImageRecord

    @property
    def dataset(self) -> Dataset:
        return self.repository.datasets[self.record.dataset].declaration


@dataclass(frozen=True, slots=True)
class _Missing:
    """An identifier, as sent, and why there is no image for it."""

    identifier: str
    error: str


@dataclass(slots=True)
class _Services:
    """The descriptors of a document that is about several images: one for each set of parameters."""

    ids: dict[tuple[Parameter, ...], str] = field(default_factory=dict)

    def id(self, dataset: Dataset) -> str:
        """Return the XML ID of the service for images of a dataset."""
        return self.ids.setdefault(soda_parameters(dataset), f"soda-sync-{len(self.ids) + 1}")


def links(
    service: Service, urls: Urls, identifiers: Sequence[str], headers: Mapping[str, str], most: int
) -> Iterator[bytes]:
    """Write the links document of some identifiers, in pieces. Reads registries.

    Parameters
    ----------
    identifiers
        As sent; the rows of each are together, and an identifier given twice counts once.
    headers
        The request's: plugins judge by them who may have an image.
    most
        Identifiers that are looked up; if there are more the document ends with OVERFLOW (DataLink 1.1 section 2.1.1).
    """
    asked = list(dict.fromkeys(identifiers))
    found = list(_find(service, asked[:most], headers))
    services = _Services()
    rows = [row for each in found for row in _rows(urls, each, services)]
    if len(asked) == 1 and isinstance(found[0], _Image):
        descriptors = [_own_descriptor(urls, services, found[0])]
    else:
        descriptors = [_shared_descriptor(urls, parameters, id) for parameters, id in services.ids.items()]
    document = TableDocument(
        fitting(FIELDS, rows),
        infos=[("standardID", STANDARD)],
        # Clients take the first that they find; no row names the jobs, for many expect one row to cut images.
        after=map(descriptor_element, [*descriptors, *(_of_jobs(urls, each) for each in descriptors)]),
        description="Links of images: the files, and a service that cuts them out.",
    )
    # One row too many makes the writer tell that identifiers are left.
    left: list[Sequence[Value]] = [()] if len(asked) > most else []
    overflow = f"only the first {most} identifiers were looked up"
    return write_table(document, [*rows, *left], len(rows), overflow=overflow)


def _find(service: Service, identifiers: Iterable[str], headers: Mapping[str, str]) -> Iterator[_Image | _Missing]:
    refused: dict[tuple[str, str], str] = {}
    for identifier in identifiers:
        try:
            repository, record = service.find(identifier.strip())
            key = (repository.name, record.dataset)
            if key not in refused:
                refused[key] = _refusal(repository, record.dataset, headers)
            yield _Missing(identifier, refused[key]) if refused[key] else _Image(identifier, repository, record)
        except ImageServError as error:
            yield _Missing(identifier, _message(error))


def _refusal(repository: Repository, dataset: str, headers: Mapping[str, str]) -> str:
    try:
        repository.authorise(dataset, headers)
    except ImageServError as error:
        return _message(error)
    return ""


def _message(error: ImageServError) -> str:
    fault = fault_of(error)
    return f"{fault.word}: {fault.message or error.message}"


def _rows(urls: Urls, found: _Image | _Missing, services: _Services) -> Iterator[Sequence[Value]]:
    if isinstance(found, _Missing):
        yield found.identifier, None, None, found.error, None, "#this", None, None
        return
    url = urls.file(found.repository.name, found.record.identifier)
    yield found.identifier, url, None, None, "The whole image.", "#this", _FITS, found.record.size
    what = "Cutouts of the image, by SODA."
    yield found.identifier, None, services.id(found.dataset), None, what, "#cutout", _FITS, None


def _own_descriptor(urls: Urls, services: _Services, image: _Image) -> Descriptor:
    """Describe SODA with the values of one image (SODA 1.0 section 4.3)."""
    inputs = [
        described
        for parameter in soda_parameters(image.dataset)
        if parameter is not RUNID and (described := _own_input(parameter, image.record, image.identifier)) is not None
    ]
    return _descriptor(urls, services.id(image.dataset), f"Cutouts of {image.record.identifier}.", inputs)


def _own_input(parameter: Parameter, record: ImageRecord, identifier: str) -> Input | None:
    """Describe a parameter with the values that make sense for an image; None if none does."""
    seen, footprint = record.observation, record.footprint
    match parameter.name:
        case "ID":
            return Input(parameter, value=identifier.strip())
        case "POS":
            return None if footprint is None else Input(parameter)
        case "CIRCLE":
            return None if footprint is None else Input(parameter, maximum=circle_text(footprint))
        case "POLYGON":
            if footprint is None:
                return None
            return Input(parameter, maximum=polygon_text(footprint) if footprint.exact else "")
        case "BAND":
            return _interval(parameter, seen.em_min, seen.em_max)
        case "TIME":
            return _interval(parameter, seen.t_min, seen.t_max)
        case "POL":
            return Input(parameter, options=record.pol_states) if record.pol_states else None
        case _:
            return Input(parameter)


def _interval(parameter: Parameter, low: float | None, high: float | None) -> Input | None:
    if low is None or high is None:
        return None
    return Input(parameter, minimum=cell_text(low), maximum=cell_text(high))


def _shared_descriptor(urls: Urls, parameters: Iterable[Parameter], id: str) -> Descriptor:
    """Describe SODA for whatever image a row is about."""
    inputs = [
        Input(parameter, ref="primaryID" if parameter is ID else "")
        for parameter in parameters
        if parameter is not RUNID
    ]
    return _descriptor(urls, id, "Cutouts of the image of a row.", inputs)


def _descriptor(urls: Urls, id: str, description: str, inputs: Sequence[Input]) -> Descriptor:
    name = "SODA sync" + _number(id)
    return Descriptor(SODA_SYNC, urls.vo("sync"), name, description, tuple(inputs), id=id, content_type=_FITS)


def _of_jobs(urls: Urls, sync: Descriptor) -> Descriptor:
    """Describe the same cutouts as jobs, which take several of most parameters."""
    return replace(
        sync,
        standard_id=SODA_ASYNC,
        access_url=urls.vo("async"),
        name="SODA async" + _number(sync.id),
        description=f"As a job, many at once: {sync.description[0].lower()}{sync.description[1:]}",
        id=sync.id.replace("sync", "async"),
        content_type="",
    )


def _number(id: str) -> str:
    """Return what tells the name of a service from those of others: nothing for the first."""
    number = id.rpartition("-")[2]
    return "" if number == "1" else f" {number}"
