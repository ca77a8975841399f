"""The command line."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

import click

from imageserv.core.answer import FITS, TILES
from imageserv.core.config import Config, RepositoryConfig, load
from imageserv.core.dali.negotiation import negotiate
from imageserv.core.demo_build import build
from imageserv.core.errors import ConfigurationFault, ImageServError, NotFoundFault
from imageserv.core.jobs.places import check_folder
from imageserv.core.manager import installed
from imageserv.core.repository import Repository
from imageserv.core.scaffold import new_plugin
from imageserv.core.service import Service, open_service

from .answers import cutout_name
from .app import create_app
from .cli_jobs import jobs_command, work_command
from .console import config_option, print_table
from .images import plain_name
from .progress import printable, shown
from .requests import response_format
from .server import address, listen, serve
from .urls import Urls
from .v1.answers import answer_id
from .v1.examples import declared
from .v1.query import IdQuestion, ImageQuestion, read_question

_JSON = {"json": ("application/json",)}
_MOST_SHOWN = 20  # problems of one dataset

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
_port = click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
_workers = click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that serve.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(package_name="imageserv", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Virtual Observatory image cutouts, one plugin per dataset."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command("serve")
@config_option
@_host
@_port
@_workers
@click.option("--work/--no-work", default=True, show_default=True, help="Whether to start a worker for jobs, too.")
def serve_command(path: Path, host: str, port: int, workers: int, work: bool) -> None:
    """Serve the repositories of a configuration."""
    config = load(path)
    if work:
        check_folder(config)
    _check_service(config)
    listener = listen(host, port)
    click.echo(f"ImageServ listens on {address(listener)} and calls itself {config.base_url}")
    serve(path.absolute(), listener, workers, work=work)


@cli.command("ingest")
@config_option
@click.argument("db_id", required=False)
@click.argument("dataset", required=False)
def ingest_command(path: Path, db_id: str | None, dataset: str | None) -> None:
    """Bring registries up to date with the files: of one repository, or one of its datasets, or all."""
    config = load(path)
    chosen = config.repositories.values() if db_id is None else [_repository_config(config, db_id)]
    for part in chosen:
        repository = Repository(part, config, writable=True)
        try:
            with shown("files") as progress:
                summaries = repository.ingest(dataset, progress)
        finally:
            repository.close()
        for summary in summaries:
            for kind, entries in (("warning", summary.warnings), ("skipped", summary.skipped)):
                for file, reason in entries:
                    click.echo(printable(f"{kind}: {part.name} {summary.dataset} {file}: {reason}"))
            if summary.foreign and not summary.images and not summary.skipped:
                text = f"no file is of this dataset; {summary.foreign}, for one, is not"
                click.echo(printable(f"warning: {part.name} {summary.dataset}: {text}"))
        head = ("repository", "dataset", "images", "taken", "unchanged", "removed", "skipped")
        print_table(
            head,
            [
                (part.name, each.dataset, each.images, each.taken, each.unchanged, each.removed, len(each.skipped))
                for each in summaries
            ],
        )


@cli.command("check")
@config_option
def check_command(path: Path) -> None:
    """Look whether a configuration can be served: its plugins, its registries, the files that they name."""
    config = load(path)
    problems = 0
    for part in config.repositories.values():
        try:
            problems += _check_repository(part, config)
        except ImageServError as fault:
            click.echo(printable(f"{part.name}: {fault.message}"))
            problems += 1
    if problems:
        raise ConfigurationFault("1 problem" if problems == 1 else f"{problems} problems")
    check_folder(config)
    _check_service(config)
    click.echo(f"{path}: nothing wrong")


@cli.command("plugins")
def plugins_command() -> None:
    """List the plugins that are installed."""
    head = ("name", "kind", "distribution", "version", "class")
    print_table(head, [(each.name, each.group, each.distribution, each.version, each.target) for each in installed()])


@cli.command("new-plugin")
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Below which folder it is put, in one of its own.",
)
def new_plugin_command(name: str, parent: Path) -> None:
    """Write a distribution with a dataset plugin that works, to be made your survey's."""
    folder = new_plugin(name, parent)
    click.echo(f"{folder}: a plugin that passes its tests; its README.md says how to go on")


@cli.command("cutout")
@config_option
@click.argument("db_id")
@click.argument("parameters", metavar="[NAME=VALUE]...", nargs=-1)
@click.option(
    "-o", "--output", metavar="FILE", help="Where to write; - is standard output. [default: a name that tells]"
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def cutout_command(path: Path, db_id: str, parameters: Sequence[str], output: str | None, force: bool) -> None:
    """Answer one request as the service would: parameters as NAME=VALUE, or the URL itself, DB_ID?ds=...&..."""
    config = load(path)
    url, _, query = db_id.partition("?")
    name = url.rpartition("/")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    pairs += [(key, value) for key, _, value in (parameter.partition("=") for parameter in parameters)]
    repository = Repository(_repository_config(config, name), config)
    try:
        question = read_question(repository, pairs)
        offers = _JSON if isinstance(question, IdQuestion) else FITS
        form, _ = negotiate(None, response_format(pairs), offers)
        repository.authorise(question.dataset.name, {})
        if isinstance(question, IdQuestion):
            text = json.dumps(answer_id(repository, question)) + "\n"
            _write(output or "-", lambda file: file.write(text.encode()), force=force)
        else:
            _write_image(repository, question, output, as_tiles=form == TILES, force=force)
    finally:
        repository.close()


@cli.command("demo")
@click.option(
    "--dir",
    "folder",
    default="imageserv-demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the demo's files are, or will be made.",
)
@_host
@_port
@_workers
def demo_command(folder: Path, host: str, port: int, workers: int) -> None:
    """Make a repository of generated images, and serve it."""
    listener = listen(host, port)
    with shown("files") as progress:
        config = build(folder, address(listener), progress)
    _print_examples(config)
    serve(folder.absolute() / "imageserv.toml", listener, workers, work=True)


cli.add_command(work_command)
cli.add_command(jobs_command)


def main() -> None:
    """Run the command line; what goes wrong is one line on standard error."""
    try:
        sys.exit(cli.main(prog_name="imageserv", standalone_mode=False))
    except click.UsageError as error:
        hint = f" (try {error.ctx.command_path} --help)" if error.ctx else ""
        message, status = error.format_message() + hint, 2
    except click.ClickException as error:
        message, status = error.format_message(), 1
    except ImageServError as fault:
        message, status = fault.message, 1
    except OSError as error:
        message, status = (f"{error.filename}: {error.strerror}" if error.filename else str(error)), 1
    except (click.Abort, KeyboardInterrupt):
        message, status = "interrupted", 130
    click.echo(f"imageserv: {message}", err=True)
    sys.exit(status)


def _repository_config(config: Config, name: str) -> RepositoryConfig:
    try:
        return config.repositories[name]
    except KeyError:
        raise NotFoundFault(f"no repository {name!r}; there are {', '.join(config.repositories)}") from None


def _check_service(config: Config) -> None:
    """Open everything once, as each worker will: what is wrong is said before one starts."""
    service = open_service(config)
    try:
        create_app(service)
    finally:
        service.close()


def _check_repository(part: RepositoryConfig, config: Config) -> int:
    """Say which files are gone, new, or no longer as they were at ingest, and return how many these are."""
    repository = Repository(part, config)
    count = 0
    try:
        repository.check()
        for dataset, problems in groupby(repository.audit(), key=itemgetter(0)):
            lines = [f"{part.name}: {dataset} {path} {problem}: run imageserv ingest" for _, path, problem in problems]
            for line in lines[:_MOST_SHOWN]:
                click.echo(printable(line))
            if len(lines) > _MOST_SHOWN:
                click.echo(f"{part.name}: {dataset} and {len(lines) - _MOST_SHOWN} more")
            count += len(lines)
    finally:
        repository.close()
    return count


def _write_image(
    repository: Repository, question: ImageQuestion, output: str | None, *, as_tiles: bool, force: bool
) -> None:
    selection = repository.select(question.dataset, question.selector)
    request = question.request
    if request is None:
        stored = repository.whole(selection)

        def copy(file: BinaryIO) -> None:
            with stored.path.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)

        _write(output or plain_name(stored.name), copy, force=force)
        return
    answer = repository.cutout(selection, request._replace(as_tiles=as_tiles))
    name = plain_name(cutout_name(selection, request, as_tiles=answer.as_tiles))
    _write(output or name, lambda file: file.write(answer.content), force=force)
    report = answer.report
    click.echo(f"{report.parent}: {report.delivered} of {report.requested or 'more'}", err=True)


def _write(output: str, write: Callable[[BinaryIO], object], *, force: bool) -> None:
    """Write a file aside and put it in place when it is whole."""
    if output == "-":
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    if target.is_dir():
        raise ConfigurationFault(f"{target} is a folder: name a file in it")
    if target.exists() and not force:
        raise ConfigurationFault(f"{target} exists: --force overwrites it")
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with aside.open("xb") as file:
            write(file)
        aside.replace(target)
    except OSError as error:
        if error.filename not in (None, str(aside)):
            raise
        raise ConfigurationFault(f"{target}: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)
    click.echo(f"{target}: {target.stat().st_size} bytes", err=True)


def _print_examples(config: Config) -> None:
    urls = Urls(config.base_url, config.path)
    service: Service = open_service(config)
    try:
        click.echo("The service")
        click.echo(f"  VO_1 Availability\n    {urls.v1('availability')}")
        click.echo(f"  VO_2 Capabilities\n    {urls.v1('capabilities')}")
        click.echo(f"  Start page\n    {urls.base}/")
        click.echo(
            "  Base URL for clients of the Virtual Observatory (pyvo, TOPCAT, Aladin, ...), which has no page itself\n"
            f"    {urls.vo('').rstrip('/')}"
        )
        for repository in service.repositories.values():
            click.echo(f"\n{repository.name}")
            for ds, title, url in declared(urls, repository):
                click.echo(f"  {ds:<12} {title}\n    {url}")
    finally:
        service.close()
    click.echo(f"\nImageServ serves {config.base_url}/ until it is interrupted.")


if __name__ == "__main__":
    main()
