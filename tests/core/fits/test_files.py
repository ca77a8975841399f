"""Files below a root, their unpacked copies, mappings, and locks."""

import gc
import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, UnavailableFault
from imageserv.core.fits.files import FileStore, MappedFile, UnpackedCache, exclusive
from imageserv.core.record import FileStamp


@pytest.fixture
def cache(tmp_path: Path) -> UnpackedCache:
    return UnpackedCache(tmp_path / "cache", 25_000, 100_000)


@pytest.fixture
def store(tmp_path: Path, cache: UnpackedCache) -> FileStore:
    (tmp_path / "root").mkdir()
    return FileStore(tmp_path / "root", cache)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def stamp_of(path: Path) -> FileStamp:
    return FileStamp(path.name, path.stat().st_size, path.stat().st_mtime_ns)


def packed(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content))
    return path


def test_files_below_the_root_are_found(store: FileStore, tmp_path: Path) -> None:
    real = store.root / "night" / "a.fits"
    real.parent.mkdir()
    real.write_bytes(b"12345")
    (store.root / "tonight").symlink_to("night")
    (store.root / "b.fits").symlink_to(real)
    for path in ("night/a.fits", "tonight/a.fits", "b.fits"):
        assert store.resolve(path) == real
        assert store.stamp(path) == FileStamp(path, 5, real.stat().st_mtime_ns)


def out_by_dots(root: Path) -> str:
    return "../secret.fits"


def out_by_an_absolute_path(root: Path) -> str:
    return str(root.parent / "secret.fits")


def out_by_a_link(root: Path) -> str:
    (root / "a.fits").symlink_to(root.parent / "secret.fits")
    return "a.fits"


def out_by_a_folders_link(root: Path) -> str:
    (root / "night").symlink_to(root.parent)
    return "night/secret.fits"


def out_to_a_namesake(root: Path) -> str:
    (root.parent / "root2").mkdir()
    (root.parent / "root2" / "a.fits").write_bytes(b"x")
    return "../root2/a.fits"


@pytest.mark.parametrize(
    "lead", [out_by_dots, out_by_an_absolute_path, out_by_a_link, out_by_a_folders_link, out_to_a_namesake]
)
def test_what_lies_outside_the_root_is_refused(store: FileStore, lead: Callable[[Path], str]) -> None:
    (store.root.parent / "secret.fits").write_bytes(b"secret")
    with pytest.raises(FitsFault, match="out of the repository's root"):
        store.resolve(lead(store.root))


def test_what_is_no_file_is_refused(store: FileStore) -> None:
    (store.root / "folder").mkdir()
    os.mkfifo(store.root / "fifo")
    for name in ("folder", "fifo"):
        with pytest.raises(FitsFault, match="not a plain file"):
            store.stamp(name)


def test_what_is_not_there_is_an_error_of_the_system(store: FileStore) -> None:
    (store.root / "dangling").symlink_to("nowhere")
    (store.root / "loop").symlink_to("loop")
    for name in ("missing", "dangling", "loop"):
        with pytest.raises(OSError):
            store.stamp(name)


def test_what_is_packed_is_known_by_its_content(store: FileStore) -> None:
    packed(store.root, "a.fits", b"plain")
    (store.root / "b.fits.gz").write_bytes(b"SIMPLE")
    (store.root / "empty.gz").write_bytes(b"")
    assert [store.is_packed(name) for name in ("a.fits", "b.fits.gz", "empty.gz")] == [True, False, False]


def test_a_plain_file_is_served_where_it_is(store: FileStore) -> None:
    path = store.root / "a.fits"
    path.write_bytes(b"plain")
    assert store.plain(store.stamp("a.fits"), packed=False) == path


def test_a_packed_file_is_unpacked_once(store: FileStore, cache: UnpackedCache) -> None:
    content = os.urandom(10_000)
    packed(store.root, "a.fits.gz", content)
    copy = store.plain(store.stamp("a.fits.gz"), packed=True)
    assert copy.read_bytes() == content
    first = copy.stat()
    os.utime(copy, (0, 0))
    assert store.plain(store.stamp("a.fits.gz"), packed=True) == copy
    assert copy.stat().st_ino == first.st_ino
    assert copy.stat().st_mtime >= first.st_mtime - 1  # the time of its last use
    assert os.listdir(cache.folder) == [copy.name]


def test_a_changed_file_never_meets_an_old_copy(store: FileStore) -> None:
    path = packed(store.root, "a.fits.gz", b"old" * 100)
    old = store.plain(store.stamp("a.fits.gz"), packed=True)
    packed(store.root, "a.fits.gz", b"new" * 100)
    os.utime(path, ns=(0, 1))  # even if the clock stood still
    new = store.plain(store.stamp("a.fits.gz"), packed=True)
    assert (old.read_bytes(), new.read_bytes()) == (b"old" * 100, b"new" * 100)


def test_files_of_one_name_in_two_repositories_are_two(cache: UnpackedCache, tmp_path: Path) -> None:
    copies: list[Path] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = packed(tmp_path / name, "a.fits.gz", name.encode())
        os.utime(path, ns=(0, 1))
        copies.append(FileStore(tmp_path / name, cache).plain(stamp_of(path), packed=True))
    assert [copy.read_bytes() for copy in copies] == [b"one", b"two"]


def test_the_cache_is_bounded_and_those_longest_unused_go(cache: UnpackedCache, tmp_path: Path) -> None:
    minutes = count()

    def unpack(name: str) -> Path:
        path = tmp_path / name
        copy = cache.unpacked(path, stamp_of(path))
        used = time.time() - 3600 + 60 * next(minutes)  # each a minute after the one before, long ago
        os.utime(copy, (used, used))
        return copy

    for number in range(6):
        packed(tmp_path, f"{number}.gz", bytes([number]) * 10_000)
    zero, one = unpack("0.gz"), unpack("1.gz")
    assert unpack("0.gz") == zero  # 0 is now the one used last
    two = unpack("2.gz")
    assert (zero.exists(), one.exists(), two.exists()) == (True, False, True)
    for number in (3, 4, 5):
        copy = unpack(f"{number}.gz")
        assert copy.read_bytes() == bytes([number]) * 10_000
        assert sum(path.stat().st_size for path in cache.folder.iterdir()) <= 25_000


def test_a_copy_that_is_in_use_stays_even_if_there_is_no_room(tmp_path: Path) -> None:
    cache = UnpackedCache(tmp_path / "cache", 1, 100_000)
    copies: list[Path] = []
    for number in range(3):
        path = packed(tmp_path, f"{number}.gz", b"x" * 10_000)
        copies.append(cache.unpacked(path, stamp_of(path)))
    assert all(copy.exists() for copy in copies)


def test_what_dead_processes_left_goes_and_what_others_write_stays(cache: UnpackedCache, tmp_path: Path) -> None:
    cache.folder.mkdir()
    dead, busy, other = (cache.folder / name for name in ("0.1-1.part", "0.2-2.part", "README"))
    for path in (dead, busy, other):
        path.write_bytes(b"x" * 50_000)
    os.utime(dead, (0, 0))
    os.utime(other, (0, 0))
    path = packed(tmp_path, "a.gz", b"x")
    cache.unpacked(path, stamp_of(path))
    assert (dead.exists(), busy.exists(), other.exists()) == (False, True, True)


@pytest.mark.parametrize("damage", ["cut short", "garbled", "not gzip", "empty"])
def test_a_damaged_file_is_refused_and_leaves_nothing(cache: UnpackedCache, tmp_path: Path, damage: str) -> None:
    content = gzip.compress(os.urandom(20_000))
    changed = {
        "cut short": content[:-5000],
        "garbled": content[:3000] + bytes(1000) + content[4000:],
        "not gzip": b"SIMPLE  = T" * 1000,
        "empty": b"",
    }[damage]
    path = tmp_path / "a.gz"
    path.write_bytes(changed)
    if damage == "empty":  # that is what gzip makes of nothing
        assert cache.unpacked(path, stamp_of(path)).read_bytes() == b""
        return
    before = descriptors()
    with pytest.raises(FitsFault, match="damaged gzip"):
        cache.unpacked(path, stamp_of(path))
    assert list(cache.folder.iterdir()) == []
    assert descriptors() == before


def test_a_file_that_unpacks_to_too_much_is_refused(cache: UnpackedCache, tmp_path: Path) -> None:
    fits = packed(tmp_path, "fits.gz", bytes(100_000))
    assert cache.unpacked(fits, stamp_of(fits)).stat().st_size == 100_000
    bomb = packed(tmp_path, "bomb.gz", bytes(100_001))
    with pytest.raises(FitsFault, match="more than 100000 bytes"):
        cache.unpacked(bomb, stamp_of(bomb))
    assert len(list(cache.folder.iterdir())) == 1


def test_a_cache_that_cannot_be_made_is_an_error_of_the_system(cache: UnpackedCache, tmp_path: Path) -> None:
    cache.folder.write_bytes(b"a file in its place")
    path = packed(tmp_path, "a.gz", b"x")
    with pytest.raises(OSError):
        cache.unpacked(path, stamp_of(path))


def test_threads_that_want_one_file_unpack_it_once(
    cache: UnpackedCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    original = gzip.open

    def slow(path: Path) -> object:
        opened.append(path)
        time.sleep(0.05)
        return original(path)

    monkeypatch.setattr(gzip, "open", slow)
    path = packed(tmp_path, "a.gz", b"x" * 50_000)
    copies: list[Path] = []
    threads = [threading.Thread(target=lambda: copies.append(cache.unpacked(path, stamp_of(path)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [path]
    assert len(copies) == 8 and len(set(copies)) == 1


UNPACK = """
import hashlib, sys
from pathlib import Path
from imageserv.core.fits.files import UnpackedCache
from imageserv.core.record import FileStamp
folder = Path(sys.argv[1])
cache = UnpackedCache(folder / "cache", 1_000_000, 10_000_000)
print("ready", flush=True)
sys.stdin.readline()
read = 0
for turn in range(30):
    for path in sorted(folder.glob("*.gz")):
        status = path.stat()
        copy = cache.unpacked(path, FileStamp(path.name, status.st_size, status.st_mtime_ns))
        try:
            content = copy.read_bytes()
        except FileNotFoundError:  # the other process evicted it
            continue
        assert hashlib.sha256(content).hexdigest() == path.stem, path
        read += 1
        copy.unlink(missing_ok=True)
print("read" if read else "read nothing", flush=True)
"""


def test_processes_share_a_cache(tmp_path: Path) -> None:
    for _ in range(3):
        content = os.urandom(300_000)
        packed(tmp_path, f"{hashlib.sha256(content).hexdigest()}.gz", content)
    command = [sys.executable, "-c", UNPACK, str(tmp_path)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        output, _ = worker.communicate("go\n", timeout=60)
        assert (output, worker.returncode) == ("read\n", 0)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_mapping_gives_its_descriptors_back(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"SIMPLE" * 1000)
    before = descriptors()
    mapped = [MappedFile(path) for _ in range(20)]
    assert descriptors() > before
    assert mapped[0].buffer[:6] == b"SIMPLE" and mapped[0].size == 6000
    del mapped
    assert descriptors() == before


def test_a_file_that_cannot_be_mapped_costs_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "empty.fits").write_bytes(b"")
    before = descriptors()
    with pytest.raises(UnavailableFault, match="empty"):
        MappedFile(tmp_path / "empty.fits")
    with pytest.raises(FileNotFoundError):
        MappedFile(tmp_path / "missing.fits")
    assert descriptors() == before


def test_a_mapping_outlives_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"old")
    mapped = MappedFile(path)
    (tmp_path / "b.fits").write_bytes(b"new!")
    os.replace(tmp_path / "b.fits", path)
    assert mapped.buffer[:] == b"old"


def test_a_lock_keeps_others_out_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with exclusive(path) as first:
        with exclusive(path) as second:
            assert (first, second) == (True, False)
        with exclusive(path) as third:
            assert not third
    with exclusive(path) as again:
        assert again


HOLD = """
import sys, time
from pathlib import Path
from imageserv.core.fits.files import exclusive
with exclusive(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        with exclusive(path) as alone:
            assert not alone
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with exclusive(path) as alone:
        assert alone


STRETCH = 1 << 17
"""Bytes that a look tells of."""


class Disk:
    """Answers as Linux does of what is in memory and what is not, and notes what it was asked for."""

    def __init__(self) -> None:
        self.cold: set[int] = set()
        self.asked: list[int] = []

    def preadv(self, _fd: int, _buffers: Any, offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        self.asked.append(offset)
        if offset // STRETCH in self.cold:
            raise BlockingIOError
        return 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "preadv", disk.preadv)
    return disk


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A file of 1024 rows of 4 kB, after 1000 bytes of something else."""
    path = tmp_path / "image"
    path.write_bytes(bytes(1000 + (4 << 20)))
    return path


def opened(path: Path) -> tuple[MappedFile, NDArray[Any]]:
    file = MappedFile(path)
    return file, np.ndarray((1024, 1024), ">f4", file.buffer, 1000)


@given(st.integers(0, 1023), st.integers(1, 500), st.integers(0, 1023), st.integers(1, 90))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_stretch_of_the_pixels_is_asked_for(
    disk: Disk, plain: Path, row: int, rows: int, column: int, columns: int
) -> None:
    def looks() -> bool:
        file, plane = opened(plain)
        return file.in_memory(plane[row : row + rows, column : column + columns])

    height, width = min(rows, 1024 - row), min(columns, 1024 - column)
    ends = [1000 + 4096 * (row + up) + 4 * at for up in range(height) for at in (column, column + width - 1)]
    stretches = {end // STRETCH for end in ends}
    for stretch in stretches:
        disk.cold = {stretch}
        assert not looks()
    disk.cold = set(range(64)) - stretches
    assert looks()


def test_what_was_in_memory_may_have_left_it(disk: Disk, plain: Path) -> None:
    file, plane = opened(plain)
    assert file.in_memory(plane[:100, :100])
    disk.cold = {2}
    assert not file.in_memory(plane[:100, :100])
    disk.cold = set()
    assert file.in_memory(plane[:100, :100])


def test_memory_that_is_not_the_file_s_is_at_hand(disk: Disk, plain: Path) -> None:
    file, _ = opened(plain)
    disk.cold = set(range(64))
    assert file.in_memory(np.zeros((10, 10)))
    assert not disk.asked
