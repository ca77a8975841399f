"""Generated files: noise and headers in the form of a survey's, the same for all contestants."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

SHAPE = (1489, 2048)
"""Rows and columns of a frame."""

SMALL = (256, 256)
"""Of files of which there are many."""

PLANES = ("IMAGE", "MASK", "VARIANCE")

read_fits: Any = fits.open  # astropy ships no complete types

_CENTER = (150.0, 2.2)
_SCALE = 1.1e-4  # degrees a pixel
_CARDS = (150, 90)  # of the primary header of an exposure, and of each plane's: 240 for whoever cuts one plane
_TABLES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where to cut.

    Attributes
    ----------
    ra, dec
        ICRS degrees.
    x, y
        The same in pixels, counted from 0.
    size
        Of the cutout, pixels along both axes.
    """

    ra: float
    dec: float
    x: float
    y: float
    size: int

    @property
    def section(self) -> tuple[slice, slice]:
        """The pixels to cut, in numpy's order: the first along x is ceil(x - size / 2), as in astropy's Cutout2D."""
        left, bottom = (int(np.ceil(at - self.size / 2)) for at in (self.x, self.y))
        return slice(bottom, bottom + self.size), slice(left, left + self.size)


@dataclass(frozen=True, slots=True)
class Frame:
    """A generated file.

    Attributes
    ----------
    hdus
        Those of its planes; the first is the science plane.
    repository, dataset, data_id
        How the service knows it.
    """

    path: Path
    hdus: tuple[int, ...]
    repository: str
    dataset: str
    data_id: Mapping[str, int | str]

    def wcs(self) -> Any:
        """Return astropy's WCS of the science plane."""
        return WCS(fits.getheader(self.path, self.hdus[0]))

    def planes(self) -> list[NDArray[Any]]:
        """Return the pixels, as astropy has them, in memory."""
        with read_fits(self.path, memmap=False) as hdus:
            return [np.array(hdus[index].data) for index in self.hdus]

    def places(self, size: int, count: int = 64) -> list[Place]:
        """Return places, spread over the image, whose cutouts are within it."""
        header = fits.getheader(self.path, self.hdus[0])
        width, height = header["NAXIS1"], header["NAXIS2"]
        random = np.random.default_rng(size)
        margin = size / 2 + 4
        # A quarter of a pixel off the middle: whatever way a contestant rounds, it means the same pixels.
        x = np.rint(random.uniform(margin, width - 1 - margin, count)) + 0.25
        y = np.rint(random.uniform(margin, height - 1 - margin, count)) + 0.25
        ra, dec = self.wcs().all_pix2world(x, y, 0)
        return [Place(float(a), float(d), float(u), float(v), size) for a, d, u, v in zip(ra, dec, x, y, strict=True)]


# --- single files


def raw(root: Path) -> Frame:
    """Make a raw frame: counts of 16 bits without sign, TAN, one HDU."""
    random = np.random.default_rng(1)
    counts = np.clip(random.normal(1140, 6, SHAPE), 0, 65535).astype(np.uint16)
    header = _header(140, _tan(_CENTER, SHAPE))
    path = root / "fpC-001000-r1-0001.fit"
    _once(path, lambda part: fits.PrimaryHDU(counts, header).writeto(part))
    return Frame(path, (0,), "survey", "raw", {"run": 1000, "camcol": 1, "field": 1, "filter": "r"})


def calexp(root: Path, run: int = 1000, shape: tuple[int, int] = SHAPE, repository: str = "survey") -> Frame:
    """Make a calibrated exposure: image, mask and variance, TAN-SIP of order 4, twelve HDUs."""
    path = root / f"calexp-{run:06d}-r1-0001.fits"
    _once(path, lambda part: _exposure(_tan_sip(_CENTER, shape), shape).writeto(part))
    return Frame(path, (1, 2, 3), repository, "calexp", {"run": run, "camcol": 1, "field": 1, "filter": "r"})


def coadd(root: Path) -> Frame:
    """Make a patch of a coadd: planes as of an exposure, TAN."""
    path = root / "coadd-r-1-2,3.fits"
    shape = (1967, 2060)
    _once(path, lambda part: _exposure(_tan(_CENTER, shape), shape).writeto(part))
    return Frame(path, (1, 2, 3), "survey", "deepcoadd", {"tract": 1, "patch": "2,3", "filter": "r"})


TILED: Mapping[str, Mapping[str, Any]] = {
    "RICE_1, 256 x 256 tiles": {"compression_type": "RICE_1", "tile_shape": (256, 256)},
    "RICE_1, row tiles": {"compression_type": "RICE_1", "tile_shape": (1, SHAPE[1])},
    "GZIP_2, 256 x 256 tiles": {"compression_type": "GZIP_2", "tile_shape": (256, 256)},
    "GZIP_2 lossless, 256 x 256 tiles": {
        "compression_type": "GZIP_2",
        "tile_shape": (256, 256),
        "quantize_level": 0.0,
    },
    "GZIP_2 lossless, row tiles": {"compression_type": "GZIP_2", "tile_shape": (1, SHAPE[1]), "quantize_level": 0.0},
}
"""Tile-compressed float32 images; quantised, with dither, unless they are lossless."""


def tiled(root: Path, kind: str) -> Frame:
    """Make a tile-compressed image, one of `TILED`."""
    path = root / (kind.replace(",", "").replace(" ", "_") + ".fits")

    def write(part: Path) -> None:
        pixels = _noise(SHAPE, 7)
        header = _header(_CARDS[1], _tan_sip(_CENTER, SHAPE))
        hdu = fits.CompImageHDU(pixels, header, quantize_method=1, dither_seed=1, **TILED[kind])
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(part)

    _once(path, write)
    return Frame(path, (1,), "tiles", "image", {"file": path.name})


def huge(root: Path, gigabytes: int) -> Frame:
    """Make a large image of zeros that takes no room on the disk."""
    side = 16384
    path = root / "huge.fits"

    def write(part: Path) -> None:
        shape = (side * gigabytes, side)
        header = fits.PrimaryHDU(header=_header(10, _tan(_CENTER, shape))).header
        for keyword, value in {"BITPIX": -32, "NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0]}.items():
            header.set(keyword, value, after={"NAXIS1": "NAXIS", "NAXIS2": "NAXIS1"}.get(keyword))
        part.write_bytes(header.tostring().encode())
        os.truncate(part, part.stat().st_size + -(-shape[0] * shape[1] * 4 // 2880) * 2880)

    _once(path, write)
    return Frame(path, (0,), "huge", "image", {"file": path.name})


# --- many files


def many(root: Path, count: int, repository: str) -> list[Frame]:
    """Make many small exposures, each with headers of its own, at places 0.2 deg apart."""
    # Made as one frame and renumbered: astropy would take minutes.
    template = _exposure(_tan_sip(_CENTER, SMALL), SMALL)
    master = root / ".master"
    _once(master, lambda part: template.writeto(part))
    content = master.read_bytes()
    frames: list[Frame] = []
    for number in range(count):
        run = 2000 + number
        path = root / f"calexp-{run:06d}-r1-0001.fits"
        if not path.exists():
            path.write_bytes(_renumbered(content, run))
        data_id: dict[str, int | str] = {"run": run, "camcol": 1, "field": 1, "filter": "r"}
        frames.append(Frame(path, (1, 2, 3), repository, "calexp", data_id))
    return frames


def _renumbered(content: bytes, run: int) -> bytes:
    """Return a file with another number and place in its headers."""
    row, column = divmod(run, 300)
    for keyword, value in {"EXPID": run, "CRVAL1": 100.0 + 0.2 * column, "CRVAL2": -20.0 + 0.2 * row}.items():
        name = f"{keyword:<8}= ".encode()
        at = content.find(name)
        while at >= 0:
            if at % 80 == 0:
                content = content[: at + 10] + f"{value:>20}".encode() + content[at + 30 :]
            at = content.find(name, at + 80)
    return content


# --- what files consist of


def _exposure(wcs: Mapping[str, Any], shape: tuple[int, int]) -> Any:
    """Return image, mask and variance, and tables, in the manner of the LSST pipelines."""
    primary = fits.PrimaryHDU(
        header=_header(_CARDS[0], {"EXPID": 1, "EXPTIME": 53.9, "DATE-AVG": "2005-09-27T09:05:35.01", "TIMESYS": "TAI"})
    )
    mask = (np.random.default_rng(3).random(shape) < 0.01).astype(np.int32) * 32
    planes = (_noise(shape, 2), mask, _noise(shape, 4) ** 2)
    hdus = fits.HDUList([primary])
    for name, pixels in zip(PLANES, planes, strict=True):
        hdus.append(fits.ImageHDU(pixels, _header(_CARDS[1], {**wcs, "EXTTYPE": name}), name=name))
    for number in range(_TABLES):
        columns = [
            fits.Column(f"column{each}", "D", array=np.random.default_rng(number).random(30)) for each in range(6)
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=f"ARCHIVE_{number}"))
    return hdus


def _noise(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    pixels = random.standard_normal(shape, dtype=np.float32)
    pixels *= np.float32(5.5)
    return pixels


def _header(cards: int, facts: Mapping[str, Any]) -> Any:
    """Return a header of so many cards: the facts, and such things as pipelines write."""
    header = fits.Header(facts)
    for number in range(cards - len(facts)):
        value: int | float | str = (number * 17, 1.0 / (number + 3), f"value {number}")[number % 3]
        header[f"META{number:04d}"] = (value, "what a pipeline knows of an exposure")
    return header


def _tan(center: tuple[float, float], shape: tuple[int, int]) -> dict[str, Any]:
    turn = np.radians(0.5)
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRVAL1": center[0],
        "CRVAL2": center[1],
        "CRPIX1": (shape[1] + 1) / 2,
        "CRPIX2": (shape[0] + 1) / 2,
        "CD1_1": -_SCALE * float(np.cos(turn)),
        "CD1_2": _SCALE * float(np.sin(turn)),
        "CD2_1": _SCALE * float(np.sin(turn)),
        "CD2_2": _SCALE * float(np.cos(turn)),
        "RADESYS": "ICRS",
    }


def _tan_sip(center: tuple[float, float], shape: tuple[int, int]) -> dict[str, Any]:
    random = np.random.default_rng(5)
    cards = _tan(center, shape) | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    for name in "AB":
        cards[f"{name}_ORDER"] = 4
        for p in range(5):
            for q in range(5 - p):
                if p + q >= 2:
                    cards[f"{name}_{p}_{q}"] = float(random.normal(0, 3.0 * 1000.0 ** -(p + q)))
    return cards


# --- the files as the service finds them


def write_configuration(folder: Path, name: str, repositories: Mapping[str, Sequence[str]]) -> Path:
    """Write a configuration: datasets, whose plugins have the same names, by repository, whose folders have."""
    lines = ['authority = "benchmarks"']
    for repository, datasets in repositories.items():
        lines += [f"[repositories.{repository}]", f'root = "{repository}"']
        for dataset in datasets:
            lines += [f"[repositories.{repository}.datasets.{dataset}]", f'plugin = "{dataset}"']
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def forget(path: Path) -> bool:
    """Drop a file's pages from memory; False if the file system keeps them."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        middle = path.stat().st_size // 2
        try:
            os.preadv(file.fileno(), [bytearray(1)], middle, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:  # the file system does not know the question
            return False
    return False


def cycle(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Yield frames for ever."""
    while True:
        yield from frames


def _once(path: Path, write: Callable[[Path], object]) -> None:
    """Make a file unless it is there; one that is there is whole."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        write(part)
        os.replace(part, path)
