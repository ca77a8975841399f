"""Deep coadds: patches of a sky map, each the sum of many Stripe 82 scans, with mask and variance."""

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
from ._stripe82 import BANDS, FACILITY, INSTRUMENT, PATCH_KEYS, patch_data_id, patch_science_id, templates

_FILES = templates("coadd-{filter}-{tract}-{patch}", ".fits", ".fit")

_BY_DATA_ID = {"tract": "0", "patch": "225,1", "filter": "i"}
_BY_POSITION = {"ra": "19.36995", "dec": "-0.3147", "filter": "r", "width": "115", "height": "235"}
_BY_SCIENCE_ID = {"sid": "23986176", "ra": "9.47103", "dec": "-1.181766"}
_IN_ARCSEC = {"width": "30.0", "height": "45.0", "unit": "arcsec"}
_IN_PIXELS = {"width": "100", "height": "100", "unit": "pixel"}

_DATASET = Dataset(
    description="SDSS Stripe 82 deep coadds (deepCoadd): patches of a sky map, with mask and variance.",
    keys=PATCH_KEYS,
    planes=PLANES,
    band_key="filter",
    bands=BANDS,
    calib_level=3,
    facility=FACILITY,
    instrument=INSTRUMENT,
    examples=(
        Example("I_13 Full image closest to a position", {"ra": "19.37995", "dec": "-0.3146", "filter": "r"}),
        Example("I_14 Full image by data id", _BY_DATA_ID),
        Example("I_15 Full image by science id", {"sid": "23986176"}),
        Example("I_16 Cutout at a position, in arcsec", _BY_POSITION | {"unit": "arcsec"}),
        Example("I_17 Cutout at a position, in pixels", _BY_POSITION | {"unit": "pixel"}),
        Example(
            "I_20 Cutout by science id, in arcsec",
            _BY_SCIENCE_ID | _IN_ARCSEC,
        ),
        Example("I_21 Cutout by science id, in pixels", _BY_SCIENCE_ID | _IN_PIXELS),
        Example(
            "I_22 Cutout by data id, in arcsec",
            _BY_DATA_ID | {"ra": "40.49055", "dec": "-0.946593", "width": "100", "height": "100", "unit": "arcsec"},
        ),
    ),
)


class DeepCoadd:
    """The plugin.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: templates of the files' paths; by default any ``coadd`` file.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        check_options(name, options, ("files",))
        self._files = file_patterns(name, options, _FILES, PATCH_KEYS)

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return _DATASET

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Encode a data id as bits."""
        return patch_science_id(data_id)

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Decode a science id."""
        return patch_data_id(science_id)

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take the planes of a ``coadd`` file."""
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
        """Give four patches."""
        return _demo.deepcoadd()
