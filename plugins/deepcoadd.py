"""Deep coadds: patches of a sky map, each the sum of many Stripe 82 scans, with mask and variance."""

from collections.abc import Mapping

from imageserv.core.candidate import CandidateFile
from imageserv.core.dali.literals import choice
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import DataId, Dataset, Example
from imageserv.core.demo import Demo
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.neighbours import Neighbours
from imageserv.core.record import Found

from . import _demo
from ._exposure import PLANES, TABLE_KEYWORDS, read_exposure
from ._patches import cut_patches
from ._plugin import FileNamePlugin
from ._stripe82 import BANDS, FACILITY, IN_ARCSEC, IN_PIXELS, INSTRUMENT, PATCH_IDS, PATCH_KEYS, templates

_BY_DATA_ID = {"tract": "0", "patch": "225,1", "filter": "i"}
_BY_POSITION = {"ra": "19.36995", "dec": "-0.3147", "filter": "r", "width": "115", "height": "235"}
_BY_SCIENCE_ID = {"sid": "23986176", "ra": "9.47103", "dec": "-1.181766"}

STITCH = Parameter(
    "stitch",
    choice("true", "false"),
    "Whether the cutout goes on in other patches of the tract, beyond the inner region of the one that is named.",
    ucd="meta.code",
    options=("true", "false"),
    example="true",
)
_STITCHED: Mapping[str, object] = {STITCH.name: "true"}


class DeepCoadd(FileNamePlugin):
    """The plugin of ``coadd`` files."""

    dataset = Dataset(
        description="SDSS Stripe 82 deep coadds (deepCoadd): patches of a sky map, with mask and variance.",
        keys=PATCH_KEYS,
        planes=PLANES,
        band_key="filter",
        bands=BANDS,
        calib_level=3,
        facility=FACILITY,
        instrument=INSTRUMENT,
        o_ucd="phot.count",
        parameters=(STITCH,),
        sky_maps={"deepCoadd_skyMap": _STITCHED},
        examples=(
            Example("I_13 Full image closest to a position", {"ra": "19.37995", "dec": "-0.3146", "filter": "r"}),
            Example("I_14 Full image by data id", _BY_DATA_ID),
            Example("I_15 Full image by science id", {"sid": "23986176"}),
            Example("I_16 Cutout at a position, in arcsec", _BY_POSITION | {"unit": "arcsec"}),
            Example("I_17 Cutout at a position, in pixels", _BY_POSITION | {"unit": "pixel"}),
            Example("I_20 Cutout by science id, in arcsec", _BY_SCIENCE_ID | IN_ARCSEC),
            Example("I_21 Cutout by science id, in pixels", _BY_SCIENCE_ID | IN_PIXELS),
            Example(
                "I_22 Cutout by data id, in arcsec",
                _BY_DATA_ID | {"ra": "40.49055", "dec": "-0.946593", "width": "100", "height": "100", "unit": "arcsec"},
            ),
        ),
    )
    title = "SDSS Stripe 82 deep coadd (deepCoadd)"
    files = templates("coadd-{filter}-{tract}-{patch}", ".fits", ".fit")
    science_ids = PATCH_IDS
    drop = TABLE_KEYWORDS

    def read(self, file: CandidateFile, data_id: DataId) -> Found:
        """Take the planes."""
        return read_exposure(file, data_id)

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours) -> Cutout:
        """Cut all planes of a patch, and of others if it is wished."""
        if request.parameters.get(STITCH.name) == _STITCHED[STITCH.name]:
            return cut_patches(image, request, neighbours, self.drop)
        return cut(image, request, drop=self.drop)

    @hookimpl
    def imageserv_demo(self) -> Demo:
        """Give four patches."""
        return _demo.deepcoadd()
