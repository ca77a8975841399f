"""Names of results: readable, unique, and of characters that URLs and file systems leave alone."""

import re

from imageserv.core.filenames import cutout_stem, image_stem, stencil_stem
from imageserv.core.record import ImageRecord
from imageserv.core.request import CutoutRequest

from .targets import Target

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_MOST = 80
"""Characters before the ending: a member of a tar has room for a hundred."""


def result_name(
    number: int, total: int, target: Target, record: ImageRecord | None, request: CutoutRequest | None, ending: str
) -> str:
    """Return the name of a result's file.

    Its number makes it unique; what follows says to people what it is: their
    own name for it, the image, the place.

    Parameters
    ----------
    number, total
        Of the result, from 1; and how many there are.
    record
        The image, if there is one.
    request
        What is asked of it; None for the file itself.
    ending
        With the dot.
    """
    parts = [f"{number:0{len(str(total))}}"]
    if target.name is not None:
        parts.append(target.name)
    if record is not None:
        parts.append(image_stem(record) if request is None else cutout_stem(record, request))
    elif target.identifier is not None:
        parts.append(target.identifier.rpartition("?")[2])
    if record is None and target.stencil is not None:
        parts.append(stencil_stem(target.stencil))
    # A sign in front of a declination is told by its place.
    stem = _FOREIGN.sub("_", "_".join(parts).replace("+", "_"))[:_MOST].rstrip("._-")
    return f"{stem}{ending}"
