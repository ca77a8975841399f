"""SODA's {async}: jobs, and what belongs to each, as HTTP has them (UWS 1.1 section 2.2)."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.parameters import Parameter, parse_parameters
from imageserv.core.errors import AuthenticationFault, AuthorizationFault, NotFoundFault, RefusedFault
from imageserv.core.jobs.documents import (
    job_json,
    job_xml,
    jobs_json,
    jobs_xml,
    moment,
    parameters_json,
    parameters_xml,
    results_json,
    results_xml,
)
from imageserv.core.jobs.files import JobFiles
from imageserv.core.jobs.model import PHASES, UNFINISHED, Job, Pairs
from imageserv.core.jobs.store import JobQuotas, JobStore
from imageserv.core.service import Service
from imageserv.vo.images import (
    FileResponse,
    Validators,
    conditions,
    entity_tag,
    http_date,
    image_headers,
    is_unchanged,
    unchanged_response,
)
from imageserv.vo.owners import Owners
from imageserv.vo.requests import receive
from imageserv.vo.threads import Threads
from imageserv.vo.uploads import JobRequest, receive_job
from imageserv.vo.urls import Urls
from imageserv.vo.waiting import Waiting

from . import uws

_FRESH = {"Cache-Control": "no-cache", "Vary": "Accept, Authorization"}


class Jobs:
    """One method for each resource below ``/vo/async``.

    Parameters
    ----------
    service
        What jobs are about.
    store, files
        Where jobs and their files are.
    threads
        Where it may block.
    urls
        What its documents say of where things are.
    """

    def __init__(self, service: Service, store: JobStore, files: JobFiles, threads: Threads, urls: Urls) -> None:
        self._service = service
        self._config = service.config.jobs
        self._store = store
        self._files = files
        self._threads = threads
        self._url = urls.vo("async")
        self._owners = Owners(service.config.authentication)
        self._waiting = Waiting(threads, store.phases)
        self._quotas = JobQuotas(
            self._config.max_jobs, self._config.max_jobs_per_owner, self._config.max_anonymous_jobs
        )

    # --- the list

    async def jobs(self, request: Request) -> Response:
        """List the client's jobs, or create one."""
        return await (self._create(request) if request.method == "POST" else self._list(request))

    async def _list(self, request: Request) -> Response:
        owner = self._owners.of(request)
        pairs = await self._pairs(request)
        wanted = uws.job_filter(pairs)
        form, media_type = self._format(request)
        shown = owner is not None or self._config.list_anonymous
        jobs = await self._threads.run(request, lambda: self._store.find(wanted, owner)) if shown else []
        if form == "json":
            return JSONResponse(jobs_json(jobs, self._url), headers=_FRESH)
        return Response(jobs_xml(jobs, self._url), headers=_FRESH, media_type=media_type)

    async def _create(self, request: Request) -> Response:
        owner = self._owners.of(request)
        identifier = secrets.token_hex(16)  # plain in URLs, in shells, and on any file system
        created = False
        try:
            received = await self._receive(request, identifier)
            asked = uws.controls(received.pairs)
            job = uws.new_job(identifier, owner, asked, received.uploads, self._config)
            request.scope["state"]["run_id"] = asked.run_id

            def create() -> None:
                ready = job
                if asked.run:
                    ready = replace(job, phase="QUEUED", queued=time.time(), refused=self._refused(request.headers))
                self._store.create(ready, self._quotas)

            await self._threads.run(request, create)
            created = True
        finally:
            if not created:
                self._files.discard(identifier)
        return self._see(identifier)

    # --- a job

    async def job(self, request: Request) -> Response:
        """Show a job, wait for it, or delete it."""
        pairs = await self._pairs(request)
        job = await self._job(request)
        if request.method == "DELETE" or request.method == "POST":
            if request.method == "POST":
                uws.value_of(uws.ACTION, pairs)
            return await self._delete(request, job)
        given = parse_parameters(uws.LOOK, pairs).values
        form, media_type = self._format(request)
        wait = given.get("WAIT", 0.0)
        if wait and job.phase in UNFINISHED and given.get("PHASE", job.phase) == job.phase:
            await self._waiting.change(request, job.id, job.phase, wait)
            job = await self._job(request)
        url = self._at(job.id)
        if form == "json":
            return JSONResponse(job_json(job, url), headers=_FRESH)
        return Response(job_xml(job, url), headers=_FRESH, media_type=media_type)

    async def _delete(self, request: Request, job: Job) -> Response:
        def delete() -> None:
            self._store.delete(job.id)
            self._files.discard(job.id)

        await self._threads.run(request, delete)
        return Response(None, 303, {"Location": self._url})

    async def phase(self, request: Request) -> Response:
        """Tell the phase, start the job, or stop it."""
        pairs = await self._pairs(request)
        job = await self._job(request)
        if request.method != "POST":
            return _atom(job.phase)
        if uws.value_of(uws.PHASE, pairs) == "ABORT":
            await self._threads.run(request, lambda: self._store.abort(job.id))
        else:
            await self._threads.run(request, lambda: self._store.run(job.id, self._refused(request.headers)))
        return self._see(job.id)

    async def duration(self, request: Request) -> Response:
        """Tell how long the job may execute, or change it before it does."""

        def change(asked: int) -> Mapping[str, Any]:
            return {"duration": uws.duration(asked, self._config)}

        return await self._atom(request, uws.DURATION, lambda job: str(job.duration), change, ("PENDING", "QUEUED"))

    async def destruction(self, request: Request) -> Response:
        """Tell when the job will be deleted, or change it."""

        def change(asked: float) -> Mapping[str, Any]:
            return {"destruction": uws.destruction(asked, self._config)}

        return await self._atom(request, uws.DESTRUCTION, lambda job: moment(job.destruction), change, PHASES)

    async def quote(self, request: Request) -> Response:
        """Tell when the job is likely to end."""
        return _atom("" if (quote := (await self._read(request)).quote) is None else moment(quote))

    async def owner(self, request: Request) -> Response:
        """Tell whose the job is."""
        return _atom((await self._read(request)).owner or "")

    async def error(self, request: Request) -> Response:
        """Tell why the job ended in ERROR."""
        job = await self._read(request)
        if job.error is None:
            raise NotFoundFault(f"the job is {job.phase}, and has no error")
        return _atom(job.error.message + "\n")

    async def parameters(self, request: Request) -> Response:
        """Tell the job's parameters, or give it others before it runs."""
        if request.method != "POST":
            job = await self._read(request)
            return self._document(
                request, job, parameters_xml, lambda job, url: {"parameters": parameters_json(job, url)}
            )
        job = await self._job(request)
        if job.phase != "PENDING":
            raise RefusedFault(f"the job is {job.phase}: its parameters can be changed while it is PENDING")
        received = await self._receive(request, job.id)
        asked = uws.controls(received.pairs)

        def change(now: Job) -> Mapping[str, Any]:
            changed = uws.more(now, asked, received.uploads)
            if asked.destruction is not None:
                changed["destruction"] = uws.destruction(asked.destruction, self._config)
            if asked.duration is not None:
                changed["duration"] = uws.duration(asked.duration, self._config)
            if asked.run:
                changed |= {"phase": "QUEUED", "queued": time.time(), "refused": self._refused(request.headers)}
            return changed

        await self._threads.run(request, lambda: self._store.change(job.id, change, ("PENDING",)))
        return self._see(job.id)

    async def results(self, request: Request) -> Response:
        """List the results."""
        job = await self._read(request)
        return self._document(request, job, results_xml, lambda job, url: {"results": results_json(job, url)})

    # --- its files

    async def upload(self, request: Request) -> Response:
        """Give back a table that was uploaded."""
        job = await self._read(request)
        name = request.path_params["name"]
        if name not in job.uploads:
            raise NotFoundFault(f"the job has no uploaded table {name[:80]!r}")
        path = self._files.upload(job.id, job.uploads[name])
        return await self._file(request, job, path, name, "application/octet-stream")

    async def result(self, request: Request) -> Response:
        """Give a result."""
        job = await self._read(request)
        name = request.path_params["name"]
        for file in job.results:
            if file.name == name:
                return await self._file(request, job, self._files.result(job.id, name), name, file.media_type)
        raise NotFoundFault(f"the job has no result {name[:80]!r}")

    async def manifest(self, request: Request) -> Response:
        """Give the manifest, in one of its formats."""
        job = await self._read(request)
        name = request.path_params["name"]
        for file in job.manifest:
            if file.name == name:
                return await self._file(request, job, self._files.manifest(job.id, name), name, file.media_type)
        raise NotFoundFault(f"the job has no manifest {name[:80]!r}")

    async def _file(self, request: Request, job: Job, path: Path, name: str, media_type: str) -> Response:
        asked = conditions(request)

        def answer() -> Response:
            try:
                state = path.stat()
            except OSError:
                raise NotFoundFault(f"{name} of the job is gone") from None
            tag = entity_tag(job.id, name, state.st_size, state.st_mtime_ns)
            validators = Validators(tag, http_date(int(state.st_mtime)))
            headers = image_headers(name, validators)
            if is_unchanged(asked, validators):
                return unchanged_response(headers)
            return FileResponse(path, state.st_size, asked, validators, headers, media_type, self._threads)

        return await self._threads.run(request, answer)

    # --- what they share

    async def _atom(
        self,
        request: Request,
        parameter: Parameter,
        read: Callable[[Job], str],
        change: Callable[[Any], Mapping[str, Any]],
        phases: tuple[str, ...],
    ) -> Response:
        pairs = await self._pairs(request)
        job = await self._job(request)
        if request.method != "POST":
            return _atom(read(job))
        asked = uws.value_of(parameter, pairs)
        await self._threads.run(request, lambda: self._store.change(job.id, lambda _: change(asked), phases))
        return self._see(job.id)

    def _document(
        self,
        request: Request,
        job: Job,
        xml: Callable[[Job, str], bytes],
        json: Callable[[Job, str], dict[str, Any]],
    ) -> Response:
        form, media_type = self._format(request)
        url = self._at(job.id)
        if form == "json":
            return JSONResponse(json(job, url), headers=_FRESH)
        return Response(xml(job, url), headers=_FRESH, media_type=media_type)

    async def _read(self, request: Request) -> Job:
        await self._pairs(request)
        return await self._job(request)

    async def _job(self, request: Request) -> Job:
        """Return the job of a request, if it is the client's or nobody's: whoever knows the URL of that may have it."""
        owner = self._owners.of(request)
        identifier: str = request.path_params["id"]
        job = await self._threads.run(request, lambda: self._store.get(identifier))
        if job.owner is not None and job.owner != owner:
            raise AuthorizationFault("the job belongs to somebody else")
        return job

    async def _pairs(self, request: Request) -> Pairs:
        received = await receive(request, self._service.config.limits.max_request_bytes, json=False)
        return received.pairs

    async def _receive(self, request: Request, identifier: str) -> JobRequest:
        return await receive_job(
            request,
            self._files.folder(identifier) / "uploads",
            self._threads,
            max_bytes=self._service.config.limits.max_request_bytes,
            max_upload_bytes=self._config.max_upload_bytes,
        )

    def _format(self, request: Request) -> tuple[str, str]:
        return negotiate(request.headers.get("accept"), request.state.responseformat, uws.FORMATS)

    def _refused(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Ask the plugins what this client may not have: when its job runs, its request is gone, secrets and all."""
        refused: dict[str, str] = {}
        for repository in self._service.repositories.values():
            for dataset in repository.datasets:
                try:
                    repository.authorise(dataset, headers)
                except (AuthenticationFault, AuthorizationFault) as fault:
                    refused[f"{repository.name}/{dataset}"] = fault.message
        return refused

    def _at(self, identifier: str) -> str:
        return f"{self._url}/{identifier}"

    def _see(self, identifier: str) -> Response:
        return Response(None, 303, {"Location": self._at(identifier)})


def _atom(text: str) -> Response:
    return PlainTextResponse(text, headers=_FRESH)
