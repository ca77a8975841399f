"""UWS 1.1 over HTTP: every resource, every rule, with no worker about."""

import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from lxml import etree
from pyvo.io.uws import parse_job, parse_job_list

from imageserv.core.batch.storage import RESERVE

UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
HREF = "{http://www.w3.org/1999/xlink}href"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
BASE = "https://images.example.org/api/image/vo/async"
ASYNC = "/api/image/vo/async"

# UWS 1.1 section 2.2.2.2 and its schema: the order is the schema's.
ELEMENTS = [
    "jobId",
    "runId",
    "ownerId",
    "phase",
    "quote",
    "creationTime",
    "startTime",
    "endTime",
    "executionDuration",
    "destruction",
    "parameters",
    "results",
    "jobInfo",
]


def xml(response: httpx.Response) -> Any:
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/xml; charset=utf-8"
    return etree.fromstring(response.content, etree.XMLParser(remove_blank_text=True))


def moment(text: str) -> datetime:
    assert text.endswith("Z") and "T" in text
    return datetime.fromisoformat(text)


# --- creation


@pytest.mark.parametrize("how", ["form", "multipart", "query", "query and form"])
def test_creation_is_answered_with_the_job(plain: Any, how: str) -> None:
    pairs = [("ID", "a+b c"), ("Id", "é"), ("POS", "CIRCLE 1 2 3"), ("runid", "mine")]
    ways: dict[str, dict[str, Any]] = {
        "form": {"data": {"ID": "a+b c", "Id": "é", "POS": "CIRCLE 1 2 3", "runid": "mine"}},
        "multipart": {"files": [(name, (None, value)) for name, value in pairs]},
        "query": {"params": pairs},
        "query and form": {"params": pairs[:1], "data": dict(pairs[1:])},
    }
    response = plain.client.post(ASYNC, **ways[how])
    assert response.status_code == 303 and response.content == b""
    url = plain.path_of(response)
    assert response.headers["location"].startswith(f"{BASE}/")
    job = plain.job(url)
    assert [(each["id"], each["value"]) for each in job["parameters"]] == pairs[:3]
    assert (job["runId"], job["phase"]) == ("mine", "PENDING")
    assert job["jobId"] == url.rsplit("/", 1)[1]


def test_ids_cannot_be_guessed(plain: Any) -> None:
    ids = [plain.create("x").rsplit("/", 1)[1] for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(bytes.fromhex(identifier)) == 16 for identifier in ids)
    assert len({identifier[place] for identifier in ids for place in (0, 31)}) > 4


def test_whatever_is_asked_of_the_job_itself_is_no_parameter_of_it(plain: Any) -> None:
    url = plain.create("x", Phase="run", EXECUTIONDURATION="77", destruction="2026-12-01T00:00:00", RUNID="r")
    job = plain.job(url)
    assert [each["id"] for each in job["parameters"]] == ["DO"]
    assert (job["phase"], job["executionDuration"], job["runId"]) == ("QUEUED", 77, "r")


def test_wrong_parameters_of_the_job_are_none_of_creations_business(plain: Any) -> None:
    response = plain.client.post(ASYNC, data={"LANG": "ADQL", "QUERY": "x", "POS": "SQUARE"})
    assert response.status_code == 303


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PHASE", "ABORT", "must be one of RUN"),
        ("PHASE", "GO", "must be one of RUN"),
        ("RUNID", "x" * 65, "at most 64 characters"),
        ("DESTRUCTION", "tomorrow", "must be a time such as"),
        ("DESTRUCTION", "99999-01-01", "must be a time such as"),
        ("EXECUTIONDURATION", "-1", "number of seconds"),
        ("EXECUTIONDURATION", "1.5", "must be a decimal integer"),
    ],
)
def test_what_is_asked_wrongly_of_the_job_itself_is_refused(plain: Any, name: str, value: str, words: str) -> None:
    response = plain.client.post(ASYNC, data={name: value})
    assert response.status_code == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.startswith("UsageError: ") and words in response.text and name in response.text
    repeated = plain.client.post(ASYNC, data={"RUNID": ["a", "b"]})
    assert (repeated.status_code, repeated.text.split(":")[0]) == (400, "MultiValuedParamNotSupported")
    assert not plain.files.exists()


def test_bodies_of_other_types_and_sizes_are_refused(plain: Any) -> None:
    assert plain.client.post(ASYNC, json={"ID": "x"}).status_code == 400
    assert plain.client.post(ASYNC, data={"ID": "x" * 30_000}).status_code == 413
    broken = b'--b\r\nContent-Disposition: form-data; name="ID"\r\n\r\nx'
    for body in (broken, broken + b"\r\n--b", b"", b"--x--"):
        response = plain.client.post(ASYNC, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert response.status_code == 400, body
        assert "multipart" in response.text
    bare = plain.client.post(ASYNC, content=b"--b--", headers={"Content-Type": "multipart/form-data"})
    assert bare.status_code == 400
    packed = plain.client.post(
        ASYNC,
        content=broken + b"\r\n--b--",
        headers={"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"},
    )
    assert packed.status_code == 400


# --- documents


def test_a_job_has_every_element(plain: Any) -> None:
    url = plain.create("<&>\"'", "\x01\ud7ff", RUNID="<run>")
    root = xml(plain.client.get(url))
    assert root.tag == f"{UWS}job" and root.get("version") == "1.1"
    assert [etree.QName(child).localname for child in root] == ELEMENTS
    texts = {etree.QName(child).localname: child.text for child in root}
    assert texts["runId"] == "<run>"
    assert [child.text for child in root.find(f"{UWS}parameters")] == ["<&>\"'", "\ufffd\ud7ff"]
    for name in ("ownerId", "quote", "startTime", "endTime"):
        assert root.find(f"{UWS}{name}").get(NIL) == "true" and texts[name] is None
    created = moment(texts["creationTime"] or "")
    assert timedelta() <= datetime.now(UTC) - created < timedelta(minutes=1)
    assert abs(moment(texts["destruction"] or "") - created - timedelta(days=7)) < timedelta(seconds=2)
    assert texts["executionDuration"] == "14400"
    read = parse_job(io.BytesIO(plain.client.get(url).content).read)
    assert (read.phase, read.runid, read.version) == ("PENDING", "<run>", "1.1")


def test_json_has_the_same_facts(plain: Any) -> None:
    url = plain.create("x", "y", RUNID="r")
    root, job = xml(plain.client.get(url)), plain.job(url)
    assert job == plain.client.get(url, params={"RESPONSEFORMAT": "json"}).json()
    for name in ELEMENTS[:10]:
        element = root.find(f"{UWS}{name}")
        expected = None if element.get(NIL) else element.text
        assert (None if job[name] is None else str(job[name])) == expected, name
    assert [(each["id"], each["value"]) for each in job["parameters"]] == [
        (each.get("id"), each.text) for each in root.find(f"{UWS}parameters")
    ]
    for child in ("parameters", "results"):
        part = xml(plain.client.get(f"{url}/{child}"))
        assert part.tag == f"{UWS}{child}"
        inside = root.find(f"{UWS}{child}")
        assert etree.tostring(part, method="c14n") == etree.tostring(inside, method="c14n")
        assert plain.client.get(f"{url}/{child}", headers={"Accept": "application/json"}).json() == {child: job[child]}
    assert plain.client.get(url, params={"RESPONSEFORMAT": "votable"}).status_code == 400
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert plain.client.get(url, headers=browser).headers["content-type"].startswith(("application/xml", "text/xml"))


def test_atoms_are_plain_text(plain: Any) -> None:
    url = plain.create("x")
    atoms = {}
    for name in ("phase", "executionduration", "destruction", "quote", "owner"):
        response = plain.client.get(f"{url}/{name}")
        assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        atoms[name] = response.text
    job = plain.job(url)
    assert atoms == {
        "phase": "PENDING",
        "executionduration": "14400",
        "destruction": job["destruction"],
        "quote": "",
        "owner": "",
    }


@pytest.mark.parametrize("child", ["", "/phase", "/results", "/parameters", "/error", "/results/x.fits"])
def test_what_is_not_there_is_not_found(plain: Any, child: str) -> None:
    for identifier in ("nobody", "0" * 32, "%2e%2e", "a%00b"):
        response = plain.client.get(f"{ASYNC}/{identifier}{child}")
        assert response.status_code == 404, response.text
    url = plain.create("x")
    for child in ("error", "results/x.fits", "manifest/m.xml", "parameters/t", "other", "results/../phase"):
        assert plain.client.get(f"{url}/{child}", follow_redirects=False).status_code in (
            404,
            200 if ".." in child else 404,
        )


def test_methods_that_a_resource_has_not_are_named(plain: Any) -> None:
    url = plain.create("x")
    for child in ("quote", "owner", "error", "results"):
        response = plain.client.post(f"{url}/{child}", data={"x": "y"})
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert plain.client.put(url).status_code == 405
    assert plain.client.delete(f"{url}/phase").status_code == 405
    assert plain.client.delete(ASYNC).status_code == 405
    # DALI 1.1 section 2.1: parameters are sent to their own resource.
    assert plain.client.post(url, data={"POS": "x"}).status_code == 400
    assert plain.client.options(url).headers["allow"] == "GET, HEAD, POST, DELETE, OPTIONS"


# --- changes


def test_runs_aborts_and_deletes(plain: Any) -> None:
    url = plain.create("x")
    for _ in range(2):
        response = plain.client.post(f"{url}/phase", data={"phase": "RUN"})  # as CASDA's client spells it
        assert (response.status_code, response.headers["location"]) == (303, f"https://images.example.org{url}")
        assert plain.phase(url) == "QUEUED"
    for _ in range(2):
        response = plain.client.post(f"{url}/phase", data={"PHASE": "ABORT"})
        assert response.status_code == 303
        assert plain.phase(url) == "ABORTED"
    again = plain.client.post(f"{url}/phase", data={"PHASE": "RUN"})
    assert again.status_code == 403
    assert again.text.startswith("UsageError: the job is ABORTED")
    for value in ("", "HELD", "GO"):
        assert plain.client.post(f"{url}/phase", data={"PHASE": value}).status_code == 400
    assert plain.job(url)["endTime"] is not None
    gone = plain.client.delete(url)
    assert (gone.status_code, gone.headers["location"]) == (303, BASE)
    assert plain.client.get(url).status_code == 404
    assert plain.client.delete(url).status_code == 404
    other = plain.create("x")
    assert plain.client.post(other, data={"ACTION": "KILL"}).status_code == 400
    gone = plain.client.post(other, data={"action": "delete"})
    assert (gone.status_code, gone.headers["location"]) == (303, BASE)
    assert plain.client.get(other).status_code == 404


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("2026-12-10T01:02:03Z", "2026-12-10T01:02:03.000Z"),
        ("2026-12-10 01:02:03.25", "2026-12-10T01:02:03.250Z"),
        ("2026-12-10T01:02:03+02:00", "2026-12-09T23:02:03.000Z"),
        ("2026-12-10", "2026-12-10T00:00:00.000Z"),
    ],
)
def test_destruction_is_read_in_all_its_forms(
    plain: Any, asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    url = plain.create("x")
    assert plain.client.post(f"{url}/destruction", data={"DESTRUCTION": asked}).status_code == 303
    assert plain.client.get(f"{url}/destruction").text == expected


def test_destruction_and_duration_have_bounds(site: Callable[..., Any]) -> None:
    it = site("max_seconds = 100\ndays = 2\nmax_days = 3")
    url = it.create("x", EXECUTIONDURATION="1000", DESTRUCTION="2999-01-01")
    job = it.job(url)
    assert job["executionDuration"] == 100
    assert abs(moment(job["destruction"]) - datetime.now(UTC) - timedelta(days=3)) < timedelta(minutes=1)
    for asked, got in (("7", "7"), ("0", "100"), ("99999999999999", "100"), ("101", "100")):
        assert it.client.post(f"{url}/executionduration", data={"EXECUTIONDURATION": asked}).status_code == 303
        assert it.client.get(f"{url}/executionduration").text == got
    it.client.post(f"{url}/phase", data={"PHASE": "ABORT"})
    assert it.client.post(f"{url}/executionduration", data={"EXECUTIONDURATION": "5"}).status_code == 403
    assert it.client.post(f"{url}/destruction", data={"DESTRUCTION": "2000-01-01"}).status_code == 303
    assert it.client.get(url).status_code == 404  # its time is over


def test_parameters_can_be_set_while_pending(plain: Any) -> None:
    url = plain.create("x")
    for sent in ({"ID": ["a", "b"], "POS": "CIRCLE 1 2 3"}, {"pos": "CIRCLE 4 5 6", "runId": "later"}):
        response = plain.client.post(f"{url}/parameters", data=sent)
        assert (response.status_code, response.headers["location"]) == (303, f"https://images.example.org{url}")
    job = plain.job(url)
    assert [(each["id"], each["value"]) for each in job["parameters"]] == [
        ("DO", "x"),
        ("ID", "a"),
        ("ID", "b"),
        ("pos", "CIRCLE 4 5 6"),
    ]
    assert job["runId"] == "later"
    plain.client.post(f"{url}/phase", data={"PHASE": "RUN"})
    late = plain.client.post(f"{url}/parameters", data={"POS": "CIRCLE 7 8 9"})
    assert late.status_code == 403 and "QUEUED" in late.text
    assert plain.job(url)["parameters"] == job["parameters"]


# --- uploads


def test_a_table_is_kept_as_it_was_sent(plain: Any) -> None:
    table = bytes(range(256)) * 5000
    fields = {"UPLOAD": ["stars,param:part one", "more , param:text"], "DO": "x"}
    files = {"part one": ("../../x.csv", table), "unused": ("y", b"z"), "text": (None, "a\r\nb")}
    url = plain.path_of(plain.client.post(ASYNC, data=fields, files=files))
    assert plain.client.get(f"{url}/parameters/stars").content == table
    assert plain.client.get(f"{url}/parameters/more").content == b"a\r\nb"
    job = plain.job(url)
    assert job["parameters"][-2:] == [
        {"id": name, "href": f"https://images.example.org{url}/parameters/{name}", "byReference": True}
        for name in ("stars", "more")
    ]
    assert [each["value"] for each in job["parameters"][:-2]] == [*fields["UPLOAD"], "x"]
    stored = [path for path in plain.files.rglob("*") if path.is_file()]
    assert len(stored) == 2  # and none by a name that the client chose
    assert all(path.parent == plain.files / job["jobId"] / "uploads" for path in stored)
    partial = plain.client.get(f"{url}/parameters/stars", headers={"Range": "bytes=10-19"})
    assert (partial.status_code, partial.content) == (206, table[10:20])
    fresh = {"If-None-Match": partial.headers["etag"]}
    assert plain.client.get(f"{url}/parameters/stars", headers=fresh).status_code == 304


def test_tables_can_be_added_and_replaced(plain: Any) -> None:
    """As pyvo's AsyncTAPJob.upload does."""
    url = plain.create("x")
    for name, content in (("one", b"1"), ("two", b"2"), ("one", b"3")):
        response = plain.client.post(
            f"{url}/parameters", data={"UPLOAD": f"{name},param:{name}"}, files={name: ("f", content)}
        )
        assert response.status_code == 303
    assert [plain.client.get(f"{url}/parameters/{name}").content for name in ("one", "two")] == [b"3", b"2"]
    values = [each["value"] for each in plain.job(url)["parameters"] if each["id"] == "UPLOAD"]
    assert values == ["two,param:two", "one,param:one"]


def test_uploads_leave_room_for_the_database_beside_them(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(_: Path) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=1, f_frsize=RESERVE + 999)

    monkeypatch.setattr(os, "statvfs", disk)
    upload = {"UPLOAD": "t,param:p"}
    assert plain.client.post(ASYNC, data=upload, files={"p": ("f", b"x" * 999)}).status_code == 303
    response = plain.client.post(ASYNC, data=upload, files={"p": ("f", b"x" * 1000)})
    assert response.status_code == 503 and "No space left" in response.text


def test_uploads_have_bounds(site: Callable[..., Any]) -> None:
    it = site("max_upload_bytes = 1000")
    fine = it.client.post(ASYNC, data={"UPLOAD": "t,param:p"}, files={"p": ("f", b"x" * 1000)})
    assert fine.status_code == 303
    for files in ({"p": ("f", b"x" * 1001)}, {"p": ("f", b"x" * 501), "q": ("f", b"x" * 500)}):
        response = it.client.post(ASYNC, data={"UPLOAD": "t,param:p"}, files=files)
        assert response.status_code == 413 and "1000 bytes" in response.text
    response = it.client.post(ASYNC, data={"ID": "x" * 25_000}, files={"p": ("f", b"")})
    assert response.status_code == 413 and "20000 bytes" in response.text
    twice = it.client.post(ASYNC, files=[("p", ("f", b"1")), ("p", ("f", b"2"))])
    assert twice.status_code == 400 and "twice" in twice.text
    left = [path for path in it.files.iterdir() if not path.name.startswith(".discarded")]
    assert len(left) == 1


# --- lists


def test_a_list_has_what_it_is_asked_for(site: Callable[..., Any]) -> None:
    it = site("list_anonymous = true")
    urls = [it.create("x", RUNID=f"run {number}") for number in range(4)]
    it.client.post(f"{urls[1]}/phase", data={"PHASE": "RUN"})
    it.client.post(f"{urls[2]}/phase", data={"PHASE": "ABORT"})

    def listed(*pairs: tuple[str, str]) -> list[int]:
        root = xml(it.client.get(ASYNC, params=list(pairs)))
        assert root.tag == f"{UWS}jobs" and root.get("version") == "1.1"
        document = it.client.get(ASYNC, params=[*pairs, ("RESPONSEFORMAT", "json")]).json()
        assert [each["href"] for each in document["jobs"]] == [each.get(HREF) for each in root]
        assert [each["phase"] for each in document["jobs"]] == [each.findtext(f"{UWS}phase") for each in root]
        assert all(each.get(HREF) == f"{BASE}/{each.get('id')}" for each in root)
        return [urls.index(each.get(HREF).removeprefix("https://images.example.org")) for each in root]

    assert listed() == [3, 2, 1, 0]
    assert listed(("PHASE", "PENDING")) == [3, 0]
    assert listed(("PHASE", "QUEUED"), ("phase", "ABORTED")) == [2, 1]
    assert listed(("PHASE", "ARCHIVED")) == []
    assert listed(("LAST", "2")) == [3, 2]
    created = it.job(urls[1])["creationTime"]
    assert listed(("AFTER", created)) in ([3, 2], [3, 2, 1])  # the row has more digits than the document
    assert listed(("AFTER", created), ("PHASE", "PENDING"), ("LAST", "1")) == [3]
    assert listed(("AFTER", "2999-01-01")) == []
    first = xml(it.client.get(ASYNC))[0]
    assert [etree.QName(child).localname for child in first] == ["phase", "runId", "ownerId", "creationTime"]
    listing: Any = parse_job_list(io.BytesIO(it.client.get(ASYNC).content).read)
    assert len(list(listing)) == 4


@pytest.mark.parametrize("query", ["PHASE=GO", "LAST=0", "LAST=x", "AFTER=then", "LAST=1&LAST=2"])
def test_a_list_refuses_what_it_cannot_read(plain: Any, query: str) -> None:
    response = plain.client.get(f"{ASYNC}?{query}")
    assert response.status_code == 400 and query.split("=")[0] in response.text


def test_the_anonymous_see_no_list(plain: Any) -> None:
    url = plain.create("x")
    assert list(xml(plain.client.get(ASYNC))) == []
    assert plain.client.get(url).status_code == 200  # who knows the URL has it


# --- waiting


def test_waiting_ends_when_the_phase_changes(plain: Any) -> None:
    url = plain.create("x")
    with ThreadPoolExecutor(60) as pool:  # many more than there are threads
        waiting = [pool.submit(plain.client.get, url, params={"WAIT": "-1"}, timeout=120) for _ in range(50)]
        time.sleep(1)
        assert not any(each.done() for each in waiting)
        assert plain.phase(url) == "PENDING"  # others are answered meanwhile
        plain.client.post(f"{url}/phase", data={"PHASE": "RUN"})
        assert {xml(each.result(40)).findtext(f"{UWS}phase") for each in waiting} == {"QUEUED"}


def test_waiting_ends_with_the_time_or_at_once(plain: Any) -> None:
    url = plain.create("x")
    started = time.monotonic()
    assert plain.client.get(url, params={"WAIT": "1"}).status_code == 200
    assert time.monotonic() - started >= 1
    started = time.monotonic()
    asked = [{"WAIT": "0"}, {"WAIT": "40", "PHASE": "QUEUED"}, {"PHASE": "PENDING"}]
    assert all(plain.client.get(url, params=each).status_code == 200 for each in asked)
    plain.client.post(f"{url}/phase", data={"PHASE": "ABORT"})
    assert plain.client.get(url, params={"WAIT": "40"}).status_code == 200
    assert time.monotonic() - started < 35
    for wrong in ("-2", "x", "nan"):
        assert plain.client.get(url, params={"WAIT": wrong}).status_code == 400


def test_waiting_ends_with_the_job(plain: Any) -> None:
    url = plain.create("x")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(plain.client.get, url, params={"WAIT": "45"}, timeout=120)
        time.sleep(0.5)
        plain.client.delete(url)
        assert waiting.result(40).status_code == 404


# --- owners


def sha(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def owned(site: Callable[..., Any]) -> Any:
    tokens = {"ann": [sha("a1"), sha("a2").upper()], "bob": [sha("b1")], "o'hara": []}
    lines = "\n".join(f"{json.dumps(name)} = {json.dumps(hashes)}" for name, hashes in tokens.items())
    rest = f'[authentication]\nheader = "X-User"\nproxies = ["127.0.0.0/8"]\n[authentication.tokens]\n{lines}'
    return site("max_jobs_per_owner = 3\nmax_anonymous_jobs = 2\nmax_jobs = 6", rest)


ANN, BOB = {"Authorization": "Bearer a1"}, {"Authorization": "bearer  b1"}


def test_jobs_belong_to_their_owners(owned: Any) -> None:
    url = owned.path_of(owned.client.post(ASYNC, data={"DO": "x"}, headers=ANN))
    assert owned.client.get(f"{url}/owner", headers=ANN).text == "ann"
    assert owned.client.get(url, headers={"Authorization": "Bearer a2"}).status_code == 200
    for headers in (BOB, {}, {"X-User": "bob"}):
        asked: list[tuple[str, str, dict[str, str] | None]] = [
            ("GET", url, None),
            ("GET", f"{url}/phase", None),
            ("GET", f"{url}/results/x", None),
            ("POST", f"{url}/phase", {"PHASE": "RUN"}),
            ("POST", f"{url}/parameters", {"x": "y"}),
            ("POST", f"{url}/destruction", {"x": "y"}),
            ("POST", url, {"ACTION": "DELETE"}),
            ("DELETE", url, None),
        ]
        for method, target, data in asked:
            response = owned.client.request(method, target, data=data, headers=headers)
            assert response.status_code == 403
            assert response.text.startswith("AuthorizationError: ") and "ann" not in response.text
    assert [each["ownerId"] for each in listed(owned, ANN)] == ["ann"]
    assert listed(owned, BOB) == listed(owned, {}) == []
    assert owned.client.delete(url, headers=ANN).status_code == 303


def listed(it: Any, headers: dict[str, str]) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = it.client.get(ASYNC, params={"RESPONSEFORMAT": "json"}, headers=headers).json()["jobs"]
    return jobs


def test_a_token_that_nobody_has_is_refused(owned: Any, plain: Any) -> None:
    for token in ("a1x", "?", sha("a1")):
        response = owned.client.post(ASYNC, data={"DO": "x"}, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401 and "Bearer" in response.headers["www-authenticate"]
        assert response.text.startswith("AuthenticationError")
    # Where nobody has a token, it is somebody else's business.
    assert plain.client.post(ASYNC, data={"DO": "x"}, headers=ANN).status_code == 303


def test_the_header_counts_from_proxies_alone(owned: Any, site: Callable[..., Any]) -> None:
    url = owned.path_of(owned.client.post(ASYNC, data={"DO": "x"}, headers={"x-user": "cid"}))
    assert owned.client.get(f"{url}/owner", headers={"X-User": "cid"}).text == "cid"
    assert owned.client.get(url).status_code == 403
    for rest in (
        '[authentication]\nheader = "X-User"\nproxies = ["10.0.0.0/8", "::1"]',
        '[authentication]\nheader = "X-User"',
        '[authentication]\nproxies = ["127.0.0.1"]',
    ):
        it = site("", rest)
        for forged in ({}, {"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}):
            url = it.path_of(it.client.post(ASYNC, data={"DO": "x"}, headers={"X-User": "cid", **forged}))
            assert it.client.get(f"{url}/owner").text == ""


def test_owners_have_limits(owned: Any) -> None:
    def create(headers: dict[str, str]) -> int:
        status: int = owned.client.post(ASYNC, data={"DO": "x"}, headers=headers).status_code
        return status

    assert [create(ANN) for _ in range(4)] == [303, 303, 303, 403]
    assert [create({}) for _ in range(3)] == [303, 303, 403]
    assert create(BOB) == 303
    full = owned.client.post(ASYNC, data={"DO": "x"}, headers=BOB)
    assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
    assert full.text.startswith("ServiceUnavailable: ")
    newest = listed(owned, ANN)[0]["href"].removeprefix("https://images.example.org")
    owned.client.delete(newest, headers=ANN)
    assert create(ANN) == 303


# --- trouble


def test_a_database_that_is_away_is_told_and_cutouts_are_served(site: Callable[..., Any]) -> None:
    it = site('database = "postgresql://x@127.0.0.1:9/none"')
    for response in (it.client.post(ASYNC, data={"DO": "x"}), it.client.get(f"{ASYNC}/x")):
        assert response.status_code == 503 and "retry-after" in response.headers
        assert response.text.startswith("ServiceUnavailable: the database of jobs") and "127.0.0.1" not in response.text
    assert it.client.get("/metrics").status_code == 200
    assert it.client.get("/api/image/v1/SKY?ds=image&ra=0.001&dec=60").status_code == 200
