"""Names of images: the IVOA identifiers (publisher DIDs) by which clients know them.

A DID is ``ivo://<authority>/<db id>?<local>``, and its local part spells the
dataset and the data id for people, as ``calexp/5646/4/694/r``. To clients it
is opaque: they compare it without case (SIA 2.0 section 2.1.7), put it into
URLs, and decode it once, twice or not at all. So the local part consists of
characters that URLs leave alone, and no two images have local parts that
differ in case alone.
"""

import base64
import hashlib
import json
import re
from urllib.parse import unquote

from .dataset import DataId, Dataset, Key

_MOST = 160
"""Characters of a local part: with an authority and a db id the DID stays below 256."""

_LEAST_TAIL = 16
"""Characters of the values that are kept, however long the dataset's name is."""

_FOREIGN = re.compile(r"[^A-Za-z0-9._,/~-]+")
_UPPER = re.compile(r"[A-Z]")
_MARKED = re.compile(r"~[a-z2-7]{8}$", re.IGNORECASE)
_DID = re.compile(r"ivo://([^/?#\s]+)/([A-Za-z0-9_.-]+)\?([A-Za-z0-9._,/~-]+)", re.IGNORECASE | re.ASCII)


def local_identifier(dataset: str, declaration: Dataset, data_id: DataId) -> str:
    """Return the local part of an image's DID; it depends on nothing but the data id.

    ``<dataset>/<values joined by slashes>``. Where that text would not name
    the image exactly, and without case, ``~`` and eight characters that are
    made from the exact values follow: where a value has other characters
    (each run of them becomes ``_``), upper-case letters that its key does not
    tell apart by its choices, a slash beside other values, or is no name of a
    file (empty, ``.``, ``..``); and where the text is too long, which then
    loses the beginning of the values.

    Parameters
    ----------
    dataset
        The configured name: letters, digits and ``. _ -``.
    declaration
        What the dataset says of itself.
    data_id
        Complete and canonical, as `Dataset.check_data_id` gives it.

    Examples
    --------
    >>> keys = (Key("night", int, "Night."), Key("chip", str, "Chip.", choices=("N", "S")))
    >>> local_identifier("toy", Dataset("Toys.", keys), {"night": 7, "chip": "N"})
    'toy/7/N'
    >>> local_identifier("image", Dataset("Any.", (Key("file", str, "Path."),)), {"file": "m 13/m13.fits"})
    'image/m_13/m13.fits~4vkuknjy'
    """
    values = {key: str(data_id[key.name]) for key in declaration.keys}
    exact = all(_is_plain(key, value, alone=len(values) == 1) for key, value in values.items())
    text = "/".join(_spelt(segment) for value in values.values() for segment in value.split("/"))
    room = max(_MOST - len(dataset) - len("/"), _LEAST_TAIL)
    if exact and len(text) <= room:
        return f"{dataset}/{text}"
    mark = _mark(list(values.values()))
    room = max(room - len(mark), _LEAST_TAIL)
    if len(text) > room:
        text = text[-room:].lstrip("./")
    return f"{dataset}/{text}{mark}"


def _is_plain(key: Key, value: str, *, alone: bool) -> bool:
    """Tell whether a value stands for itself in an identifier."""
    distinct = len({choice.lower() for choice in key.choices}) == len(key.choices) > 0
    return not (
        _FOREIGN.search(value)
        or (_UPPER.search(value) and not distinct)
        or ("/" in value and not alone)
        or any(segment in ("", ".", "..") for segment in value.split("/"))
        or _MARKED.search(value)  # it looks like what marks another
    )


def _spelt(segment: str) -> str:
    return "_" if segment in ("", ".", "..") else _FOREIGN.sub("_", segment)


def _mark(values: list[str]) -> str:
    digest = hashlib.blake2b(json.dumps(values).encode(), digest_size=5).digest()
    return f"~{base64.b32encode(digest).decode().lower()}"


def publisher_did(authority: str, repository: str, local: str) -> str:
    """Return an image's DID.

    >>> publisher_did("example.org", "SKY", "calexp/5646/4/694/r")
    'ivo://example.org/SKY?calexp/5646/4/694/r'
    """
    return f"ivo://{authority}/{repository}?{local}"


def split_did(did: str) -> tuple[str, str, str] | None:
    """Return authority, db id and local part of a DID as a client wrote it, or None for any other text.

    The authority is given in lower case, the others are as written: compare
    them without case (IVOA Identifiers 2.0 section 2.6). Blanks around a DID,
    and percent-encoding of any of it, are tolerated.

    >>> split_did("IVO://Example.ORG/sky?CALEXP%2F5646/4/694/r")
    ('example.org', 'sky', 'CALEXP/5646/4/694/r')
    >>> split_did("https://example.org/sky?calexp") is None
    True
    """
    match = _DID.fullmatch(unquote(did).strip())
    return None if match is None else (match[1].lower(), match[2], match[3])
