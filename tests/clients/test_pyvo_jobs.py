"""Clients that drive jobs: pyvo's AsyncTAPJob, and the half of astroquery's CASDA client that is about jobs."""

import io
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import requests
from astropy.io import fits
from pyvo.dal.exceptions import DALQueryError
from pyvo.dal.tap import AsyncTAPJob

CIRCLES = ["0 10 0.05", "0 10 0.02"]
read_fits: Any = fits.open


def post(site: Any, **data: Any) -> str:
    response = requests.post(f"{site.url}/async", data=data, timeout=60)
    assert response.status_code == 200 and response.history[0].status_code == 303
    return response.url


def test_pyvo_drives_a_job(site: Any, worker: None) -> None:
    url = post(site, ID=[site.dids["zero"], site.dids["zero"]], CIRCLE=CIRCLES)
    job: Any = AsyncTAPJob(url)
    assert (job.phase, job.job_id, job.owner, job.uws_version) == ("PENDING", url.rsplit("/", 1)[1], None, "1.1")
    job.execution_duration = 100
    duration: Any = job.execution_duration
    assert duration.sec == 100
    job.destruction = "2030-01-02T03:04:05Z"
    destruction: Any = job.destruction
    assert destruction.isot < "2030-01-02"  # as long as is allowed, and no longer
    job.run().wait(timeout=120)
    assert job.phase == "COMPLETED"
    job.raise_if_error()
    assert job.result_uris == [result.href for result in job.results]
    assert len(job.result_uris) == 4
    names = [str(each.id_) for each in job.results]
    assert len(set(names)) == 4
    sync = httpx.get(f"{site.url}/sync", params={"ID": site.dids["zero"], "CIRCLE": CIRCLES[0]})
    assert requests.get(job.result_uris[0], timeout=60).content == sync.content
    job.delete()
    assert requests.get(url, timeout=60).status_code == 404


def test_pyvo_tells_what_was_wrong(site: Any, worker: None) -> None:
    with AsyncTAPJob(post(site, ID=site.dids["zero"], CIRCLE="0 10")) as job:
        job.run().wait(timeout=120)
        assert job.phase == "ERROR"
        with pytest.raises(DALQueryError, match="UsageError: CIRCLE='0 10'"):
            job.raise_if_error()


def test_pyvo_aborts_and_uploads(site: Any, worker: None) -> None:
    table = httpx.get(f"{site.url}/sia", params={"MAXREC": "2"}).content
    with AsyncTAPJob(post(site, radius="0.01")) as job:
        job.upload(stars=io.BytesIO(table))
        assert httpx.get(f"{job.url}/parameters/stars").content == table
        job.abort()
        assert job.phase == "ABORTED"


def test_casdas_client_runs_unchanged(site: Any, worker: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from astroquery.casda import CasdaClass
    casda: Any = CasdaClass()
    casda.POLL_INTERVAL = 1
    casda.cache_location = str(tmp_path)
    url = casda._create_soda_job([site.dids["zero"], site.dids["zero"]], soda_url=f"{site.url}/async")
    assert url.startswith(f"{site.url}/async/")
    casda._add_cutout_params(url, False, {"CIRCLE": CIRCLES})
    files = casda._complete_job(url, False)
    assert len(files) == 4 and all(each.endswith(".fits") for each in files)
    stored = [Path(each) for each in casda.download_files(files, savedir=str(tmp_path))]
    assert [each.name for each in stored] == [each.rsplit("/", 1)[1] for each in files]
    for each in stored:
        with read_fits(io.BytesIO(each.read_bytes())) as hdus:
            hdus.verify("exception")
    root = ElementTree.fromstring(httpx.get(url).text)
    assert root.findtext("{http://www.ivoa.net/xml/UWS/v1.0}phase") == "COMPLETED"
