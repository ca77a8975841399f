"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from typing import NoReturn

from tqdm import tqdm

_PAUSE = 5.0  # seconds between lines

Show = Callable[[int, int, str], None]
"""Called after each step: how many are done, how many there are, what it was. Counting may start anew."""


def printable(text: str) -> str:
    """Escape what a file's name can do to a terminal or a line: control characters, and bytes that are no text."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


@contextlib.contextmanager
def shown(what: str) -> Generator[Show]:
    """Show progress on standard error.

    Parameters
    ----------
    what
        What is counted, in the plural.

    Yields
    ------
    callable
        To be called after each step.
    """
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    with contextlib.ExitStack() as open_bars:
        yield _bars(what, open_bars)


def _lines(what: str) -> Show:
    following = time.monotonic() + _PAUSE

    def show(done: int, total: int, step: str) -> None:
        nonlocal following
        if time.monotonic() > following:
            following = time.monotonic() + _PAUSE
            print(f"{done} of {total} {what}: {printable(step)}", file=sys.stderr, flush=True)

    return show


def _bars(what: str, open_bars: contextlib.ExitStack) -> Show:
    bar: tqdm[NoReturn] | None = None

    def show(done: int, total: int, step: str) -> None:
        nonlocal bar
        if bar is None or done < bar.n:
            open_bars.close()
            bar = open_bars.enter_context(tqdm(total=total, unit=f" {what}", file=sys.stderr))
        bar.update(done - bar.n)

    return show
