"""astropy's WCS of a header, made of its cards: in a fraction of the time that astropy takes to read the header."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip, Wcsprm
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault
from imageserv.core.fits.cards import Cards

# astropy logs a line for every header with SIP terms; it says nothing that an operator can act on.
logging.getLogger("astropy").setLevel(logging.WARNING)

_LOOKUP_KEYWORDS = ("CPDIS", "CQDIS", "D2IMDIS")
"""Distortions that live in tables of their own (astropy's D2IMARR, WCSDVARR), which a cutout does not carry."""

_COUNT = re.compile(r"(NAXIS|WCSAXES[A-Z]?|[AB]P?_ORDER)$")
_MOST = 99
"""As many axes and powers as keywords such as CRPIXja and A_p_q can number. Of any more
wcslib and astropy make the square, unseen: they crash, or come to no end."""

_CTYPE = re.compile(r"CTYPE[1-9]\d*$")
_CELESTIAL = re.compile(r"(RA--|DEC-|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)")
"""Celestial axes (FITS 4.0 section 8.3)."""

_SIP = re.compile(r"[AB]P?_(ORDER|DMAX|\d+_\d+)\s*$")
_TERM = re.compile(r"([AB])_(\d+)_(\d+)$")


def check_cards(cards: Cards) -> None:
    """Refuse what neither astropy nor wcslib should be given.

    Raises
    ------
    UnsupportedFault
        Raised for distortions by tables, and for numbers of axes or powers beyond all that keywords can number.
    """
    kinds = _kinds(tuple(cards.values))
    for keyword in kinds.lookups:
        if str(cards.values[keyword]).strip().upper() not in ("", "SIP", "NONE"):
            raise UnsupportedFault(
                f"its WCS has a distortion by {keyword} = {cards.values[keyword]}, which is not read"
            )
    for keyword in kinds.counts:
        if cards.values[keyword] not in range(_MOST + 1):
            raise UnsupportedFault(f"it has {keyword} = {cards.values[keyword]}, not 0 to {_MOST}")


def make_wcs(cards: Cards) -> Any:
    """Return astropy's WCS; if it stumbles over an axis that is not celestial, one that takes that axis for linear."""
    try:
        return _assembled(cards) or WCS(fits.Header.fromstring(cards.block))
    except Exception:  # raised again, unless there is an axis that may be what is wrong
        header = fits.Header.fromstring(cards.block)
        others = [key for key in header if _CTYPE.match(key) and not _CELESTIAL.match(str(header[key]))]
        if not others or int(str(header.get("NAXIS", 0))) < 3:
            raise
        celestial = header.copy()
        for key in others:
            celestial.remove(key)
            celestial.remove(key.replace("TYPE", "UNIT"), ignore_missing=True)
        return WCS(celestial)


def _assembled(cards: Cards) -> Any:
    """Return what astropy makes of a header, put together from its parts: in a fifth of the time.

    None for headers that astropy reads otherwise than by the letter: with
    parameters of projections (PVi_m), some of which it takes for another
    distortion, or with SIP terms in any but the one right way.
    """
    values = cards.values
    kinds = _kinds(tuple(values))
    if kinds.has_parameters:
        return None
    sip = None
    if kinds.has_orders:
        orders = [int(values.get(f"{letter}_ORDER", 0)) for letter in "AB"]  # some write 3.0
        suffixes = [str(values.get(f"CTYPE{axis}"))[-4:] for axis in (1, 2)]
        if min(orders) < 2 or suffixes != ["-SIP", "-SIP"] or "CRPIX1" not in values or "CRPIX2" not in values:
            return None
        a, b = (
            _square([(p, q, values[keyword]) for keyword, p, q in kinds.terms[letter]], order)
            for letter, order in zip("AB", orders, strict=True)
        )
        # Without AP and BP: places are looked up by what A and B do to pixels.
        sip = Sip(a, b, None, None, (values["CRPIX1"], values["CRPIX2"]))
    linear = b"".join([cards.cards[keyword] for keyword in kinds.linear])
    try:
        parameters = Wcsprm(header=linear, relax=True)
    except Exception:  # astropy says better what is wrong
        return None
    if sip is not None and parameters.naxis != 2:
        return None
    wcs: Any = WCS(naxis=parameters.naxis, fix=False)
    wcs.wcs, wcs.sip = parameters, sip
    wcs.fix()
    wcs.wcs.set()
    return wcs


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What the keywords of a WCS are.

    Attributes
    ----------
    lookups, counts
        Those that name distortions by tables, and numbers of axes and orders.
    terms
        Of A and of B of SIP: the keyword, and the powers p and q that it belongs to.
    linear
        All but those of SIP.
    has_parameters, has_orders
        Whether there are any PVi_m, and any orders of SIP.
    """

    lookups: Sequence[str]
    counts: Sequence[str]
    terms: Mapping[str, Sequence[tuple[str, int, int]]]
    linear: Sequence[str]
    has_parameters: bool
    has_orders: bool


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def _kinds(keywords: Sequence[str]) -> _Kinds:
    terms: dict[str, list[tuple[str, int, int]]] = {"A": [], "B": []}
    for keyword in keywords:
        if match := _TERM.match(keyword):
            terms[match[1]].append((keyword, int(match[2]), int(match[3])))
    return _Kinds(
        lookups=[keyword for keyword in keywords if keyword.startswith(_LOOKUP_KEYWORDS)],
        counts=[keyword for keyword in keywords if _COUNT.match(keyword)],
        terms=terms,
        linear=[keyword for keyword in keywords if not _SIP.match(keyword)],
        has_parameters=any(keyword.startswith("PV") for keyword in keywords),
        has_orders=any(keyword.endswith("_ORDER") for keyword in keywords),
    )


def _square(terms: Iterable[tuple[int, int, float]], order: int) -> NDArray[np.float64]:
    square = np.zeros((order + 1, order + 1))
    for p, q, value in terms:
        if p + q <= order:
            square[p, q] = value
    return square
