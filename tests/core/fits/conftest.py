"""Files to cut, and images opened without a registry."""

import gzip
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from imageserv.core.config import Limits
from imageserv.core.errors import UnsupportedFault
from imageserv.core.fits.layout import read_layout
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.wcscards import wcs_header
from imageserv.core.record import FileStamp, ImageRecord, Observation, Plane
from imageserv.core.sky.wcs import SkyWcs

OpenFits = Callable[..., OpenImage]


@pytest.fixture
def open_fits(tmp_path: Path) -> OpenFits:
    """Open the images of some HDUs of a file as the planes of one image."""

    def opener(
        path: Path, *hdus: int, limits: Limits | None = None, observation: Observation | None = None
    ) -> OpenImage:
        limits = limits or Limits()
        layout = read_layout(path, limits)
        if layout.packed:
            plain = tmp_path / f"unpacked-{path.name}"
            with gzip.open(path) as packed, open(plain, "wb") as file:
                shutil.copyfileobj(packed, file)
            path = plain
        chosen = hdus or tuple(hdu.index for hdu in layout.hdus if hdu.kind in ("image", "compressed"))[:1]
        shape = layout.hdus[chosen[0]].shape
        try:
            x_axis, y_axis = SkyWcs(wcs_header(layout.hdus[chosen[0]])).axes
        except UnsupportedFault:
            x_axis, y_axis = 0, 1
        record = ImageRecord(
            dataset="test",
            identifier=f"test/{path.name}",
            science_id=1,
            data_id={"file": path.name},
            band=None,
            file=FileStamp(path.name, path.stat().st_size, path.stat().st_mtime_ns),
            size=layout.size,
            planes=tuple(Plane(f"plane {hdu}", hdu) for hdu in chosen),
            shape=(shape[x_axis], shape[y_axis]) if len(shape) > y_axis else (shape[0], 1),
            footprint=None,
            pixel_scale=None,
            channels=1,
            pol_states=(),
            observation=observation or Observation(),
        )
        return OpenImage(record, layout, path, limits)

    return opener


@pytest.fixture(autouse=True)
def astropy_may_warn() -> object:
    """Let astropy, the oracle, say what it likes about strange headers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="astropy.*")
        warnings.filterwarnings("ignore", category=Warning, message=".*")
        yield
