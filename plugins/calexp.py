"""Calibrated exposures: SDSS Stripe 82 frames as the LSST pipelines left them, with mask and variance."""

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId, Dataset, Example
from imageserv.core.demo import Demo
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found

from . import _demo
from ._exposure import PLANES, TABLE_KEYWORDS, read_exposure
from ._plugin import FileNamePlugin
from ._stripe82 import BANDS, FACILITY, FRAME_IDS, FRAME_KEYS, IN_ARCSEC, IN_PIXELS, INSTRUMENT, templates

_BY_POSITION = {"ra": "37.644598", "dec": "0.104625", "filter": "r"}
_BY_SCIENCE_ID = {"sid": "5646240694", "ra": "37.6292", "dec": "0.104625"}


class Calexp(FileNamePlugin):
    """The plugin of ``calexp`` files."""

    dataset = Dataset(
        description="SDSS Stripe 82 calibrated exposures (calexp): background subtracted, with mask and variance.",
        keys=FRAME_KEYS,
        planes=PLANES,
        band_key="filter",
        bands=BANDS,
        calib_level=2,
        facility=FACILITY,
        instrument=INSTRUMENT,
        o_ucd="phot.count",
        examples=(
            Example("I_6 Full image closest to a position", _BY_POSITION),
            Example("I_7 Full image by data id", {"run": "5646", "camcol": "4", "field": "694", "filter": "g"}),
            Example("I_8 Full image by science id", {"sid": "3325410171"}),
            Example("I_9 Cutout at a position, in arcsec", _BY_POSITION | IN_ARCSEC),
            Example("I_10 Cutout at a position, in pixels", _BY_POSITION | IN_PIXELS),
            Example("I_11 Cutout by science id, in arcsec", _BY_SCIENCE_ID | IN_ARCSEC),
            Example("I_12 Cutout by science id, in pixels", _BY_SCIENCE_ID | IN_PIXELS),
        ),
    )
    title = "SDSS calibrated exposure (calexp)"
    files = templates("calexp-{run:06d}-{filter}{camcol}-{field:04d}", ".fits", ".fit")
    science_ids = FRAME_IDS
    drop = TABLE_KEYWORDS

    def read(self, file: CandidateFile, data_id: DataId) -> Found:
        """Take the planes."""
        return read_exposure(file, data_id)

    @hookimpl
    def imageserv_demo(self) -> Demo:
        """Give three frames."""
        return _demo.calexp()
