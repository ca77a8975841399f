"""The images of a small observatory that has its own ways: a whole ImageServ plugin.

Each night has a folder, and each chip of the camera a file in it, once for every shot::

    nights/20260314/north-007.fits

The name tells night, chip and shot; which colour the shot was is in the primary
header alone. HDU FLUX has the pixels, HDU FLAGS says which are bad, and the table
LOG, which the keyword LOGHDU points at, is of no use to those who want a cutout.
"""

from collections.abc import Mapping, Sequence

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import Band, DataId, Dataset, Example, Key
from imageserv.core.errors import ConfigurationFault, FitsFault, UsageFault
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import FilePattern
from imageserv.core.record import Found, Observation, Plane

NIGHT = Key("night", int, "Evening date, as yyyymmdd.", minimum=20000101, maximum=20991231, example="20260314")
CHIP = Key("chip", str, "Which half of the camera.", choices=("north", "south"), example="north")
SHOT = Key("shot", int, "Number of the exposure in its night.", minimum=1, maximum=999, example="7")
COLOUR = Key("colour", str, "Colour of the glass in front of the camera.", choices=("blue", "red"), example="red")

BANDS = (Band("blue", 4.0e-7, 5.0e-7), Band("red", 6.0e-7, 7.0e-7))


class Toy:
    """The plugin.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: one template of the files' paths, if the nights are kept elsewhere.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        files = options.get("files", "nights/{night}/{chip}-{shot:03d}.fits")
        if set(options) - {"files"} or not isinstance(files, str):
            raise ConfigurationFault(f"dataset {name!r} takes one option, files, which is a template")
        self._file = FilePattern(files, (NIGHT, CHIP, SHOT))

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return Dataset(
            description="Shots of a small observatory.",
            keys=(NIGHT, CHIP, SHOT, COLOUR),
            planes=("flux", "flags"),
            band_key="colour",
            bands=BANDS,
            calib_level=1,
            facility="Toy Observatory",
            instrument="Box",
            examples=(
                Example("Full image of a shot", {"night": "20260314", "chip": "north", "shot": "7", "colour": "red"}),
            ),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Number the chips of all shots: night, shot, and one digit for chip and colour."""
        half = CHIP.choices.index(str(data_id["chip"]))
        glass = COLOUR.choices.index(str(data_id["colour"]))
        return (int(data_id["night"]) * 1000 + int(data_id["shot"])) * 10 + 2 * half + glass

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Read such a number."""
        rest, digit = divmod(science_id, 10)
        night, shot = divmod(rest, 1000)
        try:
            return {
                "night": NIGHT.check(night),
                "chip": CHIP.choices[digit // 2],
                "shot": SHOT.check(shot),
                "colour": COLOUR.choices[digit % 2],
            }
        except (UsageFault, IndexError) as error:
            raise UsageFault(f"sid={science_id} is the number of no shot", parameter="sid") from error

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take the two planes of a chip."""
        named = self._file.match(file.path)
        if named is None:
            return None
        planes = {hdu.name: hdu.index for hdu in file.hdus}
        if not {"FLUX", "FLAGS"} <= set(planes):
            raise FitsFault("has no HDUs named FLUX and FLAGS")
        header = file.header(0)
        data_id = {**named, "colour": str(header.get("COLOUR", "")).lower()}
        start = header.get("MJD-OBS")
        moment = float(start) if isinstance(start, int | float) else None
        observation = Observation(t_min=moment, t_max=moment, target=str(header.get("OBJECT", "")) or None)
        return [Found(data_id, (Plane("flux", planes["FLUX"]), Plane("flags", planes["FLAGS"])), observation)]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut both planes; without the table, what points at it goes too."""
        return cut(image, request, drop=frozenset({"LOGHDU"}))
