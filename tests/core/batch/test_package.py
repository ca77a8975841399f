"""The tar that grows: as Python's own writer would have it, whatever was written before."""

import errno
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageserv.core.batch.package import Files, Tar
from imageserv.core.errors import UnavailableFault

NAMES = st.from_regex(r"[0-9]{1,6}_[A-Za-z0-9._-]{0,70}\.(fits|txt)", fullmatch=True)
TIME = 1_790_000_000


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, st.binary(max_size=3000), st.booleans()), max_size=6, unique_by=lambda each: each[0]))
def test_a_tar_is_the_one_that_pythons_writer_makes(tmp_path: Path, members: list[tuple[str, bytes, bool]]) -> None:
    path = tmp_path / "x.tar"
    path.unlink(missing_ok=True)
    path.write_bytes(b"left by another" * 3000)
    end = 0
    for name, content, _ in members:
        with Tar(path, end, TIME) as tar:  # each in a step of its own
            tar.put(name, len(content), [content[:100], memoryview(content)[100:]])
            tar.settle()
            end = tar.end
    with Tar(path, end, TIME) as tar:
        tar.close()
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.GNU_FORMAT) as other:
        for name, content, _ in members:
            info = tarfile.TarInfo(f"cutouts/{name}")
            info.size, info.mtime = len(content), TIME
            other.addfile(info, io.BytesIO(content))
    length = expected.tell() - expected.tell() % tarfile.BLOCKSIZE
    assert path.read_bytes() == expected.getvalue()[: path.stat().st_size]
    assert not any(expected.getvalue()[path.stat().st_size : length])  # Python fills a record of 20 blocks


def test_a_member_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half of it"
        raise UnavailableFault("gone")

    with Tar(tmp_path / "x.tar", 0, TIME) as tar:
        tar.put("1.fits", 3, [b"one"])
        with pytest.raises(UnavailableFault):
            tar.put("2.fits", 20, broken())
        tar.put("2.txt", 2, [b"no"])
        tar.close()
    with tarfile.open(tmp_path / "x.tar") as read:
        assert [(member.name, member.size) for member in read] == [("cutouts/1.fits", 3), ("cutouts/2.txt", 2)]


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 2**40])
def test_a_member_may_be_of_any_size(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(_: Path) -> SimpleNamespace:  # one that has room for it
        return SimpleNamespace(f_bavail=2**40, f_frsize=4096)

    monkeypatch.setattr(os, "statvfs", disk)
    with Tar(tmp_path / "x.tar", 0, TIME) as tar:
        tar.put("1.fits", size, [])
    header = (tmp_path / "x.tar").read_bytes()[:512]
    assert tarfile.TarInfo.frombuf(header, "ascii", "strict").size == size


@pytest.mark.parametrize("form", ["files", "tar"])
def test_results_leave_room_for_the_database_beside_them(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that cannot note that the disk is full would leave the job as it is, for ever."""
    free = 0
    asked: list[Path] = []

    def disk(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(f_bavail=free // 512, f_frsize=512)

    monkeypatch.setattr(os, "statvfs", disk)
    package = Files(tmp_path, tmp_path) if form == "files" else Tar(tmp_path / "x.tar", 0, TIME)
    with package:
        free = (1 << 25) + 1024
        with pytest.raises(OSError, match="No space left on device") as caught:
            package.put("1.fits", 1025, [bytes(1025)])
        assert caught.value.errno == errno.ENOSPC
        package.put("2.fits", 1024, [bytes(1024)])
        package.settle()
    assert set(asked) == {tmp_path}
    assert [path.name for path in tmp_path.iterdir()] == (["2.fits"] if form == "files" else ["x.tar"])
    if form == "tar":
        assert (tmp_path / "x.tar").stat().st_size == 512 + 1024
