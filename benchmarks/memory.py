"""How much memory a worker takes: with many open images, while it streams a table, while it sends a large file."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from . import data, registry
from .data import Frame
from .processes import Server, ours
from .report import Ratio, Table
from .repositories import ingest
from .rounds import Series, Wrong
from .settings import Settings

_EVERY = 0.02  # seconds between looks
_PIECE = 1 << 20


def measure_memory(folder: Path, settings: Settings) -> list[Table]:
    """Look at the memory of a worker of our service at work."""
    return [
        _open_images(folder, settings.open_images),
        _streamed(folder, settings.crowd),
        _sent(folder, settings.gigabytes),
    ]


def _open_images(folder: Path, count: int) -> Table:
    frames = data.many(folder / "open", count, "open")
    configuration = data.write_configuration(folder, "open", {"open": ("calexp",)})
    ingest(configuration)
    with ours(configuration, 1) as server:
        worker = server.workers()[0]
        _read(server, [_path(frames[0])])
        before = _memory(worker)
        _read(server, [_path(frame) for frame in frames])
        after = _memory(worker)
    rows = (
        Series("own memory, one image open", (before["RssAnon"],)),
        Series(f"own memory, {count} images asked for", (after["RssAnon"],)),
        Series("with mapped pages of files, which can be dropped", (after["RssAnon"] + after["RssFile"],)),
    )
    ratio = Ratio("own memory an image", ((after["RssAnon"] - before["RssAnon"]) / count * 1000,), unit="kB")
    return Table("memory", f"a worker that cut each of {count} exposures once", "MB", rows, (ratio,))


def _path(frame: Frame) -> str:
    place = frame.places(10, 1)[0]
    keys = {"ds": frame.dataset, **frame.data_id, "width": 10, "height": 10, "unit": "pixel"}
    return f"/api/image/v1/{frame.repository}?{urlencode({**keys, 'ra': place.ra, 'dec': place.dec})}"


def _streamed(folder: Path, count: int) -> Table:
    configuration, _ = registry.build(folder, count)
    with ours(configuration, 1) as server:
        worker = server.workers()[0]
        _read(server, ["/api/image/vo/sia?MAXREC=10"])
        with _watched(worker) as seen:
            rows = _read(server, [f"/api/image/vo/sia?MAXREC={count}"], b"<TR>")[1]
    if rows != count:
        raise Wrong(f"{rows} rows of {count}")
    return Table("memory", f"a worker that streams {count:,} rows of SIA2", "MB", *_growth(seen))


def _sent(folder: Path, gigabytes: int) -> Table:
    frame = data.huge(folder / "huge", gigabytes)
    configuration = data.write_configuration(folder, "huge", {"huge": ("image",)})
    ingest(configuration)
    path = f"/api/image/v1/huge?{urlencode({'ds': 'image', **frame.data_id})}"
    with ours(configuration, 1) as server:
        worker = server.workers()[0]
        with _watched(worker) as seen:
            size, _ = _read(server, [path])
    if size != frame.path.stat().st_size:
        raise Wrong(f"{size} bytes of {frame.path.stat().st_size}")
    return Table("memory", f"a worker that sends a file of {size / 1e9:.1f} GB", "MB", *_growth(seen))


def _growth(seen: Sequence[float]) -> tuple[tuple[Series, ...], tuple[Ratio, ...]]:
    rows = (Series("own memory before", (seen[0],)), Series("own memory at most", (max(seen),)))
    return rows, (Ratio("growth", (max(seen) - seen[0],), unit="MB"),)


def _read(server: Server, paths: Sequence[str], mark: bytes = b"") -> tuple[int, int]:
    """Read answers, keeping nothing of them; return how many bytes they had, and how often a mark."""
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=300)
    size = marks = 0
    try:
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"{path} is answered with {answer.status}: {answer.read()[:300]!r}")
            rest = b""
            while piece := answer.read(_PIECE):
                size += len(piece)
                if mark:
                    marks += (rest + piece).count(mark)
                    rest = piece[1 - len(mark) :]
    finally:
        connection.close()
    return size, marks


@contextmanager
def _watched(worker: int) -> Generator[list[float]]:
    """Look at a process's own memory (MB) again and again."""
    seen = [_memory(worker)["RssAnon"]]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            seen.append(_memory(worker)["RssAnon"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _memory(worker: int) -> dict[str, float]:
    """Return a process's resident memory by its kinds, MB."""
    lines = Path(f"/proc/{worker}/status").read_text(encoding="utf-8").splitlines()
    return {line.partition(":")[0]: int(line.split()[1]) / 1000 for line in lines if line.startswith("Rss")}
