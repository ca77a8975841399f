"""A plugin as they were written when the contract's version 1 was new. Never change it: old plugins do not change.

Files ``plates/<series>-<number>.fits`` hold one scanned plate each, HDU SCAN its
pixels and HDU DUST where they are not to be trusted. In the primary header FILTER
says which glass, SCANNER points at a table of no use to those who want a cutout.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from imageserv.core.candidate import CandidateFile
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Band, DataId, Dataset, Example, Key
from imageserv.core.demo import Demo, DemoFile
from imageserv.core.errors import ConfigurationFault, FitsFault, NoOverlapFault, UsageFault
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.patterns import FilePattern
from imageserv.core.record import Found, Observation, Plane

PLATE = Key(
    "plate",
    str,
    "Which plate.",
    parts=(Key("series", int, "Series.", minimum=1, maximum=99), Key("number", int, "Number.", minimum=1, maximum=999)),
    example="3,14",
)
GLASS = Key("glass", str, "Which glass.", choices=("clear", "red"), example="red")


def _most_dust(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 255:
        raise ValueError("is 0 to 255")
    return value


class Veteran:
    """The plugin: it says of no version that it is written for."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        if options:
            raise ConfigurationFault(f"dataset {name!r} takes no options")
        self._file = FilePattern("plates/{series}-{number:03d}.fits", PLATE.parts)

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return Dataset(
            description="Scanned plates.",
            keys=(PLATE, GLASS),
            planes=("scan", "dust"),
            band_key="glass",
            bands=(Band("clear", 4.0e-7, 7.0e-7), Band("red", 6.0e-7, 7.0e-7)),
            calib_level=1,
            facility="Old Observatory",
            instrument="Astrograph",
            o_ucd="phot.count",
            parameters=(Parameter("dust", _most_dust, "Refuse images with more.", datatype="int", example="9"),),
            examples=(Example("A plate", {"plate": "3,14", "glass": "red"}),),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Write series, number and glass one after the other."""
        series, number = map(int, str(data_id["plate"]).split(","))
        return (series * 1000 + number) * 10 + GLASS.choices.index(str(data_id["glass"]))

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Read them."""
        rest, glass = divmod(science_id, 10)
        series, number = divmod(rest, 1000)
        try:
            return {"plate": PLATE.parse(f"{series},{number}"), "glass": GLASS.choices[glass]}
        except (UsageFault, IndexError) as error:
            raise UsageFault(f"sid={science_id} is the number of no plate", parameter="sid") from error

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take the two planes of a plate."""
        named = self._file.match(file.path)
        if named is None:
            return None
        planes = {hdu.name: hdu.index for hdu in file.hdus if hdu.kind in ("image", "compressed")}
        if not {"SCAN", "DUST"} <= set(planes):
            raise FitsFault("has no HDUs named SCAN and DUST")
        header = file.header(0)
        seen = Observation(target=str(header.get("OBJECT", "")) or None, title=f"Plate {named['number']}")
        data_id = {"plate": f"{named['series']},{named['number']}", "glass": str(header.get("FILTER", "")).lower()}
        return [Found(data_id, (Plane("scan", planes["SCAN"]), Plane("dust", planes["DUST"])), seen, ("scanned",))]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        """Cut both planes; without the table, what points at it goes too."""
        if request.parameters.get("dust") == 0:
            raise NoOverlapFault("no plate is as clean as that")
        return cut(image, request, drop=frozenset({"SCANNER"}))

    @hookimpl
    def imageserv_demo(self) -> Demo:
        """Give a file that is no image: enough to show that one may."""
        return Demo("PLATES", [DemoFile("plates/readme.txt", _write_note)], {})


def _write_note(path: Path) -> None:
    path.write_text("plates")
