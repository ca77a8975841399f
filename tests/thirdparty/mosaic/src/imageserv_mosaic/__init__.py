"""Exposures of a mosaic camera, as the DECam Community Pipeline leaves them: one file for each kind of plane.

An exposure is three files in a folder, each with an HDU for every chip::

    c4d_150411_035242_ooi_z_v1.fits.fz    the image
    c4d_150411_035242_ood_z_v1.fits.fz    which pixels are bad, and why
    c4d_150411_035242_oow_z_v1.fits.fz    the inverse of each pixel's variance

The primary header has the number of the exposure, EXPNUM; each HDU that of its chip,
CCDNUM. Chips may be in another order in each file, and some may be missing.
"""

from collections.abc import Mapping, Sequence

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import Band, DataId, Dataset, Example, Key
from imageserv.core.errors import ConfigurationFault, FitsFault, UsageFault
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import FilePattern, match_any
from imageserv.core.record import Found, Observation, Plane

EXPNUM = Key("expnum", int, "Number of the exposure.", minimum=1, maximum=99_999_999, example="431608")
CCDNUM = Key("ccdnum", int, "Number of the chip.", minimum=1, maximum=99, example="41")
BAND = Key("band", str, "Filter.", choices=("u", "g", "r", "i", "z", "Y"), example="z")

# What the names of the filters say: centre and width, in nm.
_FILTERS = {
    "u": (355, 88),
    "g": (472, 152),
    "r": (641.5, 148),
    "i": (783.5, 147),
    "z": (926, 152),
    "Y": (1009.5, 113),
}
BANDS = tuple(
    Band(name, (center - width / 2) * 1e-9, (center + width / 2) * 1e-9) for name, (center, width) in _FILTERS.items()
)

_PARTS = {"mask": "_ood_", "weight": "_oow_"}
"""The further planes, and what their files' names have where the image's has ``_ooi_``."""

_SECOND = 1 / 86400  # in days


class MosaicPlugin:
    """The plugin."""

    imageserv_contract = 1

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        if options:
            raise ConfigurationFault(f"dataset {name!r} takes no options")
        self._files = [FilePattern(f"**/*_ooi_{{band}}_*.fits{ending}", (BAND,)) for ending in ("", ".fz", ".gz")]

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return Dataset(
            description="Calibrated exposures of a mosaic camera, chip by chip.",
            keys=(EXPNUM, CCDNUM, BAND),
            planes=("image", *_PARTS),
            band_key="band",
            bands=BANDS,
            calib_level=2,
            instrument="DECam",
            o_ucd="phot.count",
            examples=(Example("A chip of an exposure", {"expnum": "431608", "ccdnum": "41", "band": "z"}),),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Write exposure, chip and filter as one number."""
        band = BAND.choices.index(str(data_id["band"]))
        return (int(data_id["expnum"]) * 100 + int(data_id["ccdnum"])) * 10 + band

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Read such a number."""
        rest, band = divmod(science_id, 10)
        expnum, ccdnum = divmod(rest, 100)
        try:
            return {"expnum": EXPNUM.check(expnum), "ccdnum": CCDNUM.check(ccdnum), "band": BAND.choices[band]}
        except (UsageFault, IndexError) as error:
            raise UsageFault(f"sid={science_id} is the number of no chip's exposure", parameter="sid") from error

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take every chip of an exposure, with its planes in the other files."""
        named = match_any(self._files, file.path)
        if named is None:
            return None
        folder, _, name = file.path.rpartition("/")
        parts = {
            plane: file.beside("/".join(filter(None, (folder, name.replace("_ooi_", word)))))
            for plane, word in _PARTS.items()
        }
        expnum = _number(file, 0, "EXPNUM")
        for part in parts.values():
            if _number(part, 0, "EXPNUM") != expnum:
                raise FitsFault(f"{part.path} is of another exposure")
        chips = {plane: _chips(part) for plane, part in parts.items()}
        seen = _observation(file)
        found: list[Found] = []
        for ccdnum, hdu in _chips(file).items():
            if missing := [plane for plane in parts if ccdnum not in chips[plane]]:
                raise FitsFault(f"chip {ccdnum} has no {missing[0]} in {parts[missing[0]].path}")
            planes = [Plane("image", hdu)]
            planes += [Plane(plane, chips[plane][ccdnum], part.stamp) for plane, part in parts.items()]
            found.append(Found({"expnum": expnum, "ccdnum": ccdnum, **named}, tuple(planes), seen))
        return found

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut all planes."""
        return cut(image, request)


def _number(file: CandidateFile, hdu: int, keyword: str) -> int:
    value = file.header(hdu).get(keyword)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FitsFault(f"{file.path}, HDU {hdu}: {keyword} is no number")
    return value


def _chips(file: CandidateFile) -> dict[int, int]:
    """Return the HDU of each chip."""
    images = [hdu.index for hdu in file.hdus if hdu.kind in ("image", "compressed")]
    return {_number(file, index, "CCDNUM"): index for index in images}


def _observation(file: CandidateFile) -> Observation:
    header = file.header(0)
    start, seconds = header.get("MJD-OBS"), header.get("EXPTIME")
    start = float(start) if isinstance(start, int | float) else None
    seconds = float(seconds) if isinstance(seconds, int | float) else None
    return Observation(
        t_min=start,
        t_max=None if start is None or seconds is None else start + seconds * _SECOND,
        t_exptime=seconds,
        facility=str(header.get("TELESCOP", "")).strip() or None,
        target=str(header.get("OBJECT", "")).strip() or None,
    )
