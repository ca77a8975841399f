"""VOSI 1.1: what the service says of its state and of its interfaces, one model for XML and JSON."""

from collections.abc import Mapping
from datetime import datetime

from imageserv.core.answer import FITS
from imageserv.core.config import JobsConfig
from imageserv.core.dali.vosi import Availability, Capability, Interface
from imageserv.core.maintenance import Maintenance
from imageserv.core.obscore import DATALINK
from imageserv.core.service import Service
from imageserv.vo.urls import Urls

from .links import SODA_ASYNC, SODA_SYNC
from .links import STANDARD as DATALINK_STANDARD
from .sia import STANDARD as SIA_STANDARD

EXAMPLES_STANDARD = "ivo://ivoa.net/std/DALI#examples"

FORMATS = {"xml": ("text/xml", "application/xml"), "json": ("application/json",)}
"""The formats of these documents, by their short names; XML is the default (VOSI 1.1 section 3)."""


def availability(
    faults: Mapping[str, str | None], maintenance: Maintenance | None, started: datetime, now: datetime
) -> Availability:
    """Return the model of the availability document.

    Parameters
    ----------
    faults
        For each repository why it cannot be read, None if it can.
    maintenance
        What the operator has announced.
    started
        When the service began to accept queries.
    """
    reasons = [reason for reason in faults.values() if reason]
    down = maintenance is not None and maintenance.is_on(now)
    notes = [f"{maintenance.note}" if maintenance is not None else "", *reasons]
    if not reasons and not down:
        notes.append(f"accepting queries for {', '.join(faults)}")
    over = maintenance is not None and maintenance.back_at is not None and maintenance.back_at <= now
    return Availability(
        not reasons and not down,
        tuple(note for note in (notes[1:] if over else notes) if note),
        up_since=started,
        down_at=None if maintenance is None or over else maintenance.down_at,
        back_at=None if maintenance is None or over else maintenance.back_at,
    )


def capabilities(urls: Urls, service: Service) -> list[Capability]:
    """Return the model of the capabilities document: one interface each, open to all; limits in the descriptions."""
    limits = service.config.limits
    return [
        Capability(
            (Interface(urls.vo("capabilities"), "full", version="1.1"),), "ivo://ivoa.net/std/VOSI#capabilities"
        ),
        Capability(
            (Interface(urls.vo("availability"), "full", version="1.1"),), "ivo://ivoa.net/std/VOSI#availability"
        ),
        Capability(
            (Interface(urls.vo("sia"), "base", version="2.0", result_type="application/x-votable+xml"),),
            SIA_STANDARD,
            f"Search for images of {', '.join(service.repositories)}. An answer has {limits.default_records} rows,"
            f" or as many as MAXREC says, {limits.max_records} at the most."
            f" One search may have {limits.max_values} values of a parameter.",
        ),
        Capability(
            (Interface(urls.vo("links"), "base", version="1.1", result_type=DATALINK),),
            DATALINK_STANDARD,
            f"Links of images. One request may have {limits.max_ids} identifiers.",
        ),
        Capability(
            (Interface(urls.vo("sync"), "base", version="1.0", result_type=FITS["fits"][0]),),
            SODA_SYNC,
            f"Cutouts of images, of at most {limits.max_pixels} pixels in all planes. A request's body has at most"
            f" {limits.max_request_bytes} bytes.",
        ),
        Capability((Interface(urls.vo("async"), "full", version="1.0"),), SODA_ASYNC, _job_limits(service.config.jobs)),
        Capability((Interface(urls.vo("examples"), "full", version="1.1", type="WebBrowser"),), EXAMPLES_STANDARD),
    ]


def _job_limits(jobs: JobsConfig) -> str:
    return (
        "Cutouts as jobs (UWS 1.1): all images by all stencils, or a table with a cutout in each row. A job has at most"
        f" {jobs.max_results} results, or {jobs.max_rows} packed into a tar, of {jobs.max_bytes} bytes together. It may"
        f" execute {jobs.max_seconds} s, upload {jobs.max_upload_bytes} bytes, and is kept {jobs.days} days,"
        f" {jobs.max_days} at the most. Of unfinished jobs one owner may have {jobs.max_jobs_per_owner}, all without a"
        f" name {jobs.max_anonymous_jobs}, and all together {jobs.max_jobs}."
    )
