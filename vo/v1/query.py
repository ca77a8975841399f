"""What a v1 request asks: parameters in, a `Question` to the core out."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, NoReturn

from imageserv.core.dali.parameters import Parameters, near_misses, parse_parameters, second_question_mark
from imageserv.core.dali.places import UNITS, box
from imageserv.core.dataset import DataId
from imageserv.core.errors import ImageServError, UsageFault
from imageserv.core.manager import DatasetPlugin
from imageserv.core.repository import Repository
from imageserv.core.request import DETAILS, CutoutRequest
from imageserv.core.selection import ByDataId, ByPosition, ByScienceId, Selector
from imageserv.core.sky.stencil import Box

from .parameters import DS, accepted, declare


class ImageQuestion(NamedTuple):
    """A request for an image.

    Attributes
    ----------
    selector
        Which image.
    request
        What of it; None for the stored file.
    """

    dataset: DatasetPlugin
    selector: Selector
    request: CutoutRequest | None = None


class IdQuestion(NamedTuple):
    """A request for one id of an image from another: no such image need exist."""

    dataset: DatasetPlugin
    science_id: int
    want: Literal["data id", "science id"]


Question = ImageQuestion | IdQuestion


_DS = Parameters((DS,))


@lru_cache(maxsize=1024)
def _declared(dataset: DatasetPlugin) -> Parameters:
    return Parameters(declare(dataset.declaration))


def read_question(repository: Repository, pairs: Sequence[tuple[str, str]]) -> Question:
    """Understand a request.

    Parameters
    ----------
    repository
        The one that the URL names.
    pairs
        Names and values, decoded, as sent.

    Raises
    ------
    NotFoundFault
        Raised if the repository has no such dataset.
    UsageFault
        Raised if the parameters do not say one thing, once; ``accepted`` of
        its details lists what this dataset takes.
    """
    try:
        return _read(repository, pairs)
    except ImageServError as fault:
        swallowed = second_question_mark(pairs)
        if swallowed is None:
            raise
        name, value = swallowed
        raise UsageFault(
            f"{name}={value!r} holds a second '?': parameters are joined by '&', as in"
            f" ?{name}={value.replace('?', '&')}",
            parameter=name,
        ) from fault


def _read(repository: Repository, pairs: Sequence[tuple[str, str]]) -> Question:
    ds = parse_parameters(_DS, [pair for pair in pairs if pair[0].lower() == "ds"]).values.get("ds")
    if ds is None:
        names = ", ".join(repository.datasets)
        meant = _meant(parse_parameters(_DS, pairs).unknown, ("ds",))
        raise UsageFault(f"ds is missing: it names the dataset, one of {names}{meant}", parameter="ds")
    dataset = repository.dataset(ds)
    try:
        parsed = parse_parameters(_declared(dataset), pairs)
        return _Reader(dataset, parsed.values, parsed.unknown).question()
    except UsageFault as fault:
        fault.details.setdefault("accepted", accepted(dataset.declaration))
        raise


class _Reader:
    """Reads the question that a set of parsed parameters makes: one method for each part of it.

    Parameters
    ----------
    given
        Values, by the names of their declarations.
    unknown
        Names that are not declared: one of them may be what is missing.
    """

    def __init__(self, dataset: DatasetPlugin, given: Mapping[str, Any], unknown: Collection[str]) -> None:
        self._dataset = dataset
        self._given = given
        self._unknown = unknown
        self._names = [key.name for key in dataset.declaration.keys]
        self._data_id: DataId = {name: given[name] for name in self._names if name in given}

    def question(self) -> Question:
        wanted = [name for name in ("get_dataid", "get_ccdexpid") if name in self._given]
        if wanted:
            return self._identity(wanted)
        stencil = self._stencil()
        own = {
            parameter.name: self._given[parameter.name]
            for parameter in self._dataset.declaration.parameters
            if parameter.name in self._given
        }
        selector = self._selector(anywhere=self._dataset.declaration.over_sky_map(own))
        if stencil is None and self._has("ra", "dec") and not isinstance(selector, ByPosition):
            self._refuse(
                "the image is named by its id, so ra and dec can only be a cutout's centre:"
                " give width and height too, or leave ra and dec out",
                "width",
            )
        if stencil is None and own:
            self._refuse(f"{next(iter(own))} is for cutouts: give width, height, ra and dec too", next(iter(own)))
        if stencil is None:
            return ImageQuestion(self._dataset, selector)
        detail = self._given.get("detail", DETAILS[0])
        return ImageQuestion(self._dataset, selector, CutoutRequest(stencil, detail, parameters=own))

    def _identity(self, wanted: list[str]) -> IdQuestion:
        """Read U_1 and U_2: which id belongs to an id."""
        idle = [*wanted[1:], *(name for name in ("ra", "dec", "width", "height") if name in self._given)]
        if idle:
            self._refuse(f"{wanted[0]} is answered from an id alone: leave {idle[0]} out", idle[0])
        if wanted == ["get_dataid"]:
            if "sid" not in self._given:
                self._missing(["sid"], "get_dataid answers the data id of a science id")
            self._check_agreement(self._given["sid"])
            return IdQuestion(self._dataset, self._given["sid"], "data id")
        self._check_complete("get_ccdexpid answers the science id of a data id")
        science_id = self._dataset.science_id(self._data_id)
        self._check_agreement(self._given.get("sid", science_id))
        return IdQuestion(self._dataset, science_id, "science id")

    def _stencil(self) -> Box | None:
        if not self._has("width", "height"):
            return None
        missing = [name for name in ("width", "height", "ra", "dec") if name not in self._given]
        if missing:
            self._missing(missing, "a cutout needs width and height, and ra and dec as its centre")
        given = self._given
        return box(given["ra"], given["dec"], given["width"], given["height"], given.get("unit", UNITS[0]))

    def _selector(self, *, anywhere: bool) -> Selector:
        band_key = self._dataset.declaration.band_key
        if "sid" in self._given:
            self._check_agreement(self._given["sid"])
            return ByScienceId(self._given["sid"])
        # The band's key alone makes no data id where there is a position: it narrows the search.
        if set(self._data_id) - {band_key} or (self._data_id and not self._has("ra", "dec")):
            self._check_complete("keys of a data id name an image")
            return ByDataId(self._data_id)
        if not self._has("ra", "dec"):
            position = ", ".join(["ra", "dec", *([band_key] if band_key else [])])
            self._refuse(
                f"nothing selects an image: give a position ({position}), a data id ({', '.join(self._names)}),"
                f" or a science id (sid){self._meant()}"
            )
        missing = [name for name in ("ra", "dec", band_key) if name is not None and name not in self._given]
        if missing:
            self._missing(missing, "a position needs ra, dec" + (f" and {band_key}" if band_key else ""))
        band = None if band_key is None else str(self._given[band_key])
        return ByPosition(self._given["ra"], self._given["dec"], band, anywhere)

    def _check_complete(self, rule: str) -> None:
        missing = [name for name in self._names if name not in self._data_id]
        if missing:
            self._missing(missing, f"{rule}, and that has {', '.join(self._names)}")

    def _check_agreement(self, science_id: int) -> None:
        """Refuse a science id beside keys of another image."""
        if not self._data_id:
            return
        if len(self._data_id) == len(self._names):
            if self._dataset.science_id(self._data_id) == science_id:
                return
            self._refuse(
                f"sid={science_id} is not the image that {', '.join(self._data_id)} name: give one of both", "sid"
            )
        decoded = self._dataset.data_id(science_id)
        if decoded is None:
            self._refuse(f"give sid alone, or {', '.join(self._names)} too", "sid")
        for name, value in self._data_id.items():
            if decoded[name] != value:
                self._refuse(f"sid={science_id} has {name}={decoded[name]}, not {name}={value}: give one of both", name)

    def _has(self, *names: str) -> bool:
        return not self._given.keys().isdisjoint(names)

    def _missing(self, names: Sequence[str], rule: str) -> NoReturn:
        verb = "is" if len(names) == 1 else "are"
        self._refuse(f"{rule}: {', '.join(names)} {verb} missing{self._meant()}", names[0])

    def _meant(self) -> str:
        """Say, to end a sentence with, what unknown parameters perhaps are: parts of a key, or misspelt."""
        declaration = self._dataset.declaration
        known = [parameter.name for parameter in declare(declaration)]
        whole = {part.name.lower(): key for key in declaration.keys for part in key.parts}
        hints: list[str] = []
        for key in dict.fromkeys(whole[name.lower()] for name in self._unknown if name.lower() in whole):
            parts = [part.name for part in key.parts]
            if key.name not in self._given:
                one = f"{key.name}={key.example or ','.join(parts)}"
                hints.append(f"; {' and '.join(parts)} are written as one: {one}")
        others = [name for name in self._unknown if name.lower() not in whole]
        return "".join(hints) + _meant(others, [name for name in known if name not in self._given])

    def _refuse(self, message: str, parameter: str | None = None) -> NoReturn:
        raise UsageFault(message, parameter=parameter)


def _meant(unknown: Collection[str], known: Sequence[str]) -> str:
    """Name the parameters that unknown ones were perhaps meant to be, to end a sentence with."""
    found = near_misses(unknown, known)
    return "".join(f"; did you mean {right} where you wrote {wrong}?" for wrong, right in found[:3])
