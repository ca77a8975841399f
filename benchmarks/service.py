"""The service over HTTP, held against handlers that do nothing, or use astropy."""

import io
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode

from astropy.io import fits, votable

from imageserv.core.config import load as load_configuration

from . import data, registry
from .check import Truth
from .data import Frame
from .handlers import write_answer, write_frame
from .load import Load, Loading, load, tool
from .processes import Server, get, handlers, ours
from .registry import Crowd
from .report import Ratio, Table, difference, ratio
from .repositories import ingest
from .rounds import Series, Wrong
from .settings import Settings

_CONNECTIONS = 32
_FEW = 4
_PATHS = 200
_FIRSTS = 120
_V1 = "/api/image/v1"
_SIA = "/api/image/vo/sia"


def measure_service(folder: Path, settings: Settings) -> list[Table]:
    """Measure cutouts, look-ups, slow work beside quick work, and whole images."""
    survey = folder / "survey"
    exposure = data.calexp(survey)
    data.raw(survey)
    data.coadd(survey)
    for kind in data.TILED:
        data.tiled(folder / "tiles", kind)
    firsts = data.many(folder / "first", _FIRSTS, "first")
    repositories = {"survey": ("raw", "calexp", "deepcoadd"), "tiles": ("image",), "first": ("calexp",)}
    configuration = data.write_configuration(folder, "service", repositories)
    ingest(configuration)
    return [
        *_cutouts(configuration, exposure, settings),
        *_lookups(folder, settings),
        _mixed(configuration, folder, exposure, firsts, settings),
        _whole(configuration, exposure, settings),
    ]


# --- cutouts


def _cutouts(configuration: Path, exposure: Frame, settings: Settings) -> list[Table]:
    tables: list[Table] = []
    goals = {1: ("one plane", "image", 0.40), 3: ("three planes", "planes", 0.25)}
    for planes, (title, detail, goal) in goals.items():
        paths = _cutout_paths(exposure, 100, detail)
        truth = Truth(exposure).fits(planes)

        def check(server: Server, paths: list[str] = paths, truth: Callable[..., None] = truth) -> None:
            for path, place in zip(paths[:3], exposure.places(100, _PATHS), strict=False):
                truth(get(server.url, path)[1], place)

        with _servers(configuration, "cutout", paths[0], exposure, (1, 2)) as servers:
            check(servers["ours, 1"])
            least = [f"/least/frame?{path.partition('?')[2]}" for path in paths]
            check(servers["handlers, 1"], least)
            players = {
                "ours, 1 worker": _player(servers["ours, 1"], paths, settings),
                "the least, 1 worker": _player(servers["handlers, 1"], least, settings),
                "constant bytes, route, 1 worker": _player(servers["handlers, 1"], ["/route/cutout"], settings),
                "constant bytes, bare, 1 worker": _player(servers["handlers, 1"], ["/bare/cutout"], settings),
                "astropy, 1 worker": _player(
                    servers["handlers, 1"],
                    [f"/astropy/frame?{path.partition('?')[2]}&planes={planes}" for path in paths],
                    settings,
                    _FEW,  # each waits for a thread
                ),
                "ours, 2 workers": _player(servers["ours, 2"], paths, settings),
                "constant bytes, route, 2 workers": _player(servers["handlers, 2"], ["/route/cutout"], settings),
            }
            loads = _take_turns(players, settings.load_rounds)
        rows = [Series(name, tuple(each.rate for each in found)) for name, found in loads.items()]
        mine = "ours, 1 worker"
        ratios = [
            *ratio(rows, mine, "constant bytes, route, 1 worker", goal, "at least"),
            *ratio(rows, mine, "constant bytes, bare, 1 worker"),
            *ratio(rows, mine, "the least, 1 worker"),
            *ratio(rows, "the least, 1 worker", "constant bytes, route, 1 worker"),
            *ratio(rows, mine, "astropy, 1 worker", 100.0, "at least"),
            *ratio(rows, "ours, 2 workers", mine),
            *ratio(rows, "ours, 2 workers", "constant bytes, route, 2 workers"),
        ]
        what = f"calexp, {title}, 100 x 100 px, {_CONNECTIONS} connections"
        tables.append(Table("service", what, "requests/s", tuple(rows), tuple(ratios), _note()))
        latencies = [_series(f"{name}, {part}", loads[name], part) for name in loads for part in ("p50", "p99")]
        tail = ratio(latencies, f"{mine}, p99", f"{mine}, p50", 3.0)
        tables.append(Table("service", f"{what}: time of a request", "ms", tuple(latencies), tuple(tail)))
    return tables


def _cutout_paths(frame: Frame, size: int, detail: str, repository: str = "survey") -> list[str]:
    fixed = {"ds": frame.dataset, "filter": "r", "width": size, "height": size, "unit": "pixel", "detail": detail}
    return [
        f"{_V1}/{repository}?{urlencode({'ra': place.ra, 'dec': place.dec, **fixed})}"
        for place in frame.places(size, _PATHS)
    ]


def _note() -> str:
    return f"Load by {tool()}, on the cores that serve."


# --- look-ups


def _lookups(folder: Path, settings: Settings) -> list[Table]:
    configuration, _ = registry.build(folder, settings.crowd)
    name, crowd = f"crowd{settings.crowd}", Crowd(settings.crowd)
    points = registry.points(_PATHS)
    frames = data.many(folder / name, registry.REAL, name)
    searches = [f"{_SIA}?POS={f'CIRCLE {ra} {dec} 0.01'.replace(' ', '%20')}" for ra, dec in points]
    # An image that is really there is the nearest one to its own middle, whatever lies around it.
    images = [_cutout_paths(frame, 10, "image", name)[0] for frame in map(_middle, frames)]
    tables: list[Table] = []
    for title, paths in (("SIA2, circle of 0.01 deg", searches), ("v1, cutout of 10 x 10 px by position", images)):
        with _servers(configuration, "document", paths[0], frames[0], (1,)) as servers:
            server = servers["ours, 1"]
            if paths is searches:
                _check_search(server, crowd, points[:5], paths)
            else:
                _check_images(server, frames[:5], paths)
            players = {
                "ours": _player(server, paths, settings),
                "constant document, route": _player(servers["handlers, 1"], ["/route/document"], settings),
                "constant document, bare": _player(servers["handlers, 1"], ["/bare/document"], settings),
            }
            loads = _take_turns(players, settings.load_rounds)
        rows = [Series(key, tuple(each.rate for each in found)) for key, found in loads.items()]
        ratios = [
            *ratio(rows, "ours", "constant document, route", 0.25, "at least"),
            *ratio(rows, "ours", "constant document, bare"),
        ]
        what = f"{title}, {settings.crowd:,} images, 1 worker, {_CONNECTIONS} connections"
        tables.append(Table("service", what, "requests/s", tuple(rows), tuple(ratios), _note()))
    return tables


@dataclass(frozen=True, slots=True)
class _Middle(Frame):
    """A file that is cut in its middle."""

    def places(self, size: int, count: int = 64) -> list[data.Place]:
        """Return one place."""
        header = fits.getheader(self.path, self.hdus[0])
        x, y = header["NAXIS1"] // 2 + 0.25, header["NAXIS2"] // 2 + 0.25
        ra, dec = self.wcs().all_pix2world(x, y, 0)
        return [data.Place(float(ra), float(dec), x, y, size)]


def _middle(frame: Frame) -> _Middle:
    return _Middle(frame.path, frame.hdus, frame.repository, frame.dataset, frame.data_id)


def _check_search(server: Server, crowd: Crowd, points: Sequence[tuple[float, float]], paths: Sequence[str]) -> None:
    for point, path in zip(points, paths, strict=False):
        table = votable.parse_single_table(io.BytesIO(get(server.url, path)[1]))
        found = {str(did).rpartition("calexp/")[2] for did in table.array["obs_publisher_did"]}
        sure, perhaps = ({registry.local_part(number) for number in numbers} for numbers in crowd.near(*point, 0.01))
        if not sure <= found <= perhaps | {did for did in found if registry.is_real(did)}:
            raise Wrong(f"the search finds {len(found)} images, brute force {len(sure)} to {len(perhaps)}")


def _check_images(server: Server, frames: Sequence[Frame], paths: Sequence[str]) -> None:
    for frame, path in zip(frames, paths, strict=False):
        Truth(frame).fits(1)(get(server.url, path)[1], _middle(frame).places(10)[0])


# --- slow work beside quick work


def _mixed(configuration: Path, folder: Path, exposure: Frame, firsts: Sequence[Frame], settings: Settings) -> Table:
    small = _cutout_paths(exposure, 100, "image")
    tiled = [data.tiled(folder / "tiles", kind) for kind in data.TILED]
    slow = {
        "files not in memory": [_first_path(frame) for frame in firsts],
        "1000 x 1000 px": _cutout_paths(exposure, 1000, "planes"),
        "decompression": _in_turns([_tile_paths(frame) for frame in tiled]),
    }
    slow["all of these"] = _in_turns(list(slow.values()))
    found: dict[str, list[Load]] = {}
    for _ in range(settings.load_rounds):
        for frame in firsts:
            data.forget(frame.path)
        # A new service each time: one that has opened a file keeps its pages in memory.
        with ours(configuration, 1) as server:
            load(server.url, small, _FEW, 1)
            found.setdefault("alone", []).append(load(server.url, small, _FEW, settings.load_seconds))
            for name, paths in slow.items():
                with Loading(server.url, paths, _FEW, settings.load_seconds + 2):
                    beside = load(server.url, small, _FEW, settings.load_seconds)
                found.setdefault(f"beside {name}", []).append(beside)
    rows = [_series(f"{name}, {part}", found[name], part) for name in found for part in ("p50", "p99", "longest")]
    delays: list[Ratio] = []
    for name in list(found)[1:]:
        delays += difference(rows, f"{name}, p99", "alone, p99", "ms")
        delays += difference(rows, f"{name}, longest", "alone, longest", "ms", 20.0)
    title = f"a warm cutout of 100 x 100 px beside slow work, 1 worker, {_FEW} and {_FEW} connections"
    return Table("service", title, "ms", tuple(rows), tuple(delays), _note())


def _first_path(frame: Frame) -> str:
    place = frame.places(100, 1)[0]
    keys = {key: value for key, value in frame.data_id.items()}
    cutout = {"ra": place.ra, "dec": place.dec, "width": 100, "height": 100, "unit": "pixel"}
    return f"{_V1}/first?{urlencode({'ds': frame.dataset, **keys, **cutout})}"


def _tile_paths(frame: Frame) -> list[str]:
    return [
        f"{_V1}/tiles?"
        + urlencode(
            {"ds": "image", **frame.data_id, "ra": place.ra, "dec": place.dec}
            | {"width": 1000, "height": 1000, "unit": "pixel"}
        )
        for place in frame.places(1000, 20)
    ]


def _in_turns(lists: Sequence[Sequence[str]]) -> list[str]:
    return list(chain.from_iterable(zip(*lists, strict=False)))


# --- whole images


def _whole(configuration: Path, exposure: Frame, settings: Settings) -> Table:
    path = f"{_V1}/survey?{urlencode({'ds': exposure.dataset, **exposure.data_id})}"
    with _servers(configuration, "whole", path, exposure, (1,)) as servers:
        if get(servers["ours, 1"].url, path)[1] != exposure.path.read_bytes():
            raise Wrong("the image that was sent is not the file")
        players = {
            "ours": _player(servers["ours, 1"], [path], settings, _FEW),
            "starlette's FileResponse": _player(servers["handlers, 1"], ["/file/frame"], settings, _FEW),
        }
        loads = _take_turns(players, settings.load_rounds)
    rows = [Series(name, tuple(each.bytes / each.seconds / 1e6 for each in found)) for name, found in loads.items()]
    ratios = ratio(rows, "ours", "starlette's FileResponse")
    size = exposure.path.stat().st_size / 1e6
    title = f"whole image of {size:.0f} MB, 1 worker, {_FEW} connections"
    return Table("service", title, "MB/s", tuple(rows), tuple(ratios), _note())


# --- turns


def _player(
    server: Server, paths: Sequence[str], settings: Settings, connections: int = _CONNECTIONS
) -> Callable[[], Load]:
    return lambda: load(server.url, paths, connections, settings.load_seconds)


def _take_turns(players: Mapping[str, Callable[[], Load]], rounds: int) -> dict[str, list[Load]]:
    """Let each play once to warm up, then once a round."""
    for play in players.values():
        play()
    found: dict[str, list[Load]] = {name: [] for name in players}
    for _ in range(rounds):
        for name, play in players.items():
            try:
                found[name].append(play())
            except RuntimeError as error:
                raise RuntimeError(f"{name}: {error}") from error
    return found


def _series(name: str, loads: Sequence[Load], part: str) -> Series:
    return Series(name, tuple(float(getattr(each, part)) for each in loads))


@contextmanager
def _servers(
    configuration: Path, name: str, path: str, frame: Frame, workers: Sequence[int]
) -> Generator[dict[str, Server]]:
    """Start our service, and handlers that know one of its answers and a file, each with so many workers."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as answers:
        servers = {f"ours, {count}": stack.enter_context(ours(configuration, count)) for count in workers}
        write_answer(Path(answers), name, *get(servers[f"ours, {workers[0]}"].url, path))
        known = load_configuration(configuration, {}).repositories[frame.repository]
        write_frame(Path(answers), "frame", frame, known.registry)
        for count in workers:
            servers[f"handlers, {count}"] = stack.enter_context(handlers(Path(answers), count))
        yield servers
