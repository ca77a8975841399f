"""The command line, as far as it is about jobs."""

from pathlib import Path

import click

from imageserv.core.config import load
from imageserv.core.jobs.documents import moment
from imageserv.core.jobs.model import PHASES, UNFINISHED, Job, JobFilter
from imageserv.core.jobs.places import files_of, store_of

from .console import config_option, print_table
from .progress import printable

_identifier = click.argument("identifier", metavar="JOB")


@click.command("work")
@config_option
@click.option("--server", type=int, hidden=True, help="End with this process.")
def work_command(path: Path, server: int | None) -> None:
    """Execute the jobs of a service: beside its server, or on another machine that sees its files."""
    from .work import work  # dbos takes half a second to import, and no other command needs it

    work(path.absolute(), server)


@click.group("jobs")
def jobs_command() -> None:
    """Look after the jobs of a service."""


@jobs_command.command("list")
@config_option
@click.option("--phase", "phases", multiple=True, type=click.Choice(PHASES, case_sensitive=False), help="Any of these.")
@click.option("--owner", help="Of this owner.")
@click.option("--last", type=click.IntRange(1), help="So many, the newest.")
def list_command(path: Path, phases: tuple[str, ...], owner: str | None, last: int | None) -> None:
    """List jobs, the newest first."""
    found = store_of(load(path)).find(JobFilter(tuple(phases), None, last), owner, everyone=owner is None)
    rows = [(job.id, job.phase, moment(job.created), job.owner or "-", job.run_id or "-") for job in found]
    print_table(("job", "phase", "created", "owner", "run id"), [tuple(map(printable, row)) for row in rows])


@jobs_command.command("show")
@config_option
@_identifier
def show_command(path: Path, identifier: str) -> None:
    """Show all that is known of a job."""
    config = load(path)
    job = store_of(config).get(identifier)
    for name, value in _facts(job):
        click.echo(printable(f"{name:<12} {value}"))
    click.echo(f"{'folder':<12} {files_of(config).folder(job.id)}")


@jobs_command.command("abort")
@config_option
@click.argument("identifiers", metavar="JOB...", nargs=-1, required=True)
def abort_command(path: Path, identifiers: tuple[str, ...]) -> None:
    """Stop jobs: they are kept, without results."""
    store = store_of(load(path))
    for identifier in identifiers:
        store.abort(identifier)
        click.echo(f"{identifier} {store.get(identifier).phase}")


@jobs_command.command("purge")
@config_option
@click.argument("identifiers", metavar="[JOB]...", nargs=-1)
@click.option("--ended", is_flag=True, help="All that have ended.")
@click.option("--expired", is_flag=True, help="All whose time is over; workers do so by themselves.")
def purge_command(path: Path, identifiers: tuple[str, ...], ended: bool, expired: bool) -> None:
    """Delete jobs with all their files."""
    config = load(path)
    store, files = store_of(config), files_of(config)
    chosen = [store.get(identifier).id for identifier in identifiers]
    if ended:
        phases = tuple(phase for phase in PHASES if phase not in UNFINISHED)
        chosen += [job.id for job in store.find(JobFilter(phases), None, everyone=True)]
    chosen += store.expired() if expired else []
    if not (identifiers or ended or expired):
        raise click.UsageError("name jobs, or give --ended or --expired")
    for identifier in dict.fromkeys(chosen):
        store.delete(identifier)
        files.discard(identifier)
    files.sweep(store.known)
    click.echo(f"{len(dict.fromkeys(chosen))} jobs deleted")


def _facts(job: Job) -> list[tuple[str, object]]:
    progress = job.progress
    times = {"created": job.created, "queued": job.queued, "started": job.started, "ended": job.ended}
    facts: list[tuple[str, object]] = [
        ("job", job.id),
        ("phase", job.phase),
        ("owner", job.owner or "-"),
        ("run id", job.run_id or "-"),
        *((name, moment(time)) for name, time in times.items() if time is not None),
        ("until", moment(job.destruction)),
        ("executed", f"{job.spent:.3f} of {job.duration} s"),
        ("progress", f"{progress.done} of {progress.total} results, {progress.failed} failed, {progress.bytes} bytes"),
    ]
    if job.phase == "EXECUTING":
        facts += [("attempt", job.attempts), ("worker", job.worker)]
    if job.error is not None:
        facts.append(("error", job.error.message))
    return facts + [("parameter", f"{name}={value}") for name, value in job.parameters]
