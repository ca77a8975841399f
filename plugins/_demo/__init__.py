"""The frames of the demo: a small Stripe 82 of made-up stars, and the sky images that astropy installs."""

import shutil
from collections.abc import Mapping
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

from imageserv.core.demo import Demo, DemoFile
from imageserv.plugins._stripe82 import REPOSITORY

from .frames import CALEXP, PATCHES, RAW
from .writers import write_calexp, write_deepcoadd, write_raw

SAMPLE = "m13/m13.fits"
"""The file that examples show, and a place in it."""
SAMPLE_POSITION: Mapping[str, str] = {"ra": "250.4226", "dec": "36.4602"}

# Among the data of astropy's tests these are images of the real sky.
_COMPRESSED = "io/fits/hdu/compressed/tests/data"
_SAMPLES: Mapping[str, str] = {
    SAMPLE: f"{_COMPRESSED}/m13.fits",
    "m13/m13_gzip.fits": f"{_COMPRESSED}/m13_gzip.fits",
    "m13/m13_hcomp.fits": f"{_COMPRESSED}/m13_hcomp.fits",
    "m13/m13_plio.fits": f"{_COMPRESSED}/m13_plio.fits",
    "m13/m13_rice.fits": f"{_COMPRESSED}/m13_rice.fits",
    "dss/dss.14.29.56-62.41.05.fits.gz": "wcs/tests/data/dss.14.29.56-62.41.05.fits.gz",
    "hst/test0.fits": "io/fits/tests/data/test0.fits",
    "parkes/1904-66_AZP.fits": "modeling/tests/data/1904-66_AZP.fits",
    "ngc1316/comp.fits": "io/fits/tests/data/comp.fits",
}


def raw() -> Demo:
    """Return four raw frames."""
    return Demo(
        REPOSITORY,
        [DemoFile(f"runs/{f.run}/40/corr/{f.camcol}/fpC-{f.name}.fit", partial(write_raw, f)) for f in RAW],
        {"files": ["runs/{run}/{rerun}/corr/{camcol}/fpC-{run:06d}-{filter}{camcol}-{field:04d}.fit"]},
    )


def calexp() -> Demo:
    """Return the calibrated exposures of three of them."""
    top = "calexps/sci-results"
    return Demo(
        REPOSITORY,
        [
            DemoFile(f"{top}/{f.run}/{f.camcol}/{f.band}/calexp/calexp-{f.name}.fits", partial(write_calexp, f))
            for f in CALEXP
        ],
        {"files": [top + "/{run}/{camcol}/{filter}/calexp/calexp-{run:06d}-{filter}{camcol}-{field:04d}.fits"]},
    )


def deepcoadd() -> Demo:
    """Return four patches of a deep coadd."""
    top = "coadd/deepCoadd"
    return Demo(
        REPOSITORY,
        [
            DemoFile(
                f"{top}/{p.band}/0/{p.x},{p.y}/coadd-{p.band}-0-{p.x},{p.y}.fits",
                partial(write_deepcoadd, p),
            )
            for p in PATCHES
        ],
        {"files": [top + "/{filter}/{tract}/{patch}/coadd-{filter}-{tract}-{patch}.fits"]},
    )


def image() -> Demo | None:
    """Return the images that astropy installed, or None if it installed none."""
    found = [path for path, source in _SAMPLES.items() if files("astropy").joinpath(source).is_file()]
    if not found:
        return None
    return Demo("ASTROPY_SAMPLES", [DemoFile(path, partial(_copy, _SAMPLES[path])) for path in found])


def _copy(source: str, path: Path) -> None:
    with as_file(files("astropy").joinpath(source)) as original:
        shutil.copyfile(original, path)
