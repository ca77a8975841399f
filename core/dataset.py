"""What a dataset says of itself: the values that a plugin declares.

A dataset (``raw``, ``calexp``, a stranger's) is a kind of image that shares
one form of data id. Everything here is plain data: the rest of the core, and
every protocol, reads it instead of naming a filter or a key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .dali.parameters import Parameter
from .errors import UsageFault

type_names = {int: "integer", str: "string"}

DataId = Mapping[str, int | str]
"""The values of a dataset's keys, which name one image."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a data id.

    Parameters
    ----------
    name
        As requests spell it; compared without case.
    type
        `int` or `str`.
    description
        One sentence for people.
    minimum, maximum
        The range of an `int`, inclusive.
    choices
        The only values that a `str` may take; compared as written.
    parts
        A compound key is written as its integer parts joined by commas, as
        ``225,1``; JSON requests spell each part by its own name.
    example
        A value, as text.

    Examples
    --------
    >>> night = Key("night", int, "Night of the survey.", minimum=1)
    >>> night.parse("0042")
    42
    >>> tile = Key("tile", str, "Place in the mosaic.", parts=(Key("x", int, "Column."), Key("y", int, "Row.")))
    >>> tile.parse("07,3")
    '7,3'
    """

    name: str
    type: type[int] | type[str]
    description: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    parts: tuple["Key", ...] = ()
    example: str = ""

    def parse(self, text: str) -> int | str:
        """Read a value of this key.

        Returns
        -------
        int or str
            The value in its canonical form: ``0225,01`` is ``225,1``.

        Raises
        ------
        UsageFault
            Raised if the text is no value of this key; the message says what one looks like.
        """
        text = text.strip()
        if self.parts:
            pieces = text.split(",")
            if len(pieces) != len(self.parts):
                form = ",".join(part.name for part in self.parts)
                raise UsageFault(f"{self.name}={text!r} is not of the form {form}", parameter=self.name)
            return ",".join(str(part.parse(piece)) for part, piece in zip(self.parts, pieces, strict=True))
        if self.type is int:
            if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
                raise UsageFault(f"{self.name}={text!r} is not an integer{self._range()}", parameter=self.name)
            return self.check(int(text))
        return self.check(text)

    def check(self, value: int | str) -> int | str:
        """Return `value` if it is in range or among the choices.

        Raises
        ------
        UsageFault
            Raised if the value is of another type, out of range, or not among the choices.
        """
        if self.parts:
            return self.parse(str(value)) if isinstance(value, str) else self._refuse(value)
        if isinstance(value, bool) or not isinstance(value, self.type):
            self._refuse(value)
        if isinstance(value, int):
            low, high = self.minimum, self.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                raise UsageFault(f"{self.name}={value} is out of range{self._range()}", parameter=self.name)
        elif self.choices and value not in self.choices:
            raise UsageFault(f"{self.name}={value!r} is not one of {', '.join(self.choices)}", parameter=self.name)
        elif not value:
            raise UsageFault(f"{self.name} is empty", parameter=self.name)
        return value

    def _refuse(self, value: object) -> int | str:
        raise UsageFault(
            f"{self.name}={value!r} is not of type {type_names[self.type]}{self._range()}", parameter=self.name
        )

    def _range(self) -> str:
        if self.minimum is None and self.maximum is None:
            return ""
        if self.maximum is None:
            return f" (at least {self.minimum})"
        return f" ({self.minimum} to {self.maximum})"


@dataclass(frozen=True, slots=True)
class Band:
    """One filter: its name in data ids and its range of vacuum wavelengths in metres."""

    name: str
    em_min: float
    em_max: float


@dataclass(frozen=True, slots=True)
class Example:
    """A request worth trying: what it shows, and its v1 parameters (without ``ds``)."""

    title: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset plugin's declaration of itself.

    Parameters
    ----------
    description
        One sentence for people.
    keys
        The keys of the data id, in the order in which identifiers write them.
    band_key
        The key, with choices, that narrows a search by position (``filter``);
        None if such a search takes all images.
    bands
        The filters that `band_key` can name.
    planes
        What each plane is called, the science plane first.
    calib_level
        ObsCore 1.1 section 3.3.2.
    facility, instrument
        ObsCore's ``facility_name`` and ``instrument_name`` where a file does not say.
    o_ucd
        UCD of what the pixels measure, such as ``phot.count``; empty if it is not one thing.
    parameters
        What a cutout request may say to this dataset alone. Their values
        reach ``imageserv_cutout`` as ``request.parameters``. A name is neither a key's nor a protocol's own.
    sky_maps
        Names of sky maps on which its images lie, each with the values of `parameters` that make a cutout of several of
        them: then the place alone says where, and need not be in any image.
    examples
        Requests that the images of its demo answer: ``imageserv demo`` prints them, the contract's tests send them.
    """

    description: str
    keys: tuple[Key, ...]
    planes: tuple[str, ...] = ("image",)
    band_key: str | None = None
    bands: tuple[Band, ...] = ()
    calib_level: int = 2
    facility: str = ""
    instrument: str = ""
    o_ucd: str = ""
    parameters: tuple[Parameter, ...] = ()
    sky_maps: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    examples: tuple[Example, ...] = field(default=())

    def key(self, name: str) -> Key | None:
        """Return the key of that name, compared without case, or None."""
        return next((key for key in self.keys if key.name.lower() == name.lower()), None)

    def over_sky_map(self, parameters: Mapping[str, object]) -> bool:
        """Tell whether values of `parameters` make a cutout over a sky map."""
        return any(values.items() <= parameters.items() for values in self.sky_maps.values())

    def band(self, name: str | None) -> Band | None:
        """Return the filter of that name, or None."""
        return next((band for band in self.bands if band.name == name), None)

    def check_data_id(self, data_id: Mapping[str, int | str]) -> DataId:
        """Return a complete data id with canonical values, in the order of `keys`.

        Raises
        ------
        UsageFault
            Raised if a key is missing, unknown, or has a wrong value.
        """
        missing = [key.name for key in self.keys if key.name not in data_id]
        if missing:
            raise UsageFault(
                f"the data id lacks {', '.join(missing)}: it needs {', '.join(key.name for key in self.keys)}",
                parameter=missing[0],
            )
        unknown = sorted(set(data_id) - {key.name for key in self.keys})
        if unknown:
            raise UsageFault(f"{unknown[0]} is no key of this dataset's data id", parameter=unknown[0])
        return {key.name: key.check(data_id[key.name]) for key in self.keys}
