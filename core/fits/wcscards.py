"""The cards of a header that make its WCS, and only those that are sound.

wcslib reads whole headers, and trusts them: some dozens of cards whose values
are of the wrong type corrupt its memory, and take the process along. It also
takes minutes for the longest headers. So it is given what it needs: cards that
are about the WCS, well-formed, each keyword once.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import UnionType
from typing import Any

from astropy.io import fits

from imageserv.core.errors import UnsupportedFault

from .cards import Cards, HeaderTemplate, card_value, make_card, places_of
from .layout import Hdu

_MOST_CARDS = 4096
"""Of one image's WCS: far more than any polynomial needs."""

_A = "[A-Z]?"
_NUMBERS = re.compile(
    rf"(NAXIS\d*|WCSAXES{_A}|C(RPIX|RVAL|DELT|ROTA|RDER|SYER)\d+{_A}|(PC|CD|PV)\d+_\d+{_A}|(LONPOLE|LATPOLE){_A}"
    rf"|EQUINOX{_A}|EPOCH|[AB]P?_(ORDER|DMAX|\d+_\d+)|VELREF|REST(FREQ|FRQ{_A}|WAV{_A})|(VELOSYS|ZSOURCE|VELANGL){_A}"
    r"|MJD-(OBS|AVG|BEG|END)|MJDREF[IF]?|OBSGEO-[XYZBLH]"
    r"|CNPIX[12]|PPO\d|AMD[XY]\d+|AMDRE[XY]|PLTRA[HMS]|PLTDEC[DMS]|PLTSCALE|[XY]PIXELSZ)$"
)
_LINEAR = re.compile(r"(C(RPIX|RVAL|DELT|ROTA)\d+|(PC|CD|PV)\d+_\d+|LONPOLE|LATPOLE|[AB]_(ORDER|\d+_\d+))$")
_STRINGS = re.compile(
    rf"((CTYPE|CUNIT|CNAME)\d+{_A}|PS\d+_\d+{_A}|RADESYS{_A}|RADECSYS|(WCSNAME|SPECSYS|SSYSOBS|SSYSSRC){_A}"
    rf"|WAT\d_\d\d\d|PLTDECSN|DATE-(OBS|AVG|BEG|END)|TIMESYS|(CPDIS|CQDIS|D2IMDIS)\d+{_A})$"
)


def wcs_header(hdu: Hdu) -> fits.Header:
    """Return what `wcs_cards` does as a header. Raises what it raises."""
    return fits.Header.fromstring(wcs_cards(hdu).block)


def wcs_cards(hdu: Hdu) -> Cards:
    """Return the cards that hold the WCS of an image, and nothing else.

    Of a keyword that comes more than once the last sound card counts, as wcslib has it.

    Raises
    ------
    UnsupportedFault
        Raised if the header has thousands of such cards, or has no number where the WCS needs one.
    """
    sound = sound_cards(hdu.header)
    if hdu.kind != "compressed":
        return sound
    # The table's axes are not the image's.
    axes = {"NAXIS": len(hdu.shape)} | {f"NAXIS{axis}": length for axis, length in enumerate(hdu.shape, 1)}
    others = {keyword: card for keyword, card in sound.cards.items() if not keyword.startswith("NAXIS")}
    cards = others | {keyword: make_card(keyword, value) for keyword, value in axes.items()}
    return Cards(cards, {keyword: sound.values[keyword] for keyword in others} | axes)


def sound_cards(header: bytes) -> Cards:
    """Return the cards of a header that make its WCS, one of each keyword; raises what `wcs_cards` does."""
    template = HeaderTemplate(header)
    cards: dict[str, bytes] = {}
    values: dict[str, Any] = {}
    for keyword, wanted, places in _places_of_wcs(template.keywords()):
        for place in places:
            card = template.card(place)
            value = card_value(card)
            if isinstance(value, wanted) and not isinstance(value, bool):
                cards[keyword], values[keyword] = card, value
                break
        else:
            if wanted is not str and _LINEAR.match(keyword) and any(template.card(at)[8:10] == b"= " for at in places):
                # Left out, it would count as 0, and the image would be elsewhere.
                raise UnsupportedFault(f"its WCS cannot be used: {keyword} is no number")
    if len(cards) > _MOST_CARDS:
        raise UnsupportedFault(f"its WCS has {len(cards)} cards; at most {_MOST_CARDS} are read")
    return Cards(cards, values)


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def _places_of_wcs(keywords: tuple[bytes, ...]) -> Sequence[tuple[str, type | UnionType, Sequence[int]]]:
    """Return the keywords about the WCS, the types that their values must have, and their places, the last first."""
    found = ((keyword, _wanted(keyword), places[::-1]) for keyword, places in places_of(keywords).items())
    return [(keyword, wanted, places) for keyword, wanted, places in found if wanted is not None]


@lru_cache(maxsize=4096)  # and nearly all the same of those that are about the WCS
def _wanted(keyword: str) -> type | UnionType | None:
    return int | float if _NUMBERS.match(keyword) else str if _STRINGS.match(keyword) else None
