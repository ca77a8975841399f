"""SODA 1.0: what a request to {sync} asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imageserv.core.answer import FITS
from imageserv.core.dali import soda
from imageserv.core.dali.parameters import Parameters, near_misses, parse_parameters
from imageserv.core.dali.soda import METADATA, SODA, SPATIAL
from imageserv.core.errors import MultiValuedParamNotSupported, UsageFault
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import Selection
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Stencil

_SODA = Parameters(SODA)

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SodaQuestion:
    """A request to {sync}, as far as it can be read before the image is known.

    Attributes
    ----------
    identifier
        Publisher DID, as sent.
    given
        The values of SODA's parameters, by name.
    pairs
        All of the request's: the image's dataset may know more of them.
    unknown
        Names that are none of SODA's.
    """

    identifier: str
    given: dict[str, Any]
    pairs: Pairs
    unknown: tuple[str, ...]

    @property
    def media_type(self) -> str:
        """Of the cutout."""
        return str(self.given.get("RESPONSEFORMAT", FITS["fits"][0]))

    @property
    def headers_only(self) -> bool:
        """Whether the cutout's headers are asked for instead of the cutout."""
        return bool(self.given.get("METADATA", METADATA[0]) != METADATA[0])


def read_question(pairs: Pairs) -> SodaQuestion:
    """Read what does not depend on the image.

    Raises
    ------
    MultiValuedParamNotSupported
        Raised if a parameter that takes one value has several, or if several say which part of the image.
    UsageFault
        Raised if ID is missing, or a value cannot be read.
    """
    parsed = parse_parameters(_SODA, pairs)
    given = dict(parsed.values)
    if "ID" not in given:
        raise UsageFault("ID is missing: it names the image by its publisher DID", parameter="ID")
    spatial = [parameter.name for parameter in SPATIAL if parameter.name in given]
    if len(spatial) > 1:
        raise MultiValuedParamNotSupported(
            f"{' and '.join(spatial)} both say which part of the image: give one of them", parameter=spatial[1]
        )
    return SodaQuestion(given["ID"], given, pairs, parsed.unknown)


def find_image(service: Service, question: SodaQuestion) -> tuple[Repository, Selection]:
    """Return the image that a request means.

    Raises
    ------
    NotFoundFault
        Raised if there is none.
    """
    repository, record = service.find(question.identifier)
    return repository, Selection(record, 1, repository.publisher_did(record))


def cutout_request(repository: Repository, selection: Selection, question: SodaQuestion) -> CutoutRequest | None:
    """Return what of the image is asked for; None for the file itself, if nothing says otherwise.

    Raises
    ------
    UsageFault
        Raised if a parameter that the dataset adds cannot be read, or if the
        whole image would be given to one who misspelt the part that is wanted.
    """
    dataset = repository.datasets[selection.record.dataset].declaration
    own = parse_parameters(dataset.parameters, question.pairs).values
    given = question.given
    stencil: Stencil | None = next((given[parameter.name] for parameter in SPATIAL if parameter.name in given), None)
    wanted = soda.cutout_request(given, own, stencil, given.get("BAND"), given.get("TIME"))
    if wanted is None:
        # Unknown parameters are ignored; but whoever writes CIRCEL does not want all of the image.
        for wrong, right in near_misses(question.unknown, [parameter.name for parameter in SPATIAL]):
            raise UsageFault(
                f"{wrong} is no parameter, and without one the whole image is given: did you mean {right}?"
            )
    return wanted
