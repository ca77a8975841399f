"""Calibrated exposures: SDSS Stripe 82 frames as the LSST pipelines left them, with mask and variance."""

from collections.abc import Mapping, Sequence

from imageserv.core.dataset import DataId, Dataset, Example
from imageserv.core.demo import Demo
from imageserv.core.examine import CandidateFile
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import match_any
from imageserv.core.record import Found

from . import _demo
from ._exposure import PLANES, TABLE_KEYWORDS, exposure_observation, exposure_planes
from ._facts import Facts
from ._options import check_options, file_patterns
from ._stripe82 import BANDS, FACILITY, FRAME_KEYS, INSTRUMENT, frame_data_id, frame_science_id, templates

_FILES = templates("calexp-{run:06d}-{filter}{camcol}-{field:04d}", ".fits", ".fit")

_BY_POSITION = {"ra": "37.644598", "dec": "0.104625", "filter": "r"}
_BY_SCIENCE_ID = {"sid": "5646240694", "ra": "37.6292", "dec": "0.104625"}
_IN_ARCSEC = {"width": "30.0", "height": "45.0", "unit": "arcsec"}
_IN_PIXELS = {"width": "100", "height": "100", "unit": "pixel"}

_DATASET = Dataset(
    description="SDSS Stripe 82 calibrated exposures (calexp): background subtracted, with mask and variance.",
    keys=FRAME_KEYS,
    planes=PLANES,
    band_key="filter",
    bands=BANDS,
    calib_level=2,
    facility=FACILITY,
    instrument=INSTRUMENT,
    examples=(
        Example("I_6 Full image closest to a position", _BY_POSITION),
        Example("I_7 Full image by data id", {"run": "5646", "camcol": "4", "field": "694", "filter": "g"}),
        Example("I_8 Full image by science id", {"sid": "3325410171"}),
        Example("I_9 Cutout at a position, in arcsec", _BY_POSITION | _IN_ARCSEC),
        Example("I_10 Cutout at a position, in pixels", _BY_POSITION | _IN_PIXELS),
        Example("I_11 Cutout by science id, in arcsec", _BY_SCIENCE_ID | _IN_ARCSEC),
        Example("I_12 Cutout by science id, in pixels", _BY_SCIENCE_ID | _IN_PIXELS),
    ),
)


class Calexp:
    """The plugin.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: templates of the files' paths; by default any ``calexp`` file.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        check_options(name, options, ("files",))
        self._files = file_patterns(name, options, _FILES, FRAME_KEYS)

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return _DATASET

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Encode a data id as decimal digits."""
        return frame_science_id(data_id)

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Decode a science id."""
        return frame_data_id(science_id)

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take the planes of a ``calexp`` file."""
        data_id = match_any(self._files, file.path)
        if data_id is None:
            return None
        planes, warnings = exposure_planes(file)
        facts = Facts(file.hdus[0].parsed(), file.hdus[planes[0].hdu].parsed())
        return [Found(data_id, planes, exposure_observation(facts), (*warnings, *facts.warnings))]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut the planes."""
        return cut(image, request, drop=TABLE_KEYWORDS)

    @hookimpl
    def imageserv_demo(self) -> Demo:
        """Give three frames."""
        return _demo.calexp()
