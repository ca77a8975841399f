"""Who cuts images: ours, and the peers as a careful user would call them.

A peer is called in its best way that is documented: astropy's `Cutout2D` with
``copy=True`` and `.section` made contiguous (both else take ten times as long
to write), the WCS built once for all planes. Those that know no sky are given
pixels, and those that write no FITS are asked for pixels alone; both spare
themselves work that the others do.
"""

import contextlib
import importlib
import io
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from imageserv.core.config import load
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest, Detail
from imageserv.core.selection import Selection
from imageserv.core.sky.stencil import Box, Section

from .check import Truth
from .data import Frame, Place, forget, read_fits
from .repositories import select
from .rounds import Contestant

OURS = "ours"
FIRST = "ours, first time"
REOPENED = "ours, image not open"
ANEW = "ours, tiles decoded anew"
COPIED = "ours, whole tiles copied"
UNCOPIED = "ours, whole tiles decoded"
CUTOUT2D = "astropy open + Cutout2D"
SECTION = "astropy open + .section"


def peer(name: str) -> Any:
    """Return a peer's module, None if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


class Job:
    """One kind of image, and how many of its planes are cut.

    Parameters
    ----------
    frame
        The file that all cut.
    planes
        How many.
    tolerance
        As of `Truth`.
    """

    def __init__(self, frame: Frame, planes: int, tolerance: float = 0.0) -> None:
        self.frame = frame
        self.planes = planes
        self.truth = Truth(frame, tolerance)
        self._hdus = frame.hdus[:planes]
        self._path = str(frame.path)

    # --- ours

    def ours(self, repository: Repository, name: str = OURS) -> Contestant:
        """Cut with an open image."""
        selection = select(repository, self.frame)
        return Contestant(name, lambda place: cut(repository, selection, place, self.planes), self._fits())

    def copied(self, repository: Repository) -> list[Contestant]:
        """Cut to whole tiles, copied as they are compressed; and cut the same pixels, decoded."""
        selection = select(repository, self.frame)

        def copy(place: Place) -> memoryview:
            box = Box(place.ra, place.dec, place.size, place.size, "pixel")
            return repository.cutout(selection, CutoutRequest(box, "image", as_tiles=True)).content

        def decode(place: Place) -> memoryview:
            if place not in boxes:
                box = Box(place.ra, place.dec, place.size, place.size, "pixel")
                boxes[place] = repository.cutout(selection, CutoutRequest(box, "image", as_tiles=True)).report.delivered
            return repository.cutout(selection, CutoutRequest(boxes[place], "image")).content

        boxes: dict[Place, Section] = {}
        return [
            Contestant(COPIED, copy, self.truth.widened(), note="more pixels, compressed"),
            Contestant(UNCOPIED, decode, self.truth.widened(), note="the same pixels"),
        ]

    def reopened(self, configuration: Path) -> Contestant:
        """Cut with a repository that has just been opened, and knows no image yet."""
        config = load(configuration, {})
        current: list[tuple[Repository, Selection]] = []

        def before() -> None:
            while current:
                current.pop()[0].close()
            repository = Repository(config.repositories[self.frame.repository], config)
            current.append((repository, select(repository, self.frame)))

        def call(place: Place) -> Any:
            return cut(*current[0], place, self.planes)

        return Contestant(REOPENED, call, self._fits(), before)

    # --- astropy

    def cutout2d(self) -> Contestant:
        """Open the file, and cut with `Cutout2D`."""

        def call(place: Place) -> bytes:
            center = SkyCoord(place.ra, place.dec, unit="deg")
            with read_fits(self._path) as hdus:
                wcs = WCS(hdus[self._hdus[0]].header)
                answer = _answer(hdus, self._hdus)
                for index in self._hdus:
                    cutout: Any = Cutout2D(hdus[index].data, center, place.size, wcs, copy=True)
                    header = hdus[index].header.copy()
                    header.update(CRPIX1=cutout.wcs.wcs.crpix[0], CRPIX2=cutout.wcs.wcs.crpix[1])
                    answer.append(_image(index, cutout.data, header))
                return _written(answer)

        return Contestant(CUTOUT2D, call, self._fits())

    def section(self) -> Contestant:
        """Open the file, and cut with `.section`."""

        def call(place: Place) -> bytes:
            with read_fits(self._path) as hdus:
                wcs = WCS(hdus[self._hdus[0]].header)
                center = wcs.all_world2pix(place.ra, place.dec, 0)
                left, bottom = (int(np.ceil(at - place.size / 2)) for at in center)
                answer = _answer(hdus, self._hdus)
                for index in self._hdus:
                    pixels = hdus[index].section[bottom : bottom + place.size, left : left + place.size]
                    header = hdus[index].header.copy()
                    header["CRPIX1"] -= left
                    header["CRPIX2"] -= bottom
                    answer.append(_image(index, np.ascontiguousarray(pixels), header))
                return _written(answer)

        return Contestant(SECTION, call, self._fits())

    # --- fitsio and rustfits

    def fitsio_file(self) -> Contestant | None:
        """Open, slice, and write a FITS file in memory."""
        fitsio = peer("fitsio")
        if fitsio is None:
            return None

        def call(place: Place) -> bytes:
            rows, columns = place.section
            with fitsio.FITS(self._path) as file, fitsio.FITS("mem://", "rw") as answer:
                for index in self._hdus:
                    header = file[index].read_header()
                    header["CRPIX1"] -= columns.start
                    header["CRPIX2"] -= rows.start
                    answer.write(file[index][rows, columns], header=header)
                return bytes(answer.read_raw())

        return Contestant("fitsio open + slice, FITS", call, self._fits(), note="given pixels")

    def fitsio_slice(self) -> Contestant | None:
        """Open and slice."""
        fitsio = peer("fitsio")
        return None if fitsio is None else self._slices("fitsio open + slice", lambda: fitsio.FITS(self._path))

    def fitsio_pixels(self) -> Contestant | None:
        """Slice a file that is open."""
        fitsio = peer("fitsio")
        if fitsio is None:
            return None
        file = fitsio.FITS(self._path)
        return self._slices("fitsio, open file", lambda: contextlib.nullcontext(file))

    def rustfits_slice(self) -> Contestant | None:
        """Open and slice."""
        rustfits = peer("rustfits")
        return None if rustfits is None else self._slices("rustfits open + slice", lambda: rustfits.FITS(self._path))

    def rustfits_pixels(self) -> Contestant | None:
        """Slice a file that is open."""
        rustfits = peer("rustfits")
        if rustfits is None:
            return None
        file = rustfits.FITS(self._path)
        return self._slices("rustfits, open file", lambda: contextlib.nullcontext(file))

    def _slices(self, name: str, open_file: Callable[[], Any]) -> Contestant:
        def call(place: Place) -> list[Any]:
            with open_file() as file:
                return [file[index][place.section] for index in self._hdus]

        return Contestant(name, call, self.truth.pixels(self.planes), note="given pixels, gives pixels alone")

    # --- tools that cut

    def astrocut(self) -> Contestant | None:
        """Cut with astrocut."""
        module = peer("astrocut")
        if module is None:
            return None
        extensions = list(self._hdus)

        def call(place: Place) -> bytes:
            center = SkyCoord(place.ra, place.dec, unit="deg")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = module.FITSCutout([self._path], center, place.size, extension=extensions)
                return _written(found.fits_cutouts[0])

        return Contestant("astrocut FITSCutout", call, self.truth.fits(self.planes, shift=1), note="one pixel beside")

    def cutout_fits(self, folder: Path) -> Contestant | None:
        """Cut with cutout-fits, which cuts all images of a file, and writes to a file."""
        module = peer("cutout_fits.cutout")
        if module is None:
            return None
        target = folder / "cutout-fits.fits"
        scale = abs(fits.getheader(self._path, self._hdus[0])["CD1_1"]) * 60  # arcmin a pixel

        def call(place: Place) -> bytes:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module.make_cutout(
                    self._path,
                    str(target),
                    place.ra,
                    place.dec,
                    place.size / 2 * scale,
                    overwrite=True,
                    disable_progress=True,
                )
            return target.read_bytes()

        check = self.truth.fits(len(self.frame.hdus), slack=60)
        return Contestant("cutout-fits", call, check, note="all planes, some pixels more, through a file")

    def imcopy(self, folder: Path) -> Contestant | None:
        """Cut with cfitsio's example program, a process for each cutout."""
        program = shutil.which("imcopy")
        if program is None or self.planes > 1:
            return None
        target = folder / "imcopy.fits"

        def call(place: Place) -> bytes:
            rows, columns = place.section
            section = f"[{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}]"
            target.unlink(missing_ok=True)
            source = f"{self._path}[{self._hdus[0]}]{section}"
            subprocess.run([program, source, str(target)], check=True, stdout=subprocess.DEVNULL)
            return target.read_bytes()

        return Contestant("cfitsio imcopy", call, self._fits(), note="a process, given pixels")

    def _fits(self) -> Callable[[Any, Place], None]:
        return self.truth.fits(self.planes)


def cut(repository: Repository, selection: Selection, place: Place, planes: int) -> memoryview:
    """Cut with ours: stencil in, FITS bytes out."""
    detail: Detail = "image" if planes == 1 else "planes"
    box = Box(place.ra, place.dec, place.size, place.size, "pixel")
    return repository.cutout(selection, CutoutRequest(box, detail)).content


def first_time(
    repository: Repository, queue: Iterator[tuple[Frame, Selection, Place]], planes: int, calls: int, *, cold: bool
) -> Contestant:
    """Cut files that the process has never opened before.

    Parameters
    ----------
    queue
        The files, each once, and where to cut them.
    calls
        In one turn.
    cold
        Whether the file's pages are dropped from memory first, or read into it.
    """
    current: list[tuple[Frame, Selection, Place]] = []

    def before() -> None:
        current[:] = [next(queue)]
        if cold:
            forget(current[0][0].path)
        else:
            current[0][0].path.read_bytes()

    def call(_: Place) -> Any:
        return cut(repository, *current[0][1:], planes)

    def check(answer: Any, _: Place) -> None:
        Truth(current[0][0]).fits(planes)(answer, current[0][2])

    return Contestant(FIRST, call, check, before, calls)


def _answer(hdus: Any, indices: tuple[int, ...]) -> Any:
    return fits.HDUList([] if indices[0] == 0 else [fits.PrimaryHDU(header=hdus[0].header)])


def _image(index: int, pixels: Any, header: Any) -> Any:
    return (fits.ImageHDU if index else fits.PrimaryHDU)(pixels, header)


def _written(hdus: Any) -> bytes:
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


def temporary(folder: Path) -> Path:
    """Return a folder for answers that peers must write to a file: in memory where the machine has such a place."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else folder
