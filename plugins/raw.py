"""SDSS frames as the photometric pipeline of the survey left them: ``fpC`` files, one image each."""

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId, Dataset, Example
from imageserv.core.demo import Demo
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, Observation, Plane

from . import _demo
from ._facts import SECOND, Facts
from ._hdus import image_hdus
from ._plugin import FileNamePlugin
from ._stripe82 import BANDS, FACILITY, FRAME_IDS, FRAME_KEYS, IN_ARCSEC, IN_PIXELS, INSTRUMENT, templates

_BY_POSITION = {"ra": "359.195", "dec": "-0.1055", "filter": "r"}
_BY_SCIENCE_ID = {"sid": "5646240694", "ra": "37.6292", "dec": "0.104625"}


class Raw(FileNamePlugin):
    """The plugin of ``fpC`` files."""

    dataset = Dataset(
        description="SDSS Stripe 82 frames (fpC): corrected, in counts, sky and software bias included.",
        keys=FRAME_KEYS,
        planes=("image",),
        band_key="filter",
        bands=BANDS,
        calib_level=1,
        facility=FACILITY,
        instrument=INSTRUMENT,
        o_ucd="phot.count",
        examples=(
            Example("I_1 Full image closest to a position", _BY_POSITION),
            Example("I_2 Full image by data id", {"run": "5646", "camcol": "4", "field": "694", "filter": "g"}),
            Example("I_3 Full image by science id", {"sid": "3325410171"}),
            Example("I_4 Cutout at a position, in arcsec", _BY_POSITION | IN_ARCSEC),
            Example(
                "I_5 Cutout at a position, in pixels", _BY_POSITION | {"width": "30", "height": "45", "unit": "pixel"}
            ),
            Example("I_18 Cutout by science id, in arcsec", _BY_SCIENCE_ID | IN_ARCSEC),
            Example("I_19 Cutout by science id, in pixels", _BY_SCIENCE_ID | IN_PIXELS),
            Example("U_1 Data id of a science id", {"get_dataid": "get", "ccdexpid": "5646240964"}),
            Example(
                "U_2 Science id of a data id",
                {"get_ccdexpid": "get", "camcol": "4", "field": "694", "filter": "r", "run": "5646"},
            ),
        ),
    )
    title = "SDSS frame (fpC)"
    files = templates("fpC-{run:06d}-{filter}{camcol}-{field:04d}", ".fit", ".fits")
    science_ids = FRAME_IDS

    def read(self, file: CandidateFile, data_id: DataId) -> Found:
        """Take the first image: HDU 0, or the one after it where HDU 0 is empty (fpacked files)."""
        # The data id is the name's: the header's FRAME counts differently in each filter.
        hdu = image_hdus(file)[0]
        facts = Facts(hdu, file.hdus[0])
        observation = _observation(facts, rows=hdu.shape[1])
        return Found(data_id, (Plane("image", hdu.index),), observation, tuple(facts.warnings))

    @hookimpl
    def imageserv_demo(self) -> Demo:
        """Give four frames."""
        return _demo.raw()


def _observation(facts: Facts, *, rows: int) -> Observation:
    """Read when a drift scan saw the rows of a frame.

    The headers' times are TAI, when row 0 was read; by then it had been exposed for EXPTIME,
    and each further row is read C_OBS microseconds after the one before.
    """
    seconds = facts.exposure()
    read = _read_out(facts)
    row_time = facts.number("C_OBS") or 0.0
    return Observation(
        t_min=None if read is None or seconds is None else read - seconds * SECOND,
        t_max=None if read is None else read + (rows - 1) * row_time * 1e-6 * SECOND,
        t_exptime=seconds,
        t_resolution=seconds,
        target=facts.text("OBJECT"),
    )


def _read_out(facts: Facts) -> float | None:
    """Return when row 0 was read, MJD UTC (d)."""
    tai = facts.number("TAI")
    if tai is not None:
        return facts.mjd(tai * SECOND, "tai", "TAI")
    date, clock = facts.text("DATE-OBS"), facts.text("TAIHMS")
    return None if date is None or clock is None else facts.date(f"{date}T{clock}", "tai", "DATE-OBS and TAIHMS")
