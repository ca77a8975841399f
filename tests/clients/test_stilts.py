"""STILTS on the command line: searches around one position and around many, links and tables read from addresses."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., str]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("lon", "lat", "radius", "expected"),
    [
        (0.0, 10.0, 0.1, {"zero", "plate", "galaxy"}),
        (240.0, 60.0, -0.1, {"tiles", "plate", "galaxy"}),  # it sends a radius of 0: a point
        (77.0, 90.0, 0.5, {"north", "plate", "galaxy"}),
    ],
)
def test_cone(base: str, stilts: Run, lon: float, lat: float, radius: float, expected: set[str]) -> None:
    found = stilts(
        "cone", "servicetype=sia2", f"serviceurl={base}/sia", f"lon={lon}", f"lat={lat}", f"radius={radius}",
        "omode=out", "ofmt=csv",
    )  # fmt: skip
    assert {row["target_name"] for row in rows(found)} - {""} == expected


def test_coneskymatch(base: str, stilts: Run, tmp_path: Path) -> None:
    positions = tmp_path / "positions.csv"
    positions.write_text("who,alpha,delta\nA,0.05,10.0\nB,200.0,60.0\nC,37.6,0.1\nD,100.0,-20.0\n")
    found = rows(
        stilts(
            "coneskymatch", f"in={positions}", "ifmt=csv", "ra=alpha", "dec=delta", "sr=0.01", "find=all",
            "servicetype=sia2", f"serviceurl={base}/sia", "parallel=2", "ofmt=csv",
        )
    )  # fmt: skip
    by_place: dict[str, set[str]] = {}
    for row in found:
        by_place.setdefault(row["who"], set()).add(row["target_name"])
    maps = {"plate", "galaxy"}
    assert by_place == {
        "A": {"zero"} | maps,
        "B": {"etoile"} | maps,
        "C": {"raw-z", "calexp-r", "calexp-g"} | maps,
        "D": {"many-0000"} | maps,
    }


def test_tables_of_searches_and_of_links(site: Any, base: str, stilts: Run) -> None:
    tables = [f"in={base}/sia?COLLECTION={name}&MAXREC=5" for name in ("STRIPE", "SKY")]
    found = rows(stilts("tcat", *tables, "ifmt=votable", "ocmd=keepcols 'obs_collection access_url'", "ofmt=csv"))
    assert [row["obs_collection"] for row in found] == ["STRIPE"] * 5 + ["SKY"] * 5
    links = rows(stilts("tpipe", f"in={found[0]['access_url']}", "ifmt=votable", "ofmt=csv"))
    assert [row["semantics"] for row in links] == ["#this", "#cutout"]
    # The file that a link leads to is one that STILTS takes for FITS; and so is a cutout's table.
    table = f"{base}/sync?ID={site.dids['coadd-r']}&PIXELS=[1:2,1:2]&DETAIL=all"
    assert stilts("tpipe", f"in={table}", "ifmt=fits", "ofmt=csv").split() == ["a", "1", "2", "3"]


def test_a_table_of_a_search_as_csv(site: Any, base: str, stilts: Run) -> None:
    text = stilts("tpipe", f"in={base}/sia?TARGET=zero&RESPONSEFORMAT=csv", "ifmt=csv", "ofmt=csv")
    (row,) = rows(text)
    assert (row["instrument_name"], row["obs_publisher_did"]) == ("Cam, 2", site.dids["zero"])
    assert float(row["t_exptime"]) == 86.4


def test_taplint_has_nothing_against_jobs(site: Any, base: str, worker: None, stilts: Run) -> None:
    said = stilts("taplint", f"tapurl={base}", "interface=tap1.1", "stages=UWS", "report=EWFSI")
    assert "Section UWS:" in said
    assert [line for line in said.splitlines() if line.startswith(("E-", "W-", "F-"))] == []


def test_documents_about_jobs_are_valid(site: Any, base: str, worker: None, stilts: Run) -> None:
    """By the schema that STILTS has on board."""

    def valid(document: str, element: str = "job") -> None:
        top = f"{{http://www.ivoa.net/xml/UWS/v1.0}}{element}"
        said = stilts("xsdvalidate", "uselocals=true", f"topel={top}", f"doc={document}")
        assert "ERROR" not in said and "WARNING" not in said, said

    pending = site.client.post(f"{base}/async", data={"ID": "<&>", "RUNID": "é"}).headers["location"]
    site.client.post(f"{base}/async", data={"UPLOAD": "t,param:p"}, files={"p": ("f", b"x")})
    wrong = {"ID": site.dids["zero"], "CIRCLE": "x", "PHASE": "RUN"}
    right = {"ID": site.dids["zero"], "CIRCLE": ["0 10 0.01", "0 80 0.01"], "PHASE": "RUN"}
    ended = [site.client.post(f"{base}/async", data=data).headers["location"] for data in (wrong, right)]
    for url, phase in zip(ended, ("ERROR", "COMPLETED"), strict=True):
        while site.client.get(f"{url}/phase").text in ("QUEUED", "EXECUTING"):
            site.client.get(url, params={"WAIT": "20"})
        assert site.client.get(f"{url}/phase").text == phase
    for url in (pending, *ended):
        valid(url)
        valid(f"{url}/parameters", "parameters")
        valid(f"{url}/results", "results")
    valid(f"{base}/async", "jobs")
