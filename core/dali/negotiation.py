"""Which of the formats that a service offers a client gets."""

import re
from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter

from imageserv.core.errors import UsageFault

_QUALITY = re.compile(r"0(?:\.[0-9]*)?|1(?:\.0*)?")


def negotiate(accept: str | None, responseformat: str | None, offers: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    """Choose a format.

    RESPONSEFORMAT decides if it is given (DALI 1.1 section 3.4.3). Otherwise
    the client gets another format than the first only if its ``Accept``
    (RFC 9110 section 12.5.1) names one of that format's media types, at least
    as high as it names the first format's. A wildcard names nothing, and
    neither does a browser, which asks for ``text/html`` and lists XML beside
    it. An ``Accept`` that nothing satisfies gets the first format too. Where
    media types differ by their parameters alone, those decide; else they are
    of no account.

    Parameters
    ----------
    accept
        The value of the header.
    responseformat
        The value of the parameter: a short name or a media type.
    offers
        The media types of each format, the usual one first, by the format's
        short name; the first format is the default.

    Returns
    -------
    short name : str
        A key of `offers`.
    media type : str
        One of that format's: the one that the client named, else the usual one.

    Raises
    ------
    UsageFault
        Raised if RESPONSEFORMAT names no format of `offers`.
    """
    return _negotiated(accept, responseformat, tuple(offers.items()))


# A client's requests are alike in this; and clients are few kinds.
@lru_cache(maxsize=64)
def _negotiated(
    accept: str | None, responseformat: str | None, offered: tuple[tuple[str, tuple[str, ...]], ...]
) -> tuple[str, str]:
    offers = dict(offered)
    if responseformat and responseformat.strip():
        return _named(responseformat, offers)
    quality = _qualities(accept or "")
    default, *others = offers

    def explicit(name: str) -> float:
        return max(quality.get(_exact(media_type), 0.0) for media_type in offers[name])

    if others and not quality.get("text/html"):
        named = max(others, key=explicit)
        if explicit(named) > 0.0 and explicit(named) >= explicit(default):
            return named, max(offers[named], key=lambda media_type: quality.get(_exact(media_type), 0.0))
    return default, max(offers[default], key=lambda media_type: _acceptance(_bare(media_type), quality))


def _named(responseformat: str, offers: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    # An unescaped + of application/x-votable+xml arrives as a blank.
    exact, bare = _exact(responseformat).replace("+", ""), _bare(responseformat).replace("+", "")
    found: list[tuple[bool, str, str]] = []
    for name, media_types in offers.items():
        if bare == name.lower():
            return name, media_types[0]
        is_named = exact in [_exact(each).replace("+", "") for each in media_types]
        found += [(is_named, name, each) for each in media_types if bare == _bare(each).replace("+", "")]
    if found:
        _, name, media_type = max(found, key=itemgetter(0))  # the first of those
        return name, media_type
    known = ", ".join(f"{name} ({', '.join(media_types)})" for name, media_types in offers.items())
    raise UsageFault(f"RESPONSEFORMAT={responseformat[:80]!r} is not offered: {known}", parameter="RESPONSEFORMAT")


def _bare(media_type: str) -> str:
    """Drop parameters, blanks and case."""
    return _exact(media_type.partition(";")[0])


def _exact(media_type: str) -> str:
    """Drop blanks, quotes and case."""
    return "".join(media_type.replace('"', "").split()).lower()


def _qualities(accept: str) -> dict[str, float]:
    """Read an ``Accept`` header: the quality, 0 to 1, of each media range; what is malformed is left out.

    A range with parameters counts without them too, unless that stands there as well.
    """
    found: dict[str, float] = {}
    bare: dict[str, float] = {}
    for part in accept.split(","):
        media_range, *parameters = part.split(";")
        weights = [
            value.strip() for name, _, value in (p.partition("=") for p in parameters) if name.strip().lower() == "q"
        ]
        weight = weights[0] if weights else "1"
        if _QUALITY.fullmatch(weight):
            others = [each for each in parameters if each.partition("=")[0].strip().lower() != "q"]
            found[_exact(";".join([media_range, *others]))] = float(weight)
            bare[_bare(media_range)] = float(weight)
    return bare | found


def _acceptance(media_type: str, quality: Mapping[str, float]) -> float:
    """Return the quality that the most specific matching range gives a media type."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in quality:
            return quality[media_range]
    return 0.0
