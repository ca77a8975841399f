"""What the commands share."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

config_option = click.option(
    "--config",
    "path",
    metavar="FILE",
    required=True,
    envvar="IMAGESERV_CONFIG",
    type=click.Path(path_type=Path),
    help="The configuration; also by the variable IMAGESERV_CONFIG.",
)


def print_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their head, in columns."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
