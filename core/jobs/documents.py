"""UWS 1.1: the documents about jobs, in XML, and the same facts in JSON."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from imageserv.core.batch import ResultFile
from imageserv.core.dali.documents import Element, clean, serialise

from .model import Job, JobLine

_UWS = "http://www.ivoa.net/xml/UWS/v1.0"
_XLINK = "http://www.w3.org/1999/xlink"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_PREFIXES = {"uws": _UWS, "xlink": _XLINK, "xsi": _XSI}
_VERSION = "1.1"


def moment(time: float) -> str:
    """Write a time, given in seconds since 1970, as UWS has it (section 2.1: UTC, marked by a Z)."""
    return datetime.fromtimestamp(time, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def job_xml(job: Job, url: str) -> bytes:
    """Write a job (UWS 1.1 section 2.2.2.2).

    Parameters
    ----------
    url
        Of the job.
    """
    root = _root("job")
    _child(root, "jobId", job.id)
    _child(root, "runId", job.run_id or "")
    _child(root, "ownerId", job.owner)
    _child(root, "phase", job.phase)
    _child(root, "quote", _time(job.quote))
    _child(root, "creationTime", moment(job.created))
    _child(root, "startTime", _time(job.started))
    _child(root, "endTime", _time(job.ended))
    _child(root, "executionDuration", str(job.duration))
    _child(root, "destruction", moment(job.destruction))
    root.append(_parameters(job, url))
    root.append(_results(job, url))
    if job.error is not None:
        kind = "transient" if job.error.transient else "fatal"
        summary = etree.SubElement(root, _name("errorSummary"), {"type": kind, "hasDetail": "true"})
        _child(summary, "message", job.error.message)
    root.append(_info(job, url))
    return serialise(root)


def jobs_xml(jobs: Iterable[JobLine], url: str) -> bytes:
    """Write a list of jobs (UWS 1.1 section 2.2.2.1); `url` is that of the list."""
    root = _root("jobs")
    for job in jobs:
        line = etree.SubElement(root, _name("jobref"), {"id": job.id, **_link(f"{url}/{job.id}")})
        _child(line, "phase", job.phase)
        if job.run_id:
            _child(line, "runId", job.run_id)
        _child(line, "ownerId", job.owner)
        _child(line, "creationTime", moment(job.created))
    return serialise(root)


def parameters_xml(job: Job, url: str) -> bytes:
    """Write a job's parameters."""
    return serialise(_parameters(job, url))


def results_xml(job: Job, url: str) -> bytes:
    """Write a job's results."""
    return serialise(_results(job, url))


def job_json(job: Job, url: str) -> dict[str, Any]:
    """Return a job as JSON values, by the names of the XML elements; null is null."""
    error = job.error
    return {
        "jobId": job.id,
        "runId": job.run_id,
        "ownerId": job.owner,
        "phase": job.phase,
        "quote": _time(job.quote),
        "creationTime": moment(job.created),
        "startTime": _time(job.started),
        "endTime": _time(job.ended),
        "executionDuration": job.duration,
        "destruction": moment(job.destruction),
        "parameters": parameters_json(job, url),
        "results": results_json(job, url),
        "errorSummary": None
        if error is None
        else {"type": "transient" if error.transient else "fatal", "hasDetail": True, "message": error.message},
        "jobInfo": {
            **{name: value for name, value in _facts(job)},
            "manifest": [_file_json(file, f"{url}/manifest/{file.name}") for file in job.manifest],
        },
        "version": _VERSION,
    }


def jobs_json(jobs: Iterable[JobLine], url: str) -> dict[str, Any]:
    """Return a list of jobs as JSON values."""
    return {
        "jobs": [
            {
                "id": job.id,
                "href": f"{url}/{job.id}",
                "phase": job.phase,
                "runId": job.run_id,
                "ownerId": job.owner,
                "creationTime": moment(job.created),
            }
            for job in jobs
        ],
        "version": _VERSION,
    }


def parameters_json(job: Job, url: str) -> list[dict[str, Any]]:
    """Return a job's parameters as JSON values."""
    inline = [{"id": name, "value": value} for name, value in job.parameters]
    return inline + [{"id": name, "href": f"{url}/parameters/{name}", "byReference": True} for name in job.uploads]


def results_json(job: Job, url: str) -> list[dict[str, Any]]:
    """Return a job's results as JSON values."""
    return [_file_json(file, f"{url}/results/{file.name}") for file in job.results]


def _facts(job: Job) -> Sequence[tuple[str, int | float]]:
    """Return what is known of how far a job is: the same in XML and JSON."""
    progress = job.progress
    facts: list[tuple[str, int | float | None]] = [
        ("total", progress.total if progress.expected_bytes is not None else None),
        ("done", progress.done),
        ("failed", progress.failed),
        ("bytes", progress.bytes),
        ("expectedBytes", progress.expected_bytes),
        ("expectedSeconds", progress.expected_seconds),
        ("seconds", round(job.spent, 3)),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _info(job: Job, url: str) -> Element:
    """Write what UWS has no element for: the progress, and the manifest, a row of which tells of one result.

    In no namespace: taplint warns of any that it does not know.
    """
    info = etree.Element(_name("jobInfo"))
    for name, value in _facts(job):
        etree.SubElement(info, name).text = str(value)
    for file in job.manifest:
        attributes = {**_link(f"{url}/manifest/{file.name}"), "mime-type": file.media_type, "size": str(file.size)}
        etree.SubElement(info, "manifest", attributes)
    return info


def _parameters(job: Job, url: str) -> Element:
    root = _root("parameters")
    for name, value in job.parameters:
        etree.SubElement(root, _name("parameter"), {"id": clean(name)}).text = clean(value)
    for name in job.uploads:
        attributes = {"id": name, "byReference": "true"}
        etree.SubElement(root, _name("parameter"), attributes).text = f"{url}/parameters/{name}"
    return root


def _results(job: Job, url: str) -> Element:
    root = _root("results")
    for file in job.results:
        attributes = {
            "id": file.name,
            **_link(f"{url}/results/{file.name}"),
            "size": str(file.size),
            "mime-type": file.media_type,
        }
        etree.SubElement(root, _name("result"), attributes)
    return root


def _root(name: str) -> Element:
    """Make an element that is, or may be, a document of its own."""
    return etree.Element(_name(name), {"version": _VERSION} if name in ("job", "jobs") else {}, nsmap=_PREFIXES)


def _child(parent: Element, name: str, text: str | None) -> None:
    """Write an element; one of None is null, as the schema demands where it demands the element."""
    child = etree.SubElement(parent, _name(name))
    if text is None:
        child.set(f"{{{_XSI}}}nil", "true")
    else:
        child.text = clean(text)


def _name(name: str) -> str:
    return f"{{{_UWS}}}{name}"


def _link(url: str) -> dict[str, str]:
    return {f"{{{_XLINK}}}type": "simple", f"{{{_XLINK}}}href": url}


def _file_json(file: ResultFile, url: str) -> dict[str, Any]:
    return {"id": file.name, "href": url, "mime-type": file.media_type, "size": file.size}


def _time(time: float | None) -> str | None:
    return None if time is None else moment(time)
