"""STILTS: not one error or warning, for whatever the service is asked."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

Stilts = Callable[..., str]

BAD = "ivo://example.org/SKY?image/none"
SPECIAL = "ivo://example.org/SKY?<&>\"' étoile\t%26"

LINKS: dict[str, Callable[[list[str]], list[str]]] = {
    "one": lambda ids: ids[:1],
    "a cube": lambda ids: [next(each for each in ids if "radio" in each)],
    "without a WCS": lambda ids: [next(each for each in ids if "no-wcs" in each)],
    "of the whole sky": lambda ids: [next(each for each in ids if "whole-sky" in each)],
    "with parameters of its own": lambda ids: [next(each for each in ids if "tuned" in each)],
    "in capitals": lambda ids: [ids[0].upper()],
    "two": lambda ids: ids[:2],
    "all": lambda ids: ids,
    "too many": lambda ids: [*ids, *(f"{BAD}{number}" for number in range(60))],
    "bad": lambda ids: [BAD],
    "special": lambda ids: [SPECIAL],
    "none": lambda ids: [],
    "good and bad": lambda ids: [BAD, ids[0], SPECIAL, ids[-1], "x"],
}


def complaints(text: str) -> list[str]:
    """Return what STILTS has against a document, and any sign that it did not get as far as judging."""
    return re.findall(r"^(?:ERROR|WARNING|Error|[EWF]-).*", text, re.MULTILINE)


@pytest.mark.parametrize("which", LINKS)
def test_links(archive: Any, stilts: Stilts, which: str) -> None:
    url = f"{archive.url}/links?{urlencode([('ID', each) for each in LINKS[which](archive.ids)])}"
    said = stilts("datalinklint", f"votable={url}")
    assert "Totals: Errors: 0; Warnings: 0;" in said and "Failures: 0" in said, said
    assert complaints(said) == []
    assert complaints(stilts("votlint", f"votable={url}")) == []


SIA = {
    "everything": "",
    "no rows": "MAXREC=0",
    "an overflow": "MAXREC=1",
    "a place": "POS=CIRCLE+10+20+0.1&COLLECTION=SKY",
    "nothing": "TARGET=nobody",
    "an error": "POS=CIRCLE+1",
}


@pytest.mark.parametrize("which", SIA)
def test_searches(archive: Any, stilts: Stilts, which: str, tmp_path: Any) -> None:
    file = tmp_path / "sia.vot"
    file.write_bytes(archive.client.get(f"sia?{SIA[which]}").content)
    assert complaints(stilts("votlint", f"votable={file}")) == []


def test_votlint_complains_of_a_wrong_document(archive: Any, stilts: Stilts, tmp_path: Any) -> None:
    file = tmp_path / "wrong.vot"
    file.write_bytes(archive.document("sia").replace(b'name="s_ra" datatype="double"', b'name="s_ra" datatype="real"'))
    assert complaints(stilts("votlint", f"votable={file}"))


def test_vosi(archive: Any, stilts: Stilts) -> None:
    capabilities = "{http://www.ivoa.net/xml/VOSICapabilities/v1.0}capabilities"
    said = stilts("xsdvalidate", "uselocals=true", f"topel={capabilities}", f"doc={archive.url}/capabilities")
    assert complaints(said) == [] and "ERROR" not in said, said
    said = stilts("xsdvalidate", "uselocals=true", f"doc={archive.url}/availability")
    assert complaints(said) == [] and "ERROR" not in said, said


def test_taplint(archive: Any, stilts: Stilts) -> None:
    said = stilts("taplint", f"tapurl={archive.url}", "interface=tap1.1", "stages=CPV AVV EXA", "report=EWFSI")
    # The examples are none of TAP's: they have no query in ADQL, and there are no tables to check one against.
    others = [line for line in complaints(said) if not line.startswith(("E-EXA-XPRM", "F-EXA-NOTM"))]
    assert others == [], said
    assert all(f"Section {stage}:" in said for stage in ("CPV", "AVV", "EXA"))
