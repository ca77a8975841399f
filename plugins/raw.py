"""SDSS frames as the photometric pipeline of the survey left them: ``fpC`` files, one image each."""

from collections.abc import Mapping, Sequence

from imageserv.core.dataset import DataId, Dataset, Example
from imageserv.core.demo import Demo
from imageserv.core.examine import CandidateFile
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import match_any
from imageserv.core.record import Found, Observation, Plane

from . import _demo
from ._facts import SECOND, Facts
from ._hdus import image_hdus
from ._options import check_options, file_patterns
from ._stripe82 import BANDS, FACILITY, FRAME_KEYS, INSTRUMENT, frame_data_id, frame_science_id, templates

_FILES = templates("fpC-{run:06d}-{filter}{camcol}-{field:04d}", ".fit", ".fits")

_BY_POSITION = {"ra": "359.195", "dec": "-0.1055", "filter": "r"}
_BY_SCIENCE_ID = {"sid": "5646240694", "ra": "37.6292", "dec": "0.104625"}
_IN_ARCSEC = {"width": "30.0", "height": "45.0", "unit": "arcsec"}
_IN_PIXELS = {"width": "100", "height": "100", "unit": "pixel"}

_DATASET = Dataset(
    description="SDSS Stripe 82 frames (fpC): corrected, in counts, sky and software bias included.",
    keys=FRAME_KEYS,
    planes=("image",),
    band_key="filter",
    bands=BANDS,
    calib_level=1,
    facility=FACILITY,
    instrument=INSTRUMENT,
    examples=(
        Example("I_1 Full image closest to a position", _BY_POSITION),
        Example("I_2 Full image by data id", {"run": "5646", "camcol": "4", "field": "694", "filter": "g"}),
        Example("I_3 Full image by science id", {"sid": "3325410171"}),
        Example("I_4 Cutout at a position, in arcsec", _BY_POSITION | _IN_ARCSEC),
        Example("I_5 Cutout at a position, in pixels", _BY_POSITION | {"width": "30", "height": "45", "unit": "pixel"}),
        Example("I_18 Cutout by science id, in arcsec", _BY_SCIENCE_ID | _IN_ARCSEC),
        Example("I_19 Cutout by science id, in pixels", _BY_SCIENCE_ID | _IN_PIXELS),
        Example("U_1 Data id of a science id", {"get_dataid": "get", "ccdexpid": "5646240964"}),
        Example(
            "U_2 Science id of a data id",
            {"get_ccdexpid": "get", "camcol": "4", "field": "694", "filter": "r", "run": "5646"},
        ),
    ),
)


class Raw:
    """The plugin.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: templates of the files' paths; by default any ``fpC`` file.
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
        """Take the first image of an ``fpC`` file; HDU 0, or the one after it where HDU 0 is empty (fpacked files)."""
        # The field's number is in the name alone: FRAME counts differently in each filter.
        data_id = match_any(self._files, file.path)
        if data_id is None:
            return None
        hdu = image_hdus(file)[0]
        facts = Facts(hdu.parsed(), file.hdus[0].parsed())
        observation = _observation(facts, rows=hdu.shape[1])
        return [Found(data_id, (Plane("image", hdu.index),), observation, tuple(facts.warnings))]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut the image."""
        return cut(image, request)

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
        target=facts.text("OBJECT"),
    )


def _read_out(facts: Facts) -> float | None:
    """Return when row 0 was read, MJD UTC (d)."""
    tai = facts.number("TAI")
    if tai is not None:
        return facts.mjd(tai * SECOND, "tai", "TAI")
    date, clock = facts.text("DATE-OBS"), facts.text("TAIHMS")
    return None if date is None or clock is None else facts.date(f"{date}T{clock}", "tai", "DATE-OBS and TAIHMS")
